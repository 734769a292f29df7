"""
A backend with its breakers: what its calls tell of it, and calls that are not made.

Writes and reads have a breaker each: a backend may be full, or out of order, for the
one and well for the other. Deletes have none: the collector waits by itself, row by
row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from s3proxy.backend.breaker import Breaker, Patience
from s3proxy.backend.budget import Budget
from s3proxy.errors import (
    BackendBusy,
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendPassing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from s3proxy.manager.ports import Backend, BackendKey, Download, Stored, Upload
from s3proxy.model import Copy, FoundObject
from s3proxy.observe import NOBODY, BackendWatch
from s3proxy.plan.placement import Standing

#: A read waits for so long where the backend wants a pause; beyond it, it fails.
PATIENT_SECONDS = 5.0

#: Weight of the latest answer in the mean of them.
_LATEST = 0.3
#: A measurement counts for half after so long, so that a slow backend is tried again.
_HALF_LIFE_SECONDS = 60.0


@define(eq=False)
class Speed:
    """How long a backend takes to answer: a mean that fades with time."""

    _now: Callable[[], float]
    _seconds: float = 0.0
    _measured_at: float = float("-inf")

    def note(self, seconds: float) -> None:
        """One answer."""
        before = self.seconds()
        is_first = self._measured_at == float("-inf")
        self._seconds = seconds if is_first else before + _LATEST * (seconds - before)
        self._measured_at = self._now()

    def seconds(self) -> float:
        """The mean; 0 for a backend that was never measured, so that it is."""
        age = self._now() - self._measured_at
        return float(self._seconds * 0.5 ** (age / _HALF_LIFE_SECONDS))


@define(eq=False)
class GuardedBackend:
    """
    Matches :class:`s3proxy.manager.ports.Backend` over another one.

    A call that is not made fails with BackendUnavailable, ``landed`` false.

    :ivar clock: To wait with.
    :ivar now: Seconds by a clock that nobody sets: one that was put back by an hour
        would leave a backend alone for an hour.
    """

    _inner: Backend
    _clock: IReactorTime
    _now: Callable[[], float]
    _patience: Patience = field(factory=Patience)
    _watch: BackendWatch = NOBODY
    name: str = field(init=False)
    writes: Breaker = field(init=False)
    reads: Breaker = field(init=False)
    speed: Speed = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self._inner.name
        opened = partial(self._watch.opened, self.name)
        self.writes = Breaker(self._now, self._patience, partial(opened, "write"))
        self.reads = Breaker(self._now, self._patience, partial(opened, "read"))
        self.speed = Speed(self._now)

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> Upload:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        verdict = self._enter(self.writes)
        try:
            upload = await self._inner.open_put(copy, headers, sha256=sha256, md5=md5)
        except BaseException as why:
            verdict.give(why)
            raise
        return _Upload(upload, verdict)

    async def open_get(self, copy: Copy, start: int, end: int) -> Download:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        pause = self.reads.pause_seconds()
        if 0 < pause <= PATIENT_SECONDS:
            await deferLater(self._clock, pause)
        verdict = self._enter(self.reads)
        began = self._now()
        try:
            download = await self._inner.open_get(copy, start, end)
        except BaseException as why:
            verdict.give(why)
            raise
        self.speed.note(self._now() - began)
        return _Download(download, verdict)

    async def copy(
        self, source: Copy, target: Copy, headers: dict[str, str], *, md5: str
    ) -> Stored:
        """See :class:`~s3proxy.manager.ports.Backend`; counts like a PUT."""
        verdict = self._enter(self.writes)
        try:
            stored = await self._inner.copy(source, target, headers, md5=md5)
        except (BackendRefused, BackendMissing, BackendMismatch):
            # It makes no copies, or none of this: that says nothing of its PUTs.
            verdict.none()
            raise
        except BaseException as why:
            verdict.give(why)
            raise
        verdict.good()
        return stored

    async def delete(self, backend_key: str, version_id: str | None) -> None:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        await self._inner.delete(backend_key, version_id)

    async def delete_unchanged(
        self,
        backend_key: str,
        version_id: str | None,
        size_bytes: int,
        etag: str | None,
    ) -> bool:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return await self._inner.delete_unchanged(
            backend_key, version_id, size_bytes, etag
        )

    async def inspect(self, backend_key: str) -> FoundObject:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return await self._inner.inspect(backend_key)

    async def head(self, backend_key: str) -> tuple[BackendKey, dict[str, str]]:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return await self._inner.head(backend_key)

    async def list_page(
        self, prefix: str, token: str | None
    ) -> tuple[list[BackendKey], str | None]:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return await self._inner.list_page(prefix, token)

    def _enter(self, breaker: Breaker) -> _Verdict:
        era = breaker.enter()
        if era is None:
            raise BackendUnavailable(
                self.name,
                "is left alone for a while, after failures or at its own wish",
                landed=False,
            )
        return _Verdict(breaker, era, is_write=breaker is self.writes)


@define(eq=False)
class _Verdict:
    """What one call tells of its backend, once."""

    _breaker: Breaker
    _era: int
    is_write: bool
    is_given: bool = False

    def good(self) -> None:
        """It succeeded."""
        if not self._is_late():
            self._breaker.succeeded(self._era)

    def none(self) -> None:
        """It was given up here."""
        if not self._is_late():
            self._breaker.dropped(self._era)

    def give(self, why: BaseException) -> None:
        """It failed so."""
        if self._is_late():
            return
        breaker, era = self._breaker, self._era
        match why:
            case BackendThrottled():
                breaker.throttled(era, why.retry_after_seconds)
            case BackendBusy():
                breaker.dropped(era)
            case BackendUnavailable() if not isinstance(why, BackendPassing):
                breaker.failed(era)
            case BackendMismatch() if self.is_write:
                breaker.failed(era)
            case BackendError() if self.is_write:
                breaker.answered(era)
            case BackendError():
                # One copy is missing or wrong: the backend has said so, and works.
                breaker.succeeded(era)
            case _:
                breaker.dropped(era)

    def _is_late(self) -> bool:
        was, self.is_given = self.is_given, True
        return was


@define(eq=False)
class _Upload:
    """Matches :class:`s3proxy.manager.ports.Upload`."""

    _inner: Upload
    _verdict: _Verdict

    async def write(self, data: bytes) -> None:
        try:
            await self._inner.write(data)
        except BackendError as why:
            self._verdict.give(why)
            raise

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        try:
            stored = await self._inner.finish(data, md5=md5)
        except BackendError as why:
            self._verdict.give(why)
            raise
        self._verdict.good()
        return stored

    def abort(self) -> None:
        self._verdict.none()
        self._inner.abort()


@define(eq=False)
class _Download:
    """
    Matches :class:`s3proxy.manager.ports.Download`.

    The first bytes are the verdict: what breaks off after them may be a slow reader's
    doing.
    """

    _inner: Download
    _verdict: _Verdict

    async def read(self) -> bytes:
        if self._verdict.is_given:
            return await self._inner.read()
        try:
            data = await self._inner.read()
        except BackendError as why:
            self._verdict.give(why)
            raise
        self._verdict.good()
        return data

    def abort(self) -> None:
        self._verdict.none()
        self._inner.abort()


@define(eq=False)
class Health:
    """
    Matches :class:`s3proxy.manager.routing.Health` over guarded backends.

    :ivar budgets: Of those backends that have one.
    """

    _backends: dict[str, GuardedBackend]
    _budgets: Mapping[str, Budget] = field(factory=dict)

    def of_writes(self, backend: str) -> Standing:
        """See :class:`~s3proxy.manager.routing.Health`."""
        if self.is_spent(backend, 0):
            return Standing.RESTING
        return self._backends[backend].writes.standing()

    def of_reads(self, backend: str) -> tuple[Standing, float]:
        """See :class:`~s3proxy.manager.routing.Health`."""
        guarded = self._backends.get(backend)
        if guarded is None:
            # Not configured: it fails at once, and is asked last.
            return Standing.RESTING, 0.0
        budget = self._budgets.get(backend)
        if budget is not None and not budget.allows_read():
            return Standing.RESTING, 0.0
        return guarded.reads.standing(), guarded.speed.seconds()

    def is_spent(self, backend: str, size_bytes: int) -> bool:
        """See :class:`~s3proxy.manager.routing.Health`."""
        budget = self._budgets.get(backend)
        return budget is not None and not budget.allows_write(size_bytes)
