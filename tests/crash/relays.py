"""
Relays that stand between a daemon and its servers, and lose or keep back what is said.

Each runs in threads of its own, since the tests that use them block. What is to be
caught is told by :meth:`catch`; everything else passes.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from attrs import define, evolve, field

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.crash.statements import Statements

PATIENCE_SECONDS = 20.0

#: lose: the answer is lost after the server gave it, and the connection with it.
#: drop: the message itself is lost, and the connection with it.
#: hold: likewise, but it reaches the server when the test delivers it.
#: cut: the server gets it, the connection is lost at once, its answer comes whenever.
#: mute: the server gets it and answers; the daemon hears nothing, on an open line.
Fate = Literal["lose", "drop", "hold", "cut", "mute"]


@define(eq=False)
class Caught:
    """One message that is to be caught; :meth:`wait` until it was."""

    words: str
    fate: Fate
    answer: bytes = b""
    _happened: threading.Event = field(factory=threading.Event)
    _answered: threading.Event = field(factory=threading.Event)
    _deliver: Callable[[], bytes] | None = None

    def wait(self) -> None:
        """Until its fate has come about: with *lose* and *mute*, the server did it."""
        assert self._happened.wait(PATIENCE_SECONDS), f"{self.words!r} never came"

    def wait_answered(self) -> None:
        """Until the server has answered it."""
        assert self._answered.wait(PATIENCE_SECONDS), f"{self.words!r}: no answer"

    def deliver(self) -> None:
        """Let a message that was held reach the server now."""
        self.wait()
        assert self._deliver is not None
        self.answered(self._deliver())

    def answered(self, answer: bytes) -> None:
        """For the relay."""
        self.answer = answer
        self._answered.set()

    def happened(self, deliver: Callable[[], bytes] | None = None) -> None:
        """For the relay."""
        self._deliver = deliver
        self._happened.set()


class _Catching:
    """What both relays share: the message to be caught next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: list[Caught] = []
        self.closed = threading.Event()

    def catch(self, words: str, fate: Fate) -> Caught:
        """Catch the next message that has *words* in it, once."""
        caught = Caught(words, fate)
        with self._lock:
            self._wanted.append(caught)
        return caught

    def take(self, message: str) -> Caught | None:
        """The order for this message, if there is one."""
        with self._lock:
            for each in self._wanted:
                if each.words in message:
                    self._wanted.remove(each)
                    return each
        return None

    def close(self) -> None:
        """Stop."""
        self.closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class DatabaseRelay(_Catching):
    """
    A Unix socket before PostgreSQL's.

    :ivar down: Connections, open ones too, are broken at the next message.
    """

    def __init__(self, database: DatabaseConfig) -> None:
        super().__init__()
        self.down = False
        name = f".s.PGSQL.{database.port}"
        self._target = str(Path(database.host) / name)
        self._directory = tempfile.mkdtemp(prefix="s3p-relay-", dir="/var/tmp")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(Path(self._directory) / name))
        self._listening.listen(64)
        self.config = evolve(database, host=self._directory)
        _in_thread(self._accept)

    def close(self) -> None:
        super().close()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _accept(self) -> None:
        while not self.closed.is_set():
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            _in_thread(partial(self._serve, near))

    def _serve(self, near: socket.socket) -> None:
        """Pass on a connection: the daemon's messages here, the server's in a thread"""
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._target)
        server = _Answers(far, near)
        _in_thread(server.pass_on)
        try:
            head = _exactly(near, 4)
            far.sendall(head + _exactly(near, struct.unpack("!I", head)[0] - 4))
            statements = Statements()
            while True:
                head = _exactly(near, 5)
                content = _exactly(near, struct.unpack("!I", head[1:])[0] - 4)
                message = head + content
                caught = None
                if head[:1] == b"Q":
                    sql = content.rstrip(b"\0").decode()
                    caught = self.take(statements.text_of(sql))
                if self.down:
                    break
                if caught is None:
                    far.sendall(message)
                elif self._meet_fate(message, caught, near, far, server):
                    return
        except (OSError, EOFError):
            pass
        _hang_up(near)
        _hang_up(far)

    def _meet_fate(
        self,
        message: bytes,
        caught: Caught,
        near: socket.socket,
        far: socket.socket,
        server: _Answers,
    ) -> bool:
        """Returns whether the connection to the server is to live on by itself."""

        def send() -> bytes:
            server.expect()
            far.sendall(message)
            return server.until_ready()

        if caught.fate in ("lose", "mute"):
            answer = send()
            if caught.fate == "lose":
                _hang_up(near)
            caught.answered(answer)
            caught.happened()
            if caught.fate == "mute":
                near.recv(1)
        elif caught.fate == "cut":
            server.expect()
            far.sendall(message)
            _hang_up(near)
            caught.happened()
            caught.answered(server.until_ready())
        else:
            # The server's connection stays open, as that of a session which the
            # server has not yet noticed to be dead.
            server.expect()
            _hang_up(near)
            caught.happened(send if caught.fate == "hold" else None)
            return caught.fate == "hold"
        _hang_up(far)
        return True


