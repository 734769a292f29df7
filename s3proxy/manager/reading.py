"""
Reading an object's bytes: its parts in order, from whichever copy can give them.

Before the first byte a copy that fails is passed over. After it, the read goes on at
the same offset from another copy, or from the same one by a new connection. If none can
go on, the read fails and the caller breaks the client's connection: a short body never
ends cleanly.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendUnavailable,
    StoreError,
)
from s3proxy.manager.ports import Backend, Download, Ledger
from s3proxy.model import Copy, Part, StoredObject


@define
class _Segment:
    """What is still to come of one part: bytes *start* to *end* of it."""

    part: Part
    start: int
    end: int


def segments(parts: tuple[Part, ...], start: int, end: int) -> list[_Segment]:
    """The runs of parts that make up bytes *start* to *end* of an object."""
    runs = [
        _Segment(
            part,
            max(start - part.offset_bytes, 0),
            min(end - part.offset_bytes, part.size_bytes),
        )
        for part in parts
    ]
    return [run for run in runs if run.start < run.end]


@define(eq=False)
class ObjectReader:
    """
    A read under way.

    :ivar grace_seconds: The ledger keeps overwritten bytes for this long; a read that
        takes longer pins them from half of it on (design: long reads pin).
    """

    _stored: StoredObject
    _segments: list[_Segment]
    _backends: Mapping[str, Backend]
    _ledger: Ledger
    _clock: IReactorTime
    _grace_seconds: float
    _download: Download | None = None
    _copy: Copy | None = None
    _pin_call: IDelayedCall | None = None
    _moved_since_open: bool = False
    _failed_copies: set[str] = field(factory=set)
    _log = Logger()

    async def open(self) -> None:
        """
        Open the first connection.

        :raises BackendError: No copy of the first part can be had.
        """
        if self._segments:
            await self._connect()
        self._pin_call = self._clock.callLater(self._grace_seconds / 2, self._pin)

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` at the end.

        :raises BackendError: No copy can go on.
        """
        while self._segments:
            segment = self._segments[0]
            if self._download is None:
                await self._connect()
            assert self._download is not None
            try:
                data = await self._download.read()
            except BackendError as why:
                if self._download is None:
                    raise  # abort() came in between: nobody wants the rest
                self._give_up_copy(why)
                continue
            if data:
                segment.start += len(data)
                self._moved_since_open = True
                return data
            self._next_segment()
        self._close()
        return b""

    def abort(self) -> None:
        """Stop reading and close what is open. Calling it twice is fine."""
        self._segments.clear()
        self._close()

    def _next_segment(self) -> None:
        self._segments.pop(0)
        self._download = self._copy = None
        self._failed_copies.clear()

    def _give_up_copy(self, why: BackendError) -> None:
        """One copy broke off: its connection goes; without progress, so does it."""
        assert self._download is not None and self._copy is not None
        self._log.warn(
            "read of {key} broke off: {why}", key=self._stored.info.key, why=why
        )
        self._download.abort()
        if not self._moved_since_open or isinstance(why, BackendMismatch):
            self._failed_copies.add(self._copy.copy_id)
        self._download = None

    async def _connect(self) -> None:
        segment = self._segments[0]
        # The copy that just broke off comes last.
        candidates = sorted(
            (c for c in segment.part.copies if c.copy_id not in self._failed_copies),
            key=lambda each: each is self._copy,
        )
        failures: list[BackendError] = []
        for copy in candidates:
            backend = self._backends.get(copy.backend_name)
            if backend is None:
                failures.append(
                    BackendUnavailable(copy.backend_name, "is not configured")
                )
                continue
            try:
                self._download = await backend.open_get(
                    copy, segment.start, segment.end
                )
            except BackendError as why:
                self._log.warn("copy {copy}: {why}", copy=copy.copy_id, why=why)
                self._failed_copies.add(copy.copy_id)
                failures.append(why)
                continue
            self._copy, self._moved_since_open = copy, False
            return
        raise _worst(failures) or BackendUnavailable(
            self._copy.backend_name if self._copy else "none", "no copy can go on"
        )

    def _pin(self) -> None:
        self._pin_call = self._clock.callLater(self._grace_seconds / 2, self._pin)

        async def pin() -> None:
            try:
                await self._ledger.pin(self._stored.info.object_id)
            except StoreError as why:
                self._log.warn("read not pinned: {why}", why=why)

        Deferred.fromCoroutine(pin())

    def _close(self) -> None:
        if self._download is not None:
            self._download.abort()
            self._download = None
        if self._pin_call is not None and self._pin_call.active():
            self._pin_call.cancel()
        self._pin_call = None


def _worst(failures: list[BackendError]) -> BackendError | None:
    """What to report: that another try may work, if so; else that bytes are gone."""
    for kind in (BackendUnavailable, BackendMissing, BackendMismatch, BackendError):
        for each in failures:
            if isinstance(each, kind):
                return each
    return None
