"""Several processes share the embedded servers of one data directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from s3proxy.config import BackendConfig, DatabaseConfig, UsageConfig
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.runtime import Embedded, EmbeddedParts
from tests.embedded.test_postgres import query
from tests.embedded.test_postgres import server_pid as postgres_pid
from tests.embedded.test_s3server import get, put
from tests.embedded.test_s3server import server_pid as s3_pid

Holder = tuple["subprocess.Popen[str]", EmbeddedParts]


def make(data_dir: Path, *, postgres: bool = True, s3: bool = True) -> Embedded:
    return Embedded(
        data_dir,
        reactor,  # type: ignore[arg-type]
        want_postgres=postgres,
        want_s3=s3,
    )


@pytest.fixture
def hold(data_dir: Path) -> Iterator[Callable[[], Holder]]:
    """Start another process that owns the servers; killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start() -> Holder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded.holder", str(data_dir)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        said: dict[str, Any] = json.loads(process.stdout.readline())
        return process, EmbeddedParts(
            DatabaseConfig(**said["database"]),
            tuple(
                BackendConfig(**{**each, "usage": UsageConfig(**each["usage"])})
                for each in said["backends"]
            ),
        )

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def has(data_dir: Path, name: str) -> bool:
    return (data_dir / name).exists()


async def gone(pid: int) -> None:
    """Wait until there is no process *pid*."""
    for _poll in range(1200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
    pytest.fail(f"process {pid} still runs")


@ensureDeferred
async def test_nothing_wanted_touches_nothing(data_dir: Path) -> None:
    """With database and backends configured, no file is made and nothing runs."""
    embedded = make(data_dir / "absent", postgres=False, s3=False)
    assert await embedded.start() == EmbeddedParts(None, ())
    await embedded.stop()
    assert os.listdir(data_dir) == []


@ensureDeferred
async def test_second_process_uses_the_running_servers(
    data_dir: Path, hold: Callable[[], Holder]
) -> None:
    """It finds them by the state file, which is private, and leaves them running."""
    _process, parts = hold()
    assert parts.database is not None
    beside = make(data_dir)
    assert await beside.start() == parts
    pids = postgres_pid(data_dir), s3_pid(data_dir)
    await beside.stop()
    assert (postgres_pid(data_dir), s3_pid(data_dir)) == pids
    assert query(parts.database, "SELECT 1") == [(1,)]
    assert os.stat(data_dir / "state.json").st_mode & 0o77 == 0


@ensureDeferred
async def test_other_process_ends_and_we_take_over(
    data_dir: Path, hold: Callable[[], Holder]
) -> None:
    """When the owner stops, the servers come back as ours, at the same address."""
    process, parts = hold()
    assert parts.database is not None
    await put(parts.backends[0], "k", b"x")
    query(parts.database, "CREATE TABLE t AS SELECT 7 AS n")
    beside = make(data_dir)
    await beside.start()
    process.terminate()
    await deferToThread(process.wait, 60)
    for _poll in range(1200):
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        if has(data_dir, "state.json"):
            break
    assert query(parts.database, "SELECT n FROM t") == [(7,)]
    assert await get(parts.backends[0], "k") == b"x"
    await beside.stop()
    with pytest.raises(psycopg2.OperationalError):
        query(parts.database, "SELECT 1")
    assert not has(data_dir, "state.json")


@ensureDeferred
async def test_killed_owner_loses_nothing(
    data_dir: Path, hold: Callable[[], Holder]
) -> None:
    """After a SIGKILL the servers end by themselves, and a new start has it all."""
    process, parts = hold()
    assert parts.database is not None
    await put(parts.backends[1], "k", b"x")
    query(parts.database, "CREATE TABLE t AS SELECT 7 AS n")
    pids = postgres_pid(data_dir), s3_pid(data_dir)
    # Ctrl-C reaches a whole session's foreground: the servers must not be in ours.
    assert [os.getsid(pid) for pid in pids] == list(pids)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for pid in pids:
        await gone(pid)
    again = make(data_dir)
    assert await again.start() == parts
    assert query(parts.database, "SELECT n FROM t") == [(7,)]
    assert await get(parts.backends[1], "k") == b"x"
    await again.stop()


@ensureDeferred
async def test_owner_without_what_we_need(data_dir: Path) -> None:
    """A running s3proxy with another configuration is named as the reason."""
    owner = make(data_dir, s3=False)
    await owner.start()
    with pytest.raises(EmbeddedError, match="has backends in its configuration"):
        await make(data_dir).start()
    await owner.stop()


@ensureDeferred
async def test_failed_start_leaves_nothing(data_dir: Path) -> None:
    """When one server cannot start, the other is stopped and the lock is free."""
    (data_dir / "s3server.json").write_text("{}")
    with pytest.raises(EmbeddedError, match=r"s3server\.json is damaged"):
        await make(data_dir).start()
    assert not has(data_dir, "postgres/pg/postmaster.pid")
    os.unlink(data_dir / "s3server.json")
    embedded = make(data_dir, postgres=False)
    assert (await embedded.start()).database is None
    await embedded.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@ensureDeferred
async def test_closed_data_dir_is_refused(tmp_path: Path) -> None:
    """Root's servers run as nobody: a directory closed to that user is named."""
    os.chmod(tmp_path, 0o700)
    with pytest.raises(EmbeddedError, match="which the user nobody"):
        await make(tmp_path / "data").start()
