"""A TCP proxy that misbehaves on request, and an HTTP server that has a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure


class FaultProxy:
    """
    Stands between a client and a server. What is set holds at once, unless said
    otherwise; byte counts are per connection.

    :ivar refuse: New connections are reset.
    :ivar black_hole: Nothing is passed on, either way; connections stay open.
    :ivar cut_up: Both sides are reset once so many bytes went to the server.
    :ivar cut_down: Likewise, bytes that went to the client.
    :ivar end_down: The client sees the connection's orderly end after so many bytes.
    :ivar flip_down: The byte of this offset is passed to the client wrong.
    :ivar connections: How many were accepted.
    :ivar up_bytes: Passed to the server, of all connections.
    :ivar down_bytes: Passed to the client, of all connections.
    """

    def __init__(self, reactor: Any, port: int, host: str = "127.0.0.1") -> None:
        self._reactor = reactor
        self._target = (host, port)
        self._listening: Any = None
        self._open: set[_Near] = set()
        self.port = 0
        self.refuse = False
        self.black_hole = False
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self.end_down: int | None = None
        self.flip_down: int | None = None
        self.connections = 0
        self.up_bytes = 0
        self.down_bytes = 0

    def start(self) -> None:
        """Listen, on a free port of loopback."""
        factory = Factory.forProtocol(lambda: _Near(self))
        self._listening = self._reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        """Close the port and every connection."""
        self.reset()
        await self._listening.stopListening()

    def reset(self) -> None:
        """Reset every open connection, on both sides."""
        for near in tuple(self._open):
            near.reset()

    def passed_up(self, near: _Near, data: bytes) -> bytes:
        """What of *data* the server is to see."""
        if self.black_hole:
            return b""
        if self.cut_up is not None and near.up_bytes + len(data) >= self.cut_up:
            data = data[: max(0, self.cut_up - near.up_bytes)]
            self._reactor.callLater(0, near.reset)
        near.up_bytes += len(data)
        self.up_bytes += len(data)
        return data

    def passed_down(self, near: _Near, data: bytes) -> bytes:
        """What of *data* the client is to see."""
        if self.black_hole:
            return b""
        if self.flip_down is not None:
            at = self.flip_down - near.down_bytes
            if 0 <= at < len(data):
                data = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        for limit, action in ((self.cut_down, near.reset), (self.end_down, near.end)):
            if limit is not None and near.down_bytes + len(data) >= limit:
                data = data[: max(0, limit - near.down_bytes)]
                self._reactor.callLater(0, action)
        near.down_bytes += len(data)
        self.down_bytes += len(data)
        return data


class _Near(Protocol):
    """The side of the client."""

    transport: Any = None

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.up_bytes = 0
        self.down_bytes = 0
        self.far: _Far | None = None
        self._early: list[bytes] = []

    def connectionMade(self) -> None:
        self.proxy.connections += 1
        if self.proxy.refuse:
            self.transport.abortConnection()
            return
        self.proxy._open.add(self)
        self.transport.pauseProducing()
        host, port = self.proxy._target
        self.proxy._reactor.connectTCP(host, port, _FarFactory(self))

    def far_made(self, far: _Far) -> None:
        self.far = far
        self.transport.registerProducer(far.transport, True)
        far.transport.registerProducer(self.transport, True)
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        data = self.proxy.passed_up(self, data)
        if self.far is not None and data:
            self.far.transport.write(data)

    def from_far(self, data: bytes) -> None:
        data = self.proxy.passed_down(self, data)
        if data:
            self.transport.write(data)

    def reset(self) -> None:
        self.transport.abortConnection()
        if self.far is not None:
            self.far.transport.abortConnection()

    def end(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.proxy._open.discard(self)
        if self.far is not None:
            self.far.transport.unregisterProducer()
            self.far.transport.loseConnection()


class _Far(Protocol):
    """The side of the server."""

    transport: Any = None

    def __init__(self, near: _Near) -> None:
        self.near = near

    def connectionMade(self) -> None:
        self.near.far_made(self)

    def dataReceived(self, data: bytes) -> None:
        self.near.from_far(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.near.proxy.black_hole:
            self.near.end()


class _FarFactory(ClientFactory):
    noisy = False

    def __init__(self, near: _Near) -> None:
        self._near = near

    def buildProtocol(self, addr: Any) -> _Far:
        return _Far(self._near)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._near.reset()


@frozen
class Reply:
    """
    What the stub does with one request.

    :ivar answer: Raw bytes, status line and all; empty for no answer.
    :ivar after_bytes: Answer once so many bytes of the body came, and read no more;
        None for all of it.
    :ivar then: What becomes of the connection: kept, ended, reset, or ended as soon as
        the client's next request comes in on it.
    """

    answer: bytes = b""
    after_bytes: int | None = None
    then: Literal["keep", "end", "reset", "end_at_next"] = "keep"


@frozen
class Received:
    """A request as the stub saw it; the body as far as it was read."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


