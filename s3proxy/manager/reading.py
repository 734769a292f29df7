"""
Reading an object's bytes (protocol, rule 15): its parts in order, the next one opened
before the current one ends. If no copy of a part can go on, the read fails and the
caller breaks the client's connection: a short body never ends cleanly.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.errors import BackendError
from s3proxy.manager.part_reading import PartReader
from s3proxy.manager.pinning import Pin
from s3proxy.manager.ports import Backend
from s3proxy.manager.routing import Health
from s3proxy.model import Part

#: The next part's connection is opened when so little of the current one is to come.
AHEAD_BYTES = 4 * 1024 * 1024


def part_readers(
    parts: tuple[Part, ...],
    start: int,
    end: int,
    backends: Mapping[str, Backend],
    health: Health,
) -> list[PartReader]:
    """The runs of parts that make up bytes *start* to *end* of an object."""
    runs = [
        PartReader(
            part,
            max(start - part.offset_bytes, 0),
            min(end - part.offset_bytes, part.size_bytes),
            backends,
            health,
        )
        for part in parts
    ]
    return [run for run in runs if run.missing_bytes > 0]


@define(eq=False)
class ObjectReader:
    """
    A read under way.

    :ivar pin: Of the object, while the read goes on.
    """

    _pin: Pin
    _parts: list[PartReader]
    _ahead: Deferred[None] | None = None
    _log = Logger()

    async def open(self) -> None:
        """
        Open the first connection.

        :raises BackendError: No copy of the first part can be had.
        """
        # Before the first copy is tried: it may take long to fail.
        self._pin.start()
        try:
            if self._parts:
                await self._parts[0].open()
        except BaseException:
            self._close()
            raise

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` at the end.

        :raises BackendError: No copy can go on.
        """
        while self._parts:
            current = self._parts[0]
            data = await current.read()
            if data:
                if current.missing_bytes <= AHEAD_BYTES and self._ahead is None:
                    self._look_ahead()
                return data
            current.abort()
            ahead, self._ahead = self._ahead, None
            if ahead is not None:
                await ahead
            if self._parts:
                self._parts.pop(0)
        self._close()
        return b""

    def abort(self) -> None:
        """Stop reading and close what is open. Calling it twice is fine."""
        self._close()
        self._parts.clear()

    def _look_ahead(self) -> None:
        if len(self._parts) < 2:
            return
        following = self._parts[1]

        async def open_it() -> None:
            try:
                await following.open()
            except BackendError as why:
                # Its turn will come, and another try with it.
                self._log.info("not opened ahead: {why}", why=why)

        self._ahead = Deferred.fromCoroutine(open_it())

    def _close(self) -> None:
        for part in self._parts[:2]:
            part.abort()
        if self._ahead is not None and len(self._parts) > 1:
            # Still opening: it is dropped as soon as it is there.
            following = self._parts[1]
            self._ahead.addCallback(lambda _: following.abort())
        self._ahead = None
        self._pin.stop()
