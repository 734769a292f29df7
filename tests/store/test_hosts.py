"""Several listed servers: who is tried, and how long one that is silent holds it up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from s3proxy.config import DatabaseConfig
from s3proxy.store.connection import Connection
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.hosts import PATIENCE_SECONDS, connect_any, each_host
from tests.store.conftest import Database, MakePool, clock_time


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """Where something listens, and says nothing to anybody."""
    # Names of sockets are short.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()
        yield str(tmp_path)


async def opened(
    config: DatabaseConfig, *hosts: str, seconds: float = 10
) -> Connection:
    listed = evolve(config, host=",".join(hosts))
    return await connect_any(connection_arguments(listed), reactor, seconds)


def test_each_host() -> None:
    """Everything else is the same for all."""
    assert each_host({"host": "a,/run/b", "port": "1"}) == [
        {"host": "a", "port": "1"},
        {"host": "/run/b", "port": "1"},
    ]


@ensureDeferred
async def test_one_that_is_silent_hides_no_other(db: Database, silent: str) -> None:
    """A primary that has frozen, and the standby that was promoted in its place."""
    began = clock_time()
    connection = await opened(db.config, silent, db.config.host)
    try:
        assert await connection.query("SELECT 1", None, 10) == [(1,)]
        assert clock_time() - began >= PATIENCE_SECONDS
    finally:
        connection.close()


@ensureDeferred
async def test_one_that_is_away_costs_nothing(
    db: Database, tmp_path: Path, silent: str
) -> None:
    """The next one is tried at once, and the one after it not at all."""
    began = clock_time()
    connection = await opened(db.config, str(tmp_path / "no"), db.config.host, silent)
    try:
        assert await connection.query("SELECT 1", None, 10) == [(1,)]
        assert clock_time() - began < 10
    finally:
        connection.close()


@ensureDeferred
async def test_none_will_do(db: Database, tmp_path: Path, silent: str) -> None:
    """What each one said is told, and in the end the silent one's silence."""
    servers = [str(tmp_path / "no"), silent, str(tmp_path / "none")]
    with pytest.raises(psycopg2.OperationalError) as caught:
        await opened(db.config, *servers, seconds=0.2)
    told = str(caught.value).split("; ")
    assert sorted(each.split(": ")[0] for each in told) == sorted(servers)
    assert any("no answer within 0.2 s" in each for each in told)


@ensureDeferred
async def test_a_pool_goes_past_the_silent(
    db: Database, make_pool: MakePool, silent: str
) -> None:
    """As the daemon's own does."""
    pool = make_pool(evolve(db.config, host=f"{silent},{db.config.host}"))
    assert await pool.query("SELECT 2") == [(2,)]