def http(
    status: int,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    length: int | None = -1,
) -> bytes:
    """
    An answer's bytes.

    :param length: Content-Length; -1 for the body's own, None for no such header.
    """
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def error(status: int, code: str, message: str = "no") -> bytes:
    """An answer with an S3 error document."""
    return http(
        status,
        f"<?xml version='1.0'?><Error><Code>{code}</Code>"
        f"<Message>{message}</Message></Error>".encode(),
        {"Content-Type": "application/xml"},
    )


@define(eq=False)
class Stub:
    """
    An HTTP server that answers its requests, in order, from a script.

    :ivar replies: What is left of the script; a request past its end is not answered.
    :ivar received: What came.
    """

    reactor: Any
    replies: list[Reply] = field(factory=list)
    received: list[Received] = field(factory=list)
    port: int = 0
    connections: int = 0
    open: set[_StubConnection] = field(factory=set)
    _listening: Any = None
    _waiting: list[tuple[Callable[[], bool], Deferred[None]]] = field(factory=list)

    def start(self, tls: Any = None) -> None:
        """
        Listen, on a free port of loopback.

        :param tls: A certificate's options, to speak TLS with.
        """
        factory = Factory.forProtocol(lambda: _StubConnection(self))
        if tls is None:
            port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            port = self.reactor.listenSSL(0, factory, tls, interface="127.0.0.1")
        self._listening = port
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        """Close the port and every connection."""
        for connection in tuple(self.open):
            connection.transport.abortConnection()
        await self._listening.stopListening()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happens here makes *condition* true."""
        if condition():
            return
        waiting: Deferred[None] = Deferred()
        self._waiting.append((condition, waiting))
        waiting.addTimeout(10, self.reactor)
        await waiting

    def changed(self) -> None:
        """Wake who waits for what is true now."""
        for entry in tuple(self._waiting):
            condition, waiting = entry
            if condition():
                self._waiting.remove(entry)
                waiting.callback(None)


class _StubConnection(Protocol):
    transport: Any = None

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self._data = b""
        self._end_at_next = False
        self._is_deaf = False

    def connectionMade(self) -> None:
        self.stub.connections += 1
        self.number = self.stub.connections
        self.stub.open.add(self)
        self.stub.changed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.stub.open.discard(self)
        self.stub.changed()

    def dataReceived(self, data: bytes) -> None:
        if self._end_at_next:
            self.transport.loseConnection()
            return
        self._data += data
        while not self._is_deaf and self._take():
            pass

    def _take(self) -> bool:
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found or not self.stub.replies:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        reply = self.stub.replies[0]
        wanted = int(headers.get("content-length", 0))
        if reply.after_bytes is not None:
            wanted = min(wanted, reply.after_bytes)
            self._is_deaf = len(rest) >= wanted
        if len(rest) < wanted:
            return False
        del self.stub.replies[0]
        self._data = rest[wanted:]
        self.stub.received.append(
            Received(method, target, headers, rest[:wanted], self.number)
        )
        if reply.answer:
            self.transport.write(reply.answer)
        if reply.then == "end":
            self.transport.loseConnection()
        elif reply.then == "reset":
            self.stub.reactor.callLater(0, self.transport.abortConnection)
        self._end_at_next = reply.then == "end_at_next"
        if self._is_deaf:
            self.transport.pauseProducing()
        self.stub.changed()
        return True
