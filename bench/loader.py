"""
A load generator that is not the bottleneck: processes that only move bytes.

Requests are signed before the clock starts (a signature is good for 15 minutes). Each
process drives its connections from one epoll loop over raw sockets, and parses no more
of an answer than its end needs. Every result says how busy the busiest process was, so
that a loader which did become the bottleneck shows.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from attrs import define, field, frozen

from s3proxy.s3.sigv4 import UNSIGNED_PAYLOAD, sign_headers, uri_encode

RECEIVE_BYTES = 256 * 1024
PIECE_BYTES = 1024 * 1024
STALL_SECONDS = 60.0


@frozen
class Target:
    """Where requests go, and with whose keys."""

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.endpoint)
        assert parts.hostname is not None and parts.port is not None
        return parts.hostname, parts.port

    def head(
        self,
        method: str,
        key: str = "",
        *,
        query: str = "",
        body: bytes = b"",
        is_hashed: bool = True,
    ) -> bytes:
        """
        The signed request line and headers of a request.

        :param query: Encoded.
        :param is_hashed: Whether the body's SHA-256 is signed; else UNSIGNED-PAYLOAD.
        """
        path = f"/{self.bucket}" + (f"/{uri_encode(key, slash=False)}" if key else "")
        payload = UNSIGNED_PAYLOAD
        if is_hashed:
            payload = hashlib.sha256(body).hexdigest()
        headers = {"host": urlsplit(self.endpoint).netloc}
        headers |= sign_headers(
            method,
            path,
            query,
            headers,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            region=self.region,
            payload_hash=payload,
            now=datetime.now(UTC),
        )
        if method == "PUT":
            headers["content-length"] = str(len(body))
        target = path + (f"?{query}" if query else "")
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


@frozen
class Load:
    """
    What one process shall send, over how many connections, for how long at most.

    :ivar heads: Requests without their bodies; each is sent once.
    :ivar body: Sent after every head.
    :ivar body_bytes: What every answer's body must have; None = anything.
    :ivar marker: What every answer must contain.
    :ivar is_stream: Bodies are large: one request after the other, a thread of
        blocking calls per process instead of an epoll loop.
    """

    address: tuple[str, int]
    heads: Sequence[bytes]
    body: bytes = b""
    connections: int = 1
    seconds: float = 60.0
    body_bytes: int | None = None
    marker: bytes = b""
    is_stream: bool = False


@define
class Outcome:
    """
    What came of a load.

    :ivar latencies: Of every good answer, in seconds.
    :ivar errors: Everything that is no good answer, by what it was.
    :ivar busy: CPU time per second of the busiest process; near 1.0 = the bottleneck.
    """

    began: float = float("inf")
    ended: float = 0.0
    latencies: array[float] = field(factory=lambda: array("d"))
    errors: Counter[str] = field(factory=Counter)
    busy: float = 0.0

    def add(self, other: Outcome) -> None:
        """Join another process's outcome."""
        self.began = min(self.began, other.began)
        self.ended = max(self.ended, other.ended)
        self.latencies.extend(other.latencies)
        self.errors.update(other.errors)
        self.busy = max(self.busy, other.busy)

    @property
    def done(self) -> int:
        """Good answers."""
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return self.done / max(self.ended - self.began, 1e-9)


class Loader:
    """Processes that wait for loads."""

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process, pipe in self._workers:
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.kill()

    def run(
        self,
        target: Target,
        heads: Sequence[bytes],
        *,
        body: bytes = b"",
        connections: int,
        seconds: float,
        body_bytes: int | None = None,
        marker: bytes = b"",
        is_stream: bool = False,
    ) -> Outcome:
        """Send *heads*, dealt out over processes and connections; wait for the end."""
        used = self._workers[: min(len(self._workers), connections)]
        for number, (_, pipe) in enumerate(used):
            pipe.send(
                Load(
                    target.address,
                    heads[number :: len(used)],
                    body,
                    len(range(number, connections, len(used))),
                    seconds,
                    body_bytes,
                    marker,
                    is_stream,
                )
            )
        for _, pipe in used:
            pipe.recv()  # connected
        for _, pipe in used:
            pipe.send(None)
        outcome = Outcome()
        for _, pipe in used:
            outcome.add(pipe.recv())
        return outcome


def _work(pipe: Pipe) -> None:
    """The main function of a process."""
    while True:
        try:
            load: Load = pipe.recv()
        except EOFError:
            return

        def start() -> None:
            pipe.send("ready")
            pipe.recv()

        pipe.send((_stream if load.is_stream else _hammer)(load, start))


class _Peer:
    """One connection of the epoll loop."""

    __slots__ = ("data", "is_head", "needed", "sent_at", "socket", "status")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = _connect(address)
        self.reset(is_head=False)

    def reset(self, *, is_head: bool) -> None:
        """Forget the last answer."""
        self.data = b""
        self.needed = -1  # bytes in all; -1 = the headers are not here, -2 = chunked
        self.status = 0
        self.is_head = is_head
        self.sent_at = 0.0

    def take(self, data: bytes) -> bool:
        """Whether the answer is complete."""
        self.data = data = self.data + data if self.data else data
        if self.needed == -1:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.status = int(data[9:12])
            length = _length(data[:end], self.is_head or self.status in (204, 304))
            self.needed = -2 if length is None else end + 4 + length
        if self.needed == -2:
            return data.endswith(b"\r\n0\r\n\r\n")
        return len(data) >= self.needed


