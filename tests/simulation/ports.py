"""What a process reaches over the network: the ledger and the backends, by calls that
the schedule lets through, fails, or loses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field

from s3proxy.errors import (
    BackendMismatch,
    BackendMissing,
    BackendUnavailable,
    OutcomeUnknown,
    StoreUnavailable,
)
from s3proxy.manager.ports import BackendKey, Stored
from s3proxy.model import Copy, FoundObject, Part, StoredObject
from tests.fakes.backend import MemoryBackend
from tests.simulation.faults import Fate
from tests.simulation.scheduler import Owner, Scheduler, at_once

#: Statements whose unknown outcome their callers look after; see store/running.py.
LOOKED_AFTER = frozenset({"commit_copies", "commit_part_copies", "commit", "complete"})

#: So many bytes of a download come at a time.
PIECE_BYTES = 150


@define(eq=False)
class Promises:
    """
    What whoever has seen a live copy may rely on: its bytes stay for ``ledger.grace``.

    :ivar violations: What was not kept.
    """

    now: Callable[[], float]
    grace_seconds: float
    violations: list[str] = field(factory=list)
    _until: dict[str, float] = field(factory=dict)
    _copies: dict[str, set[str]] = field(factory=dict)

    def seen(self, object_id: str, parts: tuple[Part, ...]) -> None:
        """These copies were live just now."""
        for copy in (copy for part in parts for copy in part.copies):
            self._until[copy.copy_id] = self.now() + self.grace_seconds
            self._copies.setdefault(object_id, set()).add(copy.copy_id)

    def pinned(self, object_id: str) -> None:
        """What is promised yet is so for another grace."""
        for copy_id in self._copies.get(object_id, ()):
            if self._until[copy_id] > self.now():
                self._until[copy_id] = self.now() + self.grace_seconds

    def missing(self, copy: Copy) -> None:
        """A backend has not got it."""
        if self._until.get(copy.copy_id, self.now()) > self.now():
            self.violations.append(
                f"taken away: {copy.backend_key} on {copy.backend_name} is gone, within "
                "the grace of somebody who has seen it live, or pinned it"
            )


@define(eq=False)
class Remote:
    """
    A class of the ledger's, at the other end of a connection.

    :ivar note_failure: Called where the ledger could not be reached.
    """

    _inner: Any
    _owner: Owner
    _scheduler: Scheduler
    _note_failure: Callable[[], None]
    _promises: Promises

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    async def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        scheduler = self._scheduler
        is_commit = name in LOOKED_AFTER
        fate = scheduler.weather.of_ledger(scheduler.random, is_commit=is_commit)

        def do() -> Any:
            result = at_once(getattr(self._inner, name)(*args, **kwargs))
            if isinstance(result, StoredObject):
                self._promises.seen(result.info.object_id, result.parts)
            elif name == "parts" and result and isinstance(result[0], Part):
                self._promises.seen(args[0], result)
            elif name == "pin":
                self._promises.pinned(args[0])
            return result

        def error(fate: Fate) -> Exception:
            self._note_failure()
            if fate is not Fate.REFUSED and is_commit:
                return OutcomeUnknown(f"{name}: {fate.value}")
            return StoreUnavailable(f"{name}: {fate.value}")

        return await scheduler.call(self._owner, f"ledger {name}", do, fate, error)


class RemoteUploads(Remote):
    """Completes once more where it does not know, as ``store.uploads`` does."""

    async def complete(self, *args: Any, **kwargs: Any) -> Any:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        try:
            return await self._call("complete", *args, **kwargs)
        except OutcomeUnknown:
            try:
                return await self._call("complete", *args, **kwargs)
            except OutcomeUnknown as why:
                raise StoreUnavailable(str(why)) from why


@define(eq=False)
class RemoteBackend:
    """:class:`s3proxy.manager.ports.Backend`, at the other end of a connection."""

    _inner: MemoryBackend
    _owner: Owner
    _scheduler: Scheduler
    _promises: Promises

    @property
    def name(self) -> str:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return self._inner.name

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> RemoteUpload:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        await self.call(f"PUT {copy.backend_key}", lambda: None, landed=False)
        return RemoteUpload(self, copy, dict(headers))

    async def open_get(self, copy: Copy, start: int, end: int) -> RemoteDownload:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> bytes:
            try:
                download = at_once(self._inner.open_get(copy, start, end))
            except BackendMissing:
                self._promises.missing(copy)
                raise
            return download._data

        data: bytes = await self.call(f"GET {copy.backend_key} {start}-{end}", do)
        return RemoteDownload(self, data)

    async def copy(
        self, source: Copy, target: Copy, headers: dict[str, str], *, md5: str
    ) -> Stored:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> Stored:
            return at_once(self._inner.copy(source, target, headers, md5=md5))

        words = f"COPY {source.backend_key} to {target.backend_key}"
        stored: Stored = await self.call(words, do, is_put=True)
        return stored

    async def delete(self, backend_key: str, version_id: str | None) -> None:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> None:
            at_once(self._inner.delete(backend_key, version_id))

        await self.call(f"DELETE {backend_key}", do)

    async def head(self, backend_key: str) -> tuple[BackendKey, dict[str, str]]:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> tuple[BackendKey, dict[str, str]]:
            return at_once(self._inner.head(backend_key))

        found: tuple[BackendKey, dict[str, str]] = await self.call(
            f"HEAD {backend_key}", do
        )
        return found

    async def delete_unchanged(
        self, backend_key: str, version_id: str | None, size_bytes: int, etag: str | None
    ) -> bool:
        """Nothing is adopted here."""
        raise NotImplementedError

    async def inspect(self, backend_key: str) -> FoundObject:
        """Likewise."""
        raise NotImplementedError

    async def list_page(
        self, prefix: str, token: str | None
    ) -> tuple[list[BackendKey], str | None]:
        """Likewise."""
        raise NotImplementedError

    async def call(
        self,
        words: str,
        do: Callable[[], Any],
        *,
        is_put: bool = False,
        landed: bool = True,
    ) -> Any:
        """
        :param landed: Whether the whole body may be there where the answer is not.
        """
        scheduler = self._scheduler
        fate = scheduler.weather.of_backend(scheduler.random, is_put=is_put)
        if fate is Fate.CORRUPT:
            fate = Fate.DONE

            def corrupt(do: Callable[[], Any] = do) -> Any:
                self._inner.corrupt()
                return do()

            do, words = corrupt, f"{words} [corrupt]"

        def error(fate: Fate) -> Exception:
            may_land = landed and fate is not Fate.REFUSED
            return BackendUnavailable(self.name, fate.value, landed=may_land)

        return await scheduler.call(
            self._owner, f"{self.name} {words}", do, fate, error
        )


@define(eq=False)
class RemoteUpload:
    """A PUT under way: its backend sees it when it is whole."""

    _backend: RemoteBackend
    _copy: Copy
    _headers: dict[str, str]
    _data: bytearray = field(factory=bytearray)
    _is_aborted: bool = False

    async def write(self, data: bytes) -> None:
        """See :class:`~s3proxy.manager.ports.Upload`."""
        self._check()
        words = f"{self._copy.backend_key}: {len(data)} bytes"
        await self._backend.call(words, lambda: None, landed=False)
        self._data += data

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        """See :class:`~s3proxy.manager.ports.Upload`."""
        self._check()
        whole = bytes(self._data) + data
        if len(whole) != self._copy.size_bytes:
            raise ValueError("another length than announced")

        def do() -> Stored:
            stored = self._backend._inner.land(self._copy, self._headers, whole)
            if stored.etag != md5:
                raise BackendMismatch(self._backend.name, "another ETag")
            return stored

        stored: Stored = await self._backend.call(
            f"{self._copy.backend_key}: the last of {len(whole)} bytes",
            do,
            is_put=True,
        )
        return stored

    def abort(self) -> None:
        """See :class:`~s3proxy.manager.ports.Upload`."""
        self._is_aborted = True

    def _check(self) -> None:
        if self._is_aborted:
            raise BackendUnavailable(self._backend.name, "aborted")


@define(eq=False)
class RemoteDownload:
    """A GET under way: its backend goes on with what it has opened."""

    _backend: RemoteBackend
    _left: bytes
    _is_aborted: bool = False

    async def read(self) -> bytes:
        """See :class:`~s3proxy.manager.ports.Download`."""
        if self._is_aborted:
            raise BackendUnavailable(self._backend.name, "aborted")
        if not self._left:
            return b""
        await self._backend.call(f"{len(self._left)} bytes to come", lambda: None)
        piece, self._left = self._left[:PIECE_BYTES], self._left[PIECE_BYTES:]
        return piece

    def abort(self) -> None:
        """See :class:`~s3proxy.manager.ports.Download`."""
        self._is_aborted = True


