"""A client that sends exactly the bytes it is told, and reads answers."""

from __future__ import annotations

from collections.abc import Callable
from socket import SO_RCVBUF, SOL_SOCKET
from xml.etree import ElementTree

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IHandshakeListener,
    IListeningPort,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure
from zope.interface import implementer

#: Bounds waits for things that happen at once; nothing is expected to take it, even
#: where others have nearly all of the machine.
PATIENCE_SECONDS = 120

WINDOW_BYTES = 256 * 1024


@frozen
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for each, value in self.headers if each == name.lower()]
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def code(self) -> str:
        found = ElementTree.fromstring(self.body).findtext("Code")
        assert found is not None
        return found

    def field(self, name: str) -> str | None:
        return ElementTree.fromstring(self.body).findtext(name)


async def soon(waiting: Deferred) -> object:
    return await waiting.addTimeout(PATIENCE_SECONDS, reactor)


@implementer(IHandshakeListener)
class Wire(Protocol):
    """
    :ivar is_secure: TLS has begun.
    :ivar received: What has come and was not taken yet.
    :ivar ended: The server has closed its side, or the connection broke.
    :ivar why: How it ended.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_secure = False
        self.ended = False
        self.why: Failure | None = None
        self._event: Deferred[None] | None = None

    def handshakeCompleted(self) -> None:
        self.is_secure = True
        self._wake()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._wake()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.ended, self.why = True, reason
        self._wake()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def pause(self) -> None:
        self.transport.pauseProducing()

    def resume(self) -> None:
        self.transport.resumeProducing()

    def close(self) -> None:
        self.transport.loseConnection()

    def abort(self) -> None:
        if not self.ended:
            self.transport.abortConnection()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._event = Deferred()
            await soon(self._event)

    async def end(self) -> bytes:
        """What is left when the server has closed."""
        await self.until(lambda: self.ended)
        return bytes(self.received)

    async def response(self, *, head: bool = False) -> Response:
        """The next answer, 100 Continue included, taken off what was received."""
        await self.until(lambda: b"\r\n\r\n" in self.received or self.ended)
        assert b"\r\n\r\n" in self.received, f"cut: {bytes(self.received)!r}"
        raw, _, _ = bytes(self.received).partition(b"\r\n\r\n")
        del self.received[: len(raw) + 4]
        status_line, *lines = raw.decode("latin-1").split("\r\n")
        headers = [
            (name.lower(), value.strip())
            for name, _, value in (line.partition(":") for line in lines)
        ]
        status = int(status_line.split()[1])
        known = dict(headers)
        assert "transfer-encoding" not in known
        bodiless = head or status in (204, 304) or status < 200
        length = 0 if bodiless else int(known["content-length"])
        await self.until(lambda: len(self.received) >= length or self.ended)
        body = bytes(self.received[:length])
        del self.received[:length]
        return Response(status, headers, body)

    def _wake(self) -> None:
        if self._event is not None:
            event, self._event = self._event, None
            event.callback(None)


def bound_window(transport: ITCPTransport | IListeningPort) -> None:
    """
    Let the kernel hold little of what nobody reads.

    Left alone it may hold as much as the machine is set to: 32 MiB with newer kernels.
    """
    transport.socket.setsockopt(SOL_SOCKET, SO_RCVBUF, WINDOW_BYTES)


async def connect(port: int, ca: bytes | None = None) -> Wire:
    """
    :param ca: Speak TLS, and trust this authority (PEM).
    """
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    if ca is not None:
        trust = Certificate.loadPEM(ca)
        options = optionsForClientTLS("localhost", trust)
        endpoint = wrapClientTLS(options, endpoint)
    wire: Wire = await connectProtocol(endpoint, Wire())
    bound_window(wire.transport if ca is None else wire.transport.transport)
    await wire.until(lambda: ca is None or wire.is_secure or wire.ended)
    return wire


def request(
    method: str, target: str, *lines: str, body: bytes = b"", host: str = "h"
) -> bytes:
    """A request with one Host header, *lines* and a Content-Length where it matters."""
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines]
    if body or method in ("PUT", "POST"):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
