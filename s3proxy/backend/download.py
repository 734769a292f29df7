"""A GET from a backend: a small queue between its connection and the reader."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH

from s3proxy.backend.answers import Response, header, mismatch, unavailable
from s3proxy.backend.documents import bare_etag
from s3proxy.backend.limits import Limits, Signal, Stalled
from s3proxy.errors import BackendError, BackendUnavailable
from s3proxy.model import Copy

#: The connection is paused with this many bytes queued, and resumed with those.
HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


def flaw(response: Response, copy: Copy, start: int, end: int) -> str | None:
    """
    What is wrong with a success as the answer to a GET of *start* to *end*, if any.

    An answer without a length (chunked) is let through: its bytes are counted.
    """
    if (start, end) != (0, copy.size_bytes):
        # Some (rclone) send the part with 200; Content-Range says what it is.
        if response.code not in (200, 206):
            return f"status {response.code} to a range"
        sent = header(response.headers, "content-range") or ""
        match = _CONTENT_RANGE.fullmatch(sent.strip())
        wanted = (start, end - 1, copy.size_bytes)
        if match is None or tuple(map(int, match.groups())) != wanted:
            said = f"status {response.code}, Content-Range {sent or 'missing'}"
            return f"{said}, for bytes {start}-{end - 1}"
    elif response.code != 200:
        return f"status {response.code}"
    if response.length is not UNKNOWN_LENGTH and response.length != end - start:
        return f"Content-Length {response.length} for {end - start} bytes"
    etag = bare_etag(header(response.headers, "etag"))
    if copy.backend_etag is not None and etag != copy.backend_etag:
        return f"ETag {etag}, recorded was {copy.backend_etag}"
    return None


class S3Download(Protocol):
    """
    One GET under way; matches :class:`s3proxy.manager.ports.Download`.

    Bytes that came before a fault are read first, then the fault. Where all bytes came
    and only the framing's end did not, nothing is missing.
    """

    transport: Any = None

    def __init__(
        self,
        backend: str,
        length: int,
        *,
        clock: IReactorTime,
        limits: Limits,
        release: Callable[[], None],
    ) -> None:
        """
        :param length: How many bytes must come.
        :param release: Gives the place among the concurrent calls back; called once.
        """
        self._backend = backend
        self._missing = length
        self._limits = limits
        self._release: Callable[[], None] | None = release
        self._event = Signal(clock)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._is_paused = False
        self._is_over = False
        self._broken: BackendError | None = None

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` once the whole range has come.

        :raises BackendError: It broke off short, stalled, or sent too much.
        """
        while not self._queue:
            if self._broken is not None:
                raise self._broken
            if self._is_over:
                return b""
            await self._wait()
        data = self._queue.popleft()
        self._queued -= len(data)
        if self._is_paused and self._queued <= LOW_WATER_BYTES and not self._is_over:
            self._is_paused = False
            self.transport.resumeProducing()
        return data

    @property
    def missing_bytes(self) -> int:
        """What has not come."""
        return max(self._missing, 0)

    def abort(self) -> None:
        """Drop the connection. Calling it at or after the end is fine."""
        self._queue.clear()
        self._queued = 0
        self._break(BackendUnavailable(self._backend, "given up here"))

    def dataReceived(self, data: bytes) -> None:
        if self._is_over:
            return
        self._missing -= len(data)
        if self._missing < 0:
            self._break(mismatch(self._backend, "more bytes than were asked for"))
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._queued >= HIGH_WATER_BYTES and not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()
        self._event.fire()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._is_over:
            return
        if self._missing:
            self._broken = unavailable(self._backend, reason.value)
        self._end()

    async def _wait(self) -> None:
        try:
            await self._event.wait(self._limits.stall_seconds, "no byte came")
        except Stalled as why:
            self._break(unavailable(self._backend, why))
        except CancelledError:
            self.abort()
            raise

    def _break(self, error: BackendError) -> None:
        if self._is_over:
            return
        self._broken = error
        self._end()
        self.transport.abortConnection()

    def _end(self) -> None:
        self._is_over = True
        release, self._release = self._release, None
        if release is not None:
            release()
        self._event.fire()