def _length(head: bytes, is_empty: bool) -> int | None:
    """The length of the body after *head*; None = chunked."""
    if is_empty:
        return 0
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at >= 0:
        return int(lowered[at + 17 :].split(b"\r\n", 1)[0])
    return None if b"\r\ntransfer-encoding: chunked" in lowered else 0


def _hammer(load: Load, start: Callable[[], None]) -> Outcome:
    """Small requests: every connection has one under way, until none is left."""
    outcome = Outcome()
    waiting = deque(load.heads)
    poll = select.epoll()
    peers: dict[int, _Peer] = {}
    body, clock, latencies = load.body, time.monotonic, outcome.latencies

    def send(peer: _Peer) -> bool:
        if not waiting or clock() > until:
            return False
        head = waiting.popleft()
        peer.reset(is_head=head.startswith(b"HEAD"))
        peer.sent_at = clock()
        # Both fit into a socket's buffer, so that this never blocks for long.
        sent = peer.socket.sendmsg((head, body))
        if sent < len(head) + len(body):
            peer.socket.sendall((head + body)[sent:])
        return True

    def renew(peer: _Peer) -> None:
        poll.unregister(peer.socket)
        del peers[peer.socket.fileno()]
        peer.socket.close()
        peer.socket = _connect(load.address)
        peers[peer.socket.fileno()] = peer
        poll.register(peer.socket, select.EPOLLIN)

    for _ in range(load.connections):
        peer = _Peer(load.address)
        peers[peer.socket.fileno()] = peer
        poll.register(peer.socket, select.EPOLLIN)
    start()
    cpu = time.process_time()
    outcome.began = clock()
    until = outcome.began + load.seconds
    busy = sum(send(peer) for peer in tuple(peers.values()))
    while busy:
        events = poll.poll(STALL_SECONDS)
        if not events:
            outcome.errors["stalled"] += busy
            break
        for number, _event in events:
            peer = peers[number]
            try:
                data = peer.socket.recv(RECEIVE_BYTES)
            except OSError:
                data = b""
            if data and not peer.take(data):
                continue
            if not data:
                outcome.errors["connection lost"] += 1
                renew(peer)
            elif not 200 <= peer.status < 300:
                outcome.errors[f"status {peer.status}"] += 1
                if b"\r\nconnection: close" in peer.data.lower():
                    renew(peer)
            elif _is_wrong(peer, load.body_bytes) or load.marker not in peer.data:
                outcome.errors["wrong body"] += 1
            else:
                latencies.append(clock() - peer.sent_at)
            if not send(peer):
                busy -= 1
    outcome.ended = clock()
    outcome.busy = (time.process_time() - cpu) / (outcome.ended - outcome.began)
    poll.close()
    for peer in peers.values():
        peer.socket.close()
    return outcome


def _is_wrong(peer: _Peer, body_bytes: int | None) -> bool:
    if body_bytes is None or peer.needed == -2:
        return False
    return peer.needed - peer.data.index(b"\r\n\r\n") - 4 != body_bytes


def _stream(load: Load, start: Callable[[], None]) -> Outcome:
    """Large bodies, up or down, one after the other over one connection."""
    outcome = Outcome()
    buffer = memoryview(bytearray(PIECE_BYTES))
    connection = _connect(load.address)
    start()
    cpu = time.process_time()
    outcome.began = time.monotonic()
    for head in load.heads:
        began = time.monotonic()
        if began > outcome.began + load.seconds:
            break
        try:
            status, length = _exchange(connection, head, load.body, buffer)
        except OSError as why:
            outcome.errors[type(why).__name__] += 1
            connection.close()
            connection = _connect(load.address)
            continue
        if not 200 <= status < 300:
            outcome.errors[f"status {status}"] += 1
        elif load.body_bytes is not None and length != load.body_bytes:
            outcome.errors["wrong body"] += 1
        else:
            outcome.latencies.append(time.monotonic() - began)
    outcome.ended = time.monotonic()
    outcome.busy = (time.process_time() - cpu) / (outcome.ended - outcome.began)
    connection.close()
    return outcome


def _exchange(
    connection: socket.socket, head: bytes, body: bytes, buffer: memoryview
) -> tuple[int, int]:
    """One request; returns the status and how many bytes of body came."""
    connection.sendall(head)
    view = memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        connection.sendall(view[start : start + PIECE_BYTES])
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        piece = connection.recv(RECEIVE_BYTES)
        if not piece:
            raise ConnectionError("closed")
        data += piece
    length = _length(data[:end], is_empty=False)
    status, came = int(data[9:12]), len(data) - end - 4
    if length is None:
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data = data[-16:] + (piece := connection.recv(RECEIVE_BYTES))
            came += len(piece)
        return status, came
    while came < length:
        got = connection.recv_into(buffer)
        if not got:
            raise ConnectionError("closed")
        came += got
    return status, came


def _connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=STALL_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