class _Answers:
    """What the server says on one connection."""

    def __init__(self, far: socket.socket, near: socket.socket) -> None:
        self._far = far
        self._near = near
        self._is_swallowed = False
        self._ready = threading.Event()
        self._swallowed = b""

    def expect(self) -> None:
        """From now on the daemon hears nothing."""
        self._is_swallowed = True

    def until_ready(self) -> bytes:
        """What was not passed on, once the server is ready for another statement."""
        self._ready.wait(PATIENCE_SECONDS)
        return self._swallowed

    def pass_on(self) -> None:
        try:
            while data := self._far.recv(65536):
                if not self._is_swallowed:
                    self._near.sendall(data)
                    continue
                self._swallowed += data
                # ReadyForQuery, outside of a transaction, comes last.
                if self._swallowed.endswith(b"Z\0\0\0\x05I"):
                    self._ready.set()
        except OSError:
            pass
        _hang_up(self._near)


class BackendRelay(_Catching):
    """
    An HTTP server before an S3 server's, whole requests at a time.

    What is looked for is in the request line: ``PUT /bucket/key``.

    :ivar down: Every request is answered by the end of its connection.
    """

    def __init__(self, backend: BackendConfig) -> None:
        super().__init__()
        self.down = False
        target = urlsplit(backend.endpoint)
        assert target.hostname is not None and target.port is not None
        self.target = (target.hostname, target.port)
        relay = self

        class Handler(_Handler):
            pass

        Handler.relay = relay
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        port = self._server.server_address[1]
        self.config = evolve(backend, endpoint=f"http://127.0.0.1:{port}")
        _in_thread(lambda: self._server.serve_forever(0.05))

    def close(self) -> None:
        super().close()
        self._server.shutdown()
        self._server.server_close()


_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})


class _Handler(BaseHTTPRequestHandler):
    """One connection of the daemon."""

    protocol_version = "HTTP/1.1"
    relay: BackendRelay

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        caught = self.relay.take(f"{self.command} {self.path}")
        if len(body) < length or self.relay.down:
            self._break_off()
            return

        def forward() -> bytes:
            return self._forward(body)

        if caught is None:
            self.wfile.write(forward())
            self.wfile.flush()
            return
        if caught.fate in ("lose", "mute", "cut"):
            answer = forward()
            if caught.fate != "mute":
                self._break_off()
            caught.answered(answer)
            caught.happened()
            if caught.fate == "mute":
                self.rfile.read(1)
        else:
            self._break_off()
            caught.happened(forward if caught.fate == "hold" else None)
        self.close_connection = True

    def _forward(self, body: bytes) -> bytes:
        """The server's whole answer, framed anew."""
        server = http.client.HTTPConnection(*self.relay.target, timeout=30)
        try:
            server.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            data = answer.read()
        finally:
            server.close()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        for name, value in answer.getheaders():
            if name.lower() not in (
                "connection",
                "content-length",
                "transfer-encoding",
            ):
                lines.append(f"{name}: {value}")
        length = answer.getheader("content-length") or "0"
        if self.command != "HEAD":
            length = str(len(data))
        if answer.status != 204:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + data

    def _break_off(self) -> None:
        self.close_connection = True
        _hang_up(self.connection)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _exactly(source: socket.socket, count: int) -> bytes:
    """:raises EOFError: The connection ended before."""
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
