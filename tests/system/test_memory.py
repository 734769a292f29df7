"""
A body is never held whole: what many large ones take is bounded, whatever their size.

``bench/memory.py`` does the same with 64 of 1 GiB.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.daemon import SHORT_LEDGER, Daemon
from tests.servers import PostgresServer
from tests.system import memory
from tests.system.discarding import DiscardingServer
from tests.system.memory import MIB
from tests.system.wire import open_put

COUNT, SIZE = 16, 48 * MIB
STALLED, STALLED_SIZE = 8, 64 * MIB
#: Of a transfer that stands still: queues and buffers on both sides of the daemon.
EACH = 3 * MIB
#: No lease is lost on a busy machine, and no job wakes the daemon while it is watched.
LEDGER = {**SHORT_LEDGER, "lease": "60s", "collect_interval": "60s"}


@pytest.fixture(scope="module")
def backend() -> Iterator[DiscardingServer]:
    """A backend that is never the bottleneck."""
    with DiscardingServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(postgres: PostgresServer, backend: DiscardingServer) -> Iterator[Daemon]:
    """A daemon in front of it."""
    database = postgres.create_database()
    with Daemon(database, [backend.config()], ledger=LEDGER) as daemon:
        yield daemon
    postgres.drop_database(database)


@pytest.fixture
def warm(daemon: Daemon) -> int:
    """Once what every daemon needs is there: what it holds, in bytes."""
    assert memory.upload(daemon.port, "warm", STALLED_SIZE) == "HTTP/1.1 200 OK"
    assert memory.download(daemon.port, "warm")[1] == STALLED_SIZE
    return memory.resident_bytes(daemon.pid)


def test_clients_that_do_not_read(daemon: Daemon, warm: int) -> None:
    """Each costs the daemon its buffers, and no more of the object."""
    with ExitStack() as stack:
        for _ in range(STALLED):
            stack.enter_context(memory.stalled_download(daemon.port, "warm"))
        memory.wait_idle(daemon.pid)
        assert memory.resident_bytes(daemon.pid) - warm < STALLED * EACH


def test_a_backend_that_does_not_read(
    daemon: Daemon, backend: DiscardingServer, warm: int
) -> None:
    """Its uploads stand still, and cost the daemon their buffers."""
    with ExitStack() as stack:
        backend.signal(signal.SIGSTOP)
        stack.callback(backend.signal, signal.SIGCONT)
        for number in range(STALLED):
            upload = open_put(daemon.port, f"stalled-{number}", STALLED_SIZE)
            stack.enter_context(upload)
            # The kernel may have taken 40 MiB, the daemon a few buffers.
            assert memory.send_all_it_takes(upload, STALLED_SIZE) < STALLED_SIZE
        memory.wait_idle(daemon.pid)
        assert memory.resident_bytes(daemon.pid) - warm < STALLED * EACH
        assert daemon.health()


def test_many_large_transfers(daemon: Daemon) -> None:
    """Uploads at once, then downloads at once, in less than 200 MiB."""
    memory.upload_many(daemon.port, COUNT, SIZE)
    memory.download_many(daemon.port, COUNT, SIZE)
    assert memory.peak_bytes(daemon.pid) < 200 * MIB
