"""The proxy before PostgreSQL: what becomes of a commit whose session is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg2
import pytest

from chaos.postgres_faults import DatabaseProxy, Order
from s3proxy.config import DatabaseConfig
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def table(postgres: PostgresServer) -> Iterator[DatabaseConfig]:
    """A database with one table."""
    database = postgres.create_database()
    postgres.execute("CREATE TABLE t (n integer)", database.database)
    yield database
    postgres.drop_database(database)


def connect(database: DatabaseConfig) -> Any:
    """A session, in autocommit mode."""
    connection = psycopg2.connect(
        host=database.host,
        port=database.port,
        dbname=database.database,
        user=database.user,
    )
    connection.autocommit = True
    return connection


def execute(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    """A statement's rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def run(
    table: DatabaseConfig, test: Callable[[DatabaseProxy], Awaitable[None]]
) -> None:
    """Run a test against a proxy of its own."""

    async def inside() -> None:
        async with DatabaseProxy(table) as proxy:
            await test(proxy)

    asyncio.run(asyncio.wait_for(inside(), 30))


@pytest.mark.parametrize(
    ("fate", "is_done"), [("lose", True), ("drop", False), ("cut", True)]
)
def test_a_statement_whose_session_is_lost(
    table: DatabaseConfig, fate: Any, is_done: bool
) -> None:
    """Also where it is the EXECUTE of a prepared one; others pass."""

    async def test(proxy: DatabaseProxy) -> None:
        past = connect(table)
        execute(past, "TRUNCATE t")
        near = await asyncio.to_thread(connect, proxy.config)
        assert await asyncio.to_thread(execute, near, "SELECT 1") == [(1,)]
        await asyncio.to_thread(execute, near, "PREPARE p AS INSERT INTO t VALUES ($1)")
        proxy.orders.append(Order(fate, ("INSERT INTO t",)))
        with pytest.raises(psycopg2.OperationalError):
            await asyncio.to_thread(execute, near, "EXECUTE p (7)")
        for _ in range(200 if is_done else 1):
            if rows := execute(past, "SELECT n FROM t"):
                break
            await asyncio.sleep(0.01)
        assert rows == ([(7,)] if is_done else [])
        assert proxy.counts == {fate: 1}
        # One was to be lost: the next session's passes.
        again = await asyncio.to_thread(connect, proxy.config)
        await asyncio.to_thread(execute, again, "INSERT INTO t VALUES (8)")
        assert (8,) in execute(past, "SELECT n FROM t")
        again.close()
        past.close()

    run(table, test)


def test_a_disk_is_full(table: DatabaseConfig) -> None:
    """The statement fails as the server would say it, and the session goes on."""

    async def test(proxy: DatabaseProxy) -> None:
        near = await asyncio.to_thread(connect, proxy.config)
        proxy.orders.append(Order("full", ("INSERT INTO t",)))
        with pytest.raises(psycopg2.errors.DiskFull):
            await asyncio.to_thread(execute, near, "INSERT INTO t VALUES (9)")
        rows = await asyncio.to_thread(execute, near, "SELECT n FROM t WHERE n = 9")
        assert rows == []
        near.close()

    run(table, test)


def test_sessions_are_cut(table: DatabaseConfig) -> None:
    """All of them, at once; new ones are let in."""

    async def test(proxy: DatabaseProxy) -> None:
        near = await asyncio.to_thread(connect, proxy.config)
        assert proxy.cut() == 1
        with pytest.raises(psycopg2.OperationalError):
            await asyncio.to_thread(execute, near, "SELECT 1")
        again = await asyncio.to_thread(connect, proxy.config)
        assert await asyncio.to_thread(execute, again, "SELECT 2") == [(2,)]
        again.close()

    run(table, test)
