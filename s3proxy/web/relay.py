"""An object's bytes on their way to a client, at the client's pace."""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from s3proxy.errors import ClientGone
from s3proxy.web.answer import Reader
from s3proxy.web.request import S3Request

#: More than this is not given to the connection at once.
PIECE_BYTES = 256 * 1024


class ShortRead(Exception):
    """A reader ended before, or went past, the length that the client was told."""


async def relay(
    request: S3Request,
    reader: Reader,
    length: int,
    *,
    clock: IReactorTime,
    stall_seconds: float,
) -> None:
    """
    Write *length* bytes of *reader* as the request's body.

    The reader is aborted whenever it is not read to its end, never during a read.

    :param stall_seconds: How long the client may leave what was sent unread.
    :raises ClientGone: It left, or stalled.
    :raises BackendError: No copy can go on. Break the connection.
    :raises ShortRead: Likewise.
    """
    pipe = _Relay(request, reader, clock, stall_seconds)
    request.on_gone = pipe.stopProducing
    if request.gone:
        pipe.stopProducing()
    else:
        request.registerProducer(pipe, True)  # type: ignore[no-untyped-call]
    try:
        await pipe.run(length)
    except BaseException:
        reader.abort()
        raise
    finally:
        request.on_gone = None
        if not request.gone:
            request.unregisterProducer()  # type: ignore[no-untyped-call]


@implementer(IPushProducer)
@define(eq=False)
class _Relay:
    """The producer that the connection pauses while its buffer is full."""

    _request: S3Request
    _reader: Reader
    _clock: IReactorTime
    _stall_seconds: float
    _paused: bool = False
    _stopped: bool = False
    _turn: Deferred[None] | None = None

    async def run(self, length: int) -> None:
        sent = 0
        while True:
            if self._paused:
                await self._resumed()
            if self._stopped:
                raise ClientGone
            data = await self._reader.read()
            if self._stopped:
                raise ClientGone
            if not data:
                break
            sent += len(data)
            if sent > length:
                raise ShortRead(f"more than {length} bytes")
            await self._write(data)
        if sent != length:
            raise ShortRead(f"{sent} of {length} bytes")

    def pauseProducing(self) -> None:
        """The connection's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It is empty again."""
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        """The client is gone. A read under way ends first, by itself."""
        self._stopped = True
        self._go_on()

    async def _write(self, data: bytes) -> None:
        if len(data) <= PIECE_BYTES:
            self._request.write(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), PIECE_BYTES):
            if self._paused:
                await self._resumed()
            if self._stopped:
                raise ClientGone
            self._request.write(bytes(view[start : start + PIECE_BYTES]))

    async def _resumed(self) -> None:
        timer = self._clock.callLater(self._stall_seconds, self._request.break_off)
        self._turn = Deferred()
        try:
            await self._turn
        finally:
            if timer.active():
                timer.cancel()

    def _go_on(self) -> None:
        if self._turn is not None:
            turn, self._turn = self._turn, None
            turn.callback(None)
