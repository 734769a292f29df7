"""A request's body as it arrives: pushed by the network, pulled by a handler."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from s3proxy.errors import RequestTimeout
from s3proxy.web.limits import Limits

CHUNK_BYTES = 64 * 1024


class Flow(Protocol):
    """The connection that the body comes over."""

    def pauseBody(self) -> None:
        """Stop reading from the client."""

    def resumeBody(self) -> None:
        """Read on."""

    def sendContinue(self) -> None:
        """Write ``100 Continue``."""


@define(eq=False)
class RequestBody:
    """
    Matches :class:`s3proxy.manager.ports.Body`.

    The client is paused while much is unread, so a slow reader holds a bounded number
    of bytes, whatever the body's size. Only time in which a reader waits for the client
    counts against the client.

    :ivar length: Declared length in bytes; None for a chunked body.
    :ivar expects: The client waits for ``100 Continue``; the first read sends it.
    :ivar received: Bytes that came so far, discarded ones included.
    :ivar ended: The whole body has come.
    """

    #: A plain body has no trailer.
    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    length: int | None
    _flow: Flow
    _clock: IReactorTime
    _limits: Limits
    expects: bool = False
    received: int = 0
    ended: bool = False
    _queue: deque[bytes] = field(factory=deque)
    _queued_bytes: int = 0
    _paused: bool = False
    _reading: bool = False
    _discarding: bool = False
    _error: Exception | None = None
    _arrival: Deferred[None] | None = None
    _waited_seconds: float = 0.0

    async def read(self) -> bytes:
        """See :meth:`s3proxy.manager.ports.Body.read`. One reader at a time."""
        if not self._reading:
            self._reading = True
            if self.expects and not self.received:
                self._flow.sendContinue()
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            await self._wait()
        data = self._queue.popleft()
        if self._queue and len(data) + len(self._queue[0]) <= CHUNK_BYTES:
            data = self._joined(data)
        self._queued_bytes -= len(data)
        if self._paused and self._queued_bytes <= self._limits.queue_low_bytes:
            self._resume()
        return data

    @property
    def rest_is_small(self) -> bool:
        """
        Whether what is still to come is on its way and worth waiting for.

        Not when the client holds it back for a ``100 Continue`` that it will not get.
        """
        if self.ended:
            return True
        if self._error is not None or self.length is None:
            return False
        if self.expects and not self._reading and not self.received:
            return False
        return self.length - self.received <= self._limits.rest_bytes

    def feed(self, data: bytes) -> None:
        """Take bytes from the network."""
        self.received += len(data)
        if self._discarding or not data:
            return
        if len(data) <= CHUNK_BYTES:
            self._queue.append(data)
        else:
            view = memoryview(data)
            for start in range(0, len(data), CHUNK_BYTES):
                self._queue.append(bytes(view[start : start + CHUNK_BYTES]))
        self._queued_bytes += len(data)
        # The reader goes first: what it takes at once is no reason to pause.
        self._wake()
        if not self._paused and self._queued_bytes >= self._limits.queue_high_bytes:
            self._paused = True
            self._flow.pauseBody()

    def end(self) -> None:
        """The whole body has come."""
        self.ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """
        No more will come; readers get *error*.

        A body that is whole stays readable: the request is complete, and whether its
        client still listens shows when it is answered.
        """
        if self.ended or self._error is not None:
            return
        self._error = error
        self._clear()
        self._wake()

    def discard(self) -> None:
        """Nobody will read: drop what is queued and what comes."""
        self._discarding = True
        self._clear()
        if self._paused:
            self._resume()

    def _joined(self, data: bytes) -> bytes:
        """Small pieces cost every later stage a turn each; make one of them."""
        pieces, size = [data], len(data)
        while self._queue and size + len(self._queue[0]) <= CHUNK_BYTES:
            size += len(self._queue[0])
            pieces.append(self._queue.popleft())
        return b"".join(pieces)

    def _clear(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0

    def _resume(self) -> None:
        self._paused = False
        self._flow.resumeBody()

    def _wake(self) -> None:
        if self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            arrival.callback(None)

    def _give_up(self) -> None:
        self.fail(RequestTimeout())

    async def _wait(self) -> None:
        """Wait for bytes, the end, or a failure: a client too slow is one."""
        limits = self._limits
        allowed = (
            limits.body_credit_seconds
            + self.received / limits.body_bytes_per_second
            - self._waited_seconds
        )
        patience = max(0.0, min(limits.body_idle_seconds, allowed))
        timer = self._clock.callLater(patience, self._give_up)
        began = self._clock.seconds()
        self._arrival = Deferred()
        try:
            await self._arrival
        finally:
            self._waited_seconds += self._clock.seconds() - began
            if timer.active():
                timer.cancel()
