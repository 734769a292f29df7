"""A client's connection to a process, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from chaos.client import Answer
from s3proxy.web.channel import S3Channel
from tests.simulation.process import Process
from tests.simulation.scheduler import Scheduler

#: A request's body goes in pieces of about so many bytes.
PIECE_BYTES = 100


@implementer(ITransport, IConsumer, IPushProducer)
@define(eq=False)
class Wire:
    """
    One request, and its answer.

    :ivar cut: After so many bytes of the body the client leaves.
    :ivar done: Called with the answer, once.
    """

    scheduler: Scheduler
    process: Process
    done: Callable[[Answer], None]
    cut: int | None = None
    bufferSize: int = 0
    disconnecting: bool = False
    _channel: S3Channel | None = None
    _received: bytearray = field(factory=bytearray)
    _is_over: bool = False

    def send(self, head: bytes, body: bytes) -> None:
        """Connect, and send a request, a piece each time that it comes to that."""
        self._channel = self.process.site.buildProtocol(self.getPeer())
        assert self._channel is not None
        self.process.owner.check()
        self._channel.makeConnection(self)
        sent = body if self.cut is None else body[: self.cut]
        pieces = [head]
        random, at = self.scheduler.random, 0
        while at < len(sent):
            size = random.randint(1, 2 * PIECE_BYTES)
            pieces.append(sent[at : at + size])
            at += size
        self._send_next(pieces)

    def _send_next(self, pieces: list[bytes]) -> None:
        def go() -> None:
            if self._is_over:
                return
            assert self._channel is not None
            if pieces:
                self._channel.dataReceived(pieces.pop(0))
                self._send_next(pieces)
            else:
                self.leave()

        if pieces:
            words = f"{self.process.owner.name} receives {len(pieces[0])} bytes"
            self.scheduler.add(self.process.owner, words, go)
        elif self.cut is not None:
            self.scheduler.add(self.process.owner, "client leaves", go)

    def leave(self) -> None:
        """The client goes away."""
        self._end(ConnectionLost())

    def broken(self) -> None:
        """The process is dead: nothing of it is called."""
        self._finish(Answer(0))

    # ITransport

    def write(self, data: bytes) -> None:
        """Bytes of the answer."""
        if self._is_over or self.process.owner.is_dead:
            return
        self._received += data
        answer = self._parse()
        if answer is not None:
            self._finish(answer)
            self._later(ConnectionDone())

    def writeSequence(self, data: list[bytes]) -> None:
        """See ITransport."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """See ITransport."""
        self._later(ConnectionDone())

    def abortConnection(self) -> None:
        """See ITCPTransport."""
        self._later(ConnectionLost())

    def getPeer(self) -> IPv4Address:
        """See ITransport."""
        return IPv4Address("TCP", "127.0.0.1", 1)

    def getHost(self) -> IPv4Address:
        """See ITransport."""
        return IPv4Address("TCP", "127.0.0.1", 2)

    # IConsumer, IPushProducer: the network takes all, and pieces come one by one.

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """See IConsumer."""

    def unregisterProducer(self) -> None:
        """See IConsumer."""

    def pauseProducing(self) -> None:
        """See IPushProducer."""

    def resumeProducing(self) -> None:
        """See IPushProducer."""

    def stopProducing(self) -> None:
        """See IPushProducer."""

    # Inside

    def _later(self, why: Exception) -> None:
        self.scheduler.soon.append(lambda: self._end(why))

    def _end(self, why: Exception) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and not self.process.owner.is_dead:
            channel.connectionLost(Failure(why))
        self._finish(Answer(0, is_whole=False))

    def _finish(self, answer: Answer) -> None:
        if not self._is_over:
            self._is_over = True
            self.done(answer)

    def _parse(self) -> Answer | None:
        """The answer, if it is whole."""
        while True:
            head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
            if not found:
                return None
            status_line, *lines = head.decode("latin-1").split("\r\n")
            status = int(status_line.split()[1])
            if status != 100:
                break
            del self._received[: len(head) + 4]
        headers: Mapping[str, str] = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        if "transfer-encoding" in headers:
            if not rest.endswith(b"0\r\n\r\n"):
                return None
            body = _unchunked(rest)
        else:
            length = int(headers.get("content-length", 0))
            if len(rest) < length and status not in (204, 304):
                return None
            body = rest
        if status == 200 and b"<Error>" in body[:200]:
            status = 0
        return Answer(status, headers, body)


def _unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        body += data[:count]
        data = data[count + 2 :]
    return body


def request(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
) -> bytes:
    """The head."""
    lines = [f"{method} {path} HTTP/1.1", "host: h"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("PUT", "POST"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode()
