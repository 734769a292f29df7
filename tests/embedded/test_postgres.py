"""The embedded PostgreSQL starts, survives what kills it, and stops."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater

from s3proxy.config import DatabaseConfig
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.postgres import EmbeddedPostgres

FAST = {"fsync": "off"}


def make(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, reactor, settings=FAST)  # type: ignore[arg-type]


def query(config: DatabaseConfig, statement: str) -> Any:
    connection = psycopg2.connect(
        host=config.host, port=config.port, dbname=config.database, user=config.user
    )
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def stop_watching(server: EmbeddedPostgres) -> None:
    """As if the process that started it were gone."""
    watch = server._supervisor._watch
    assert watch is not None
    watch.cancel()


def server_pid(data_dir: Path) -> int:
    text = (data_dir / "postgres" / "pg" / "postmaster.pid").read_text()
    return int(text.splitlines()[0])


@ensureDeferred
async def test_rows_are_kept_over_a_stop(data_dir: Path) -> None:
    """A second start finds the first one's rows; nothing runs after a stop."""
    server = make(data_dir)
    config = await server.start()
    assert (config.database, config.user) == ("s3proxy", "s3proxy")
    query(config, "CREATE TABLE t AS SELECT 7 AS n")
    await server.stop()
    with pytest.raises(psycopg2.OperationalError):
        query(config, "SELECT 1")
    again = make(data_dir)
    config = await again.start()
    assert query(config, "SELECT n FROM t") == [(7,)]
    await again.stop()
    await again.stop()


@ensureDeferred
async def test_fsync_is_on_by_default(data_dir: Path) -> None:
    """Without settings of a test, every write is synced."""
    server = EmbeddedPostgres(data_dir, reactor)  # type: ignore[arg-type]
    config = await server.start()
    shown = query(config, "SELECT current_setting('fsync')")
    keys = query(config, "SELECT 'a' < 'B', current_setting('server_encoding')")
    await server.stop()
    assert shown == [("on",)]
    assert keys == [(False, "UTF8")]


@ensureDeferred
async def test_killed_server_comes_back(data_dir: Path) -> None:
    """When the server dies, it is started again at the same address, rows and all."""
    server = make(data_dir)
    config = await server.start()
    query(config, "CREATE TABLE t AS SELECT 7 AS n")
    first = server_pid(data_dir)
    os.kill(first, signal.SIGKILL)
    for _poll in range(300):
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        try:
            assert query(config, "SELECT n FROM t") == [(7,)]
            break
        except psycopg2.OperationalError:
            continue
    else:
        pytest.fail("it did not come back")
    assert server_pid(data_dir) != first
    await server.stop()


@ensureDeferred
async def test_server_of_another_run_is_replaced(data_dir: Path) -> None:
    """A server left behind by a run that was killed is stopped in order first."""
    left = make(data_dir)
    config = await left.start()
    query(config, "CREATE TABLE t AS SELECT 7 AS n")
    pid = server_pid(data_dir)
    stop_watching(left)
    server = make(data_dir)
    config = await server.start()
    assert server_pid(data_dir) != pid
    assert query(config, "SELECT n FROM t") == [(7,)]
    await server.stop()
    await left.stop()


@ensureDeferred
async def test_reused_process_number_is_no_obstacle(data_dir: Path) -> None:
    """A stale pid file whose number is another process's now does not stop a start."""
    server = make(data_dir)
    await server.start()
    pid_file = data_dir / "postgres" / "pg" / "postmaster.pid"
    text = pid_file.read_text()
    await server.stop()
    stranger = os.getpid()
    pid_file.write_text("\n".join([str(stranger), *text.splitlines()[1:]]) + "\n")
    await server.start()
    assert server_pid(data_dir) != stranger
    await server.stop()


@ensureDeferred
async def test_cut_off_first_start(data_dir: Path) -> None:
    """What an initdb that was killed left is thrown away."""
    half = data_dir / "postgres" / "pg.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = make(data_dir)
    config = await server.start()
    assert query(config, "SELECT 1") == [(1,)]
    await server.stop()
    assert not half.exists()


@ensureDeferred
async def test_other_major_version_is_refused(data_dir: Path) -> None:
    """Another PostgreSQL's cluster is left alone, and the message names both."""
    cluster = data_dir / "postgres" / "pg"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL 12, and 18 is installed"):
        await make(data_dir).start()
    assert sorted(path.name for path in cluster.iterdir()) == ["PG_VERSION"]


@ensureDeferred
async def test_long_path(data_dir: Path) -> None:
    """A socket's path has room for 107 bytes; a deep data_dir works all the same."""
    deep = data_dir / ("d" * 60) / ("e" * 60)
    server = make(deep)
    config = await server.start()
    assert query(config, "SELECT 1") == [(1,)]
    await server.stop()
    assert config.host.startswith(tempfile.gettempdir())
    assert Path(config.host).name not in os.listdir(tempfile.gettempdir())


@ensureDeferred
async def test_failed_start_shows_the_servers_words(data_dir: Path) -> None:
    """A start that fails says what the server said, and leaves nothing running."""
    server = EmbeddedPostgres(
        data_dir,
        reactor,  # type: ignore[arg-type]
        settings={"max_connections": "many"},
    )
    with pytest.raises(EmbeddedError, match="max_connections"):
        await server.start()
    await server.stop()
