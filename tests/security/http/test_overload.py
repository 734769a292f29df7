"""Case 69: a thousand say nothing, two hundred send, and the backend stalls."""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.daemon import SHORT_LEDGER, Daemon
from tests.security.http import raw
from tests.servers import PostgresServer
from tests.system import memory
from tests.system.discarding import DiscardingServer

MIB = 1024 * 1024
HALF_OPEN, SLOW, SIZE = 1000, 200, 64 * MIB
#: Large transfers that are let in at once.
ROOM = 32
#: No lease is lost on a busy machine, and no job wakes the daemon while it is watched.
LEDGER = {**SHORT_LEDGER, "lease": "120s", "collect_interval": "60s"}


@pytest.fixture(scope="module")
def backend() -> Iterator[DiscardingServer]:
    with DiscardingServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(postgres: PostgresServer, backend: DiscardingServer) -> Iterator[Daemon]:
    database = postgres.create_database()
    server = {"max_buffer_bytes": ROOM * MIB, "max_connections_per_ip": 1500}
    with Daemon(database, [backend.config()], ledger=LEDGER, server=server) as daemon:
        yield daemon
        assert "Traceback" not in daemon.log.read_text()
    postgres.drop_database(database)


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may have as many sockets as the test opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HALF_OPEN + 4 * SLOW
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("case", [pytest.param(69, id="case-69")])
def test_many_that_stand_still(
    daemon: Daemon, backend: DiscardingServer, case: int
) -> None:
    """
    Memory is bounded by the configuration; those past it get 503 SlowDown at once, the
    others are served when the backend goes on.
    """
    assert memory.upload(daemon.port, "warm", SIZE).endswith("200 OK")
    warm = memory.resident_bytes(daemon.pid)
    with ExitStack() as stack:
        for _ in range(HALF_OPEN):
            half = stack.enter_context(raw.connect(daemon.port))
            half.sendall(b"PUT /unified/k HTTP/1.1\r\nHost: h")
        backend.signal(signal.SIGSTOP)
        stack.callback(backend.signal, signal.SIGCONT)
        puts = []
        for number in range(SLOW):
            put = stack.enter_context(raw.connect(daemon.port))
            put.sendall(raw.request("PUT", f"/unified/{number}", length=SIZE))
            puts.append(put)
        admitted, refused = puts[:ROOM], puts[ROOM:]
        for put in refused:
            answer = raw.receive(put)
            assert (answer.status, answer.code) == (503, "SlowDown")
            assert int(answer.header("retry-after") or 0) >= 1
        sent = [_fill(put) for put in admitted]
        assert max(sent) < SIZE
        memory.wait_idle(daemon.pid)
        grown = memory.resident_bytes(daemon.pid) - warm
        assert grown < (ROOM + 24) * MIB
        assert daemon.health()
        backend.signal(signal.SIGCONT)
        for put, done in list(zip(admitted, sent, strict=True))[:4]:
            _send(put, SIZE - done)
            assert raw.receive(put).status == 200
    # The others have gone away, and there is room again.
    assert memory.upload(daemon.port, "after", SIZE).endswith("200 OK")


def _fill(put: socket.socket) -> int:
    """Send until nobody takes more; returns how much was taken."""
    put.settimeout(0.05)
    sent = 0
    try:
        while True:
            sent += put.send(b"x" * MIB)
    except TimeoutError:
        put.settimeout(raw.PATIENCE_SECONDS)
        return sent


def _send(put: socket.socket, size: int) -> None:
    block = b"x" * MIB
    for start in range(0, size, MIB):
        put.sendall(block[: size - start])
