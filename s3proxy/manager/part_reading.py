"""
Reading a run of one part's bytes, from whichever copy can give them.

The copy on the backend that does best comes first; see ``routing.Health``.

Before the first byte a copy that fails is passed over. After it, the read goes on at
the same offset from another copy, or from the same one by a new connection (protocol,
rules 16 and 17).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendSpent,
    BackendUnavailable,
)
from s3proxy.manager.ports import Backend, Download
from s3proxy.manager.routing import Health, NothingKnown
from s3proxy.model import Copy, Part


@define(eq=False)
class PartReader:
    """
    :ivar start: The next byte to read, within the part.
    :ivar end: The one after the last.
    """

    part: Part
    start: int
    end: int
    _backends: Mapping[str, Backend]
    _health: Health = field(factory=NothingKnown)
    _download: Download | None = None
    _copy: Copy | None = None
    _moved_since_open: bool = False
    _failed_copies: set[str] = field(factory=set)
    _log = Logger()

    @property
    def missing_bytes(self) -> int:
        """What is still to come."""
        return self.end - self.start

    async def open(self) -> None:
        """
        Open a connection, unless there is one.

        :raises BackendError: No copy can be had.
        """
        if self._download is None:
            await self._connect()

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` at the end.

        :raises BackendError: No copy can go on.
        """
        while True:
            await self.open()
            assert self._download is not None
            try:
                data = await self._download.read()
            except BackendError as why:
                if self._download is None:
                    raise  # abort() came in between: nobody wants the rest
                self._give_up_copy(why)
                continue
            if data:
                self.start += len(data)
                self._moved_since_open = True
            return data

    def abort(self) -> None:
        """Drop the connection. Calling it twice, or at the end, is fine."""
        if self._download is not None:
            self._download.abort()
            self._download = None

    def _give_up_copy(self, why: BackendError) -> None:
        """One copy broke off: its connection goes; without progress, so does it."""
        assert self._download is not None and self._copy is not None
        self._log.warn("copy {copy} broke off: {why}", copy=self._copy.copy_id, why=why)
        self._download.abort()
        if not self._moved_since_open or isinstance(why, BackendMismatch):
            self._failed_copies.add(self._copy.copy_id)
        self._download = None

    async def _connect(self) -> None:
        # Wrong bytes are better than none, and worse than those of another try.
        good = [each for each in self.part.copies if not each.is_quarantined]
        # The copy that just broke off comes last.
        candidates = sorted(
            (
                each
                for each in good or self.part.copies
                if each.copy_id not in self._failed_copies
            ),
            key=lambda each: (
                each is self._copy,
                self._health.of_reads(each.backend_name),
            ),
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
                self._download = await backend.open_get(copy, self.start, self.end)
            except BackendError as why:
                # Of a budget that is used up it would be said with every read.
                if not isinstance(why, BackendSpent):
                    self._log.warn("copy {copy}: {why}", copy=copy.copy_id, why=why)
                self._failed_copies.add(copy.copy_id)
                failures.append(why)
                continue
            self._copy, self._moved_since_open = copy, False
            return
        # Whoever asks again, later, gets another try at all of them.
        self._failed_copies.clear()
        raise _worst(failures) or BackendUnavailable(
            self._copy.backend_name if self._copy else "none", "no copy can go on"
        )


def _worst(failures: list[BackendError]) -> BackendError | None:
    """What to report: that another try may work, if so; else that bytes are gone."""
    for each in failures:
        if isinstance(each, BackendUnavailable) and not isinstance(each, BackendSpent):
            return each
    for kind in (BackendUnavailable, BackendMissing, BackendMismatch, BackendError):
        for each in failures:
            if isinstance(each, kind):
                return each
    return None
