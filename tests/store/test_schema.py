"""Applying the schema: once, again, at once, upward; never halfway, never down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from s3proxy.config import DatabaseConfig
from s3proxy.store.connection import Connection, connect
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.schema import (
    SCHEMA_VERSION,
    SchemaRefused,
    apply_schema,
    schema_text,
)
from tests.servers import PostgresServer
from tests.store.conftest import Database, pause

RECORDED = "SELECT schema_version || ' ' || schema_digest FROM installation"


def digest(text: str) -> str:
    """What the database remembers of a schema."""
    return f"{SCHEMA_VERSION} {hashlib.sha256(text.encode()).hexdigest()}"


@pytest.fixture
def empty(postgres: PostgresServer, database: DatabaseConfig) -> Iterator[Database]:
    """A database without the schema."""
    made = Database(postgres, database)
    yield made
    made.connection.close()


async def apply(
    config: DatabaseConfig, text: str | None = None, *, timeout_seconds: float = 15.0
) -> bool:
    """Apply on a connection of its own, made as the daemon makes it."""
    arguments = connection_arguments(config, statement_timeout_seconds=timeout_seconds)
    connection = await connect(arguments, reactor, 10)
    try:
        return await apply_schema(connection, text)
    finally:
        connection.close()


@ensureDeferred
async def test_applied_once(empty: Database) -> None:
    """A first start makes everything, a second one finds it done."""
    assert await apply(empty.config)
    assert empty.value(RECORDED) == digest(schema_text())
    who = empty.value("SELECT installation_id FROM installation")
    assert len(who) == 36
    assert not await apply(empty.config)
    assert empty.value("SELECT installation_id FROM installation") == who


@ensureDeferred
async def test_many_starts_at_once(empty: Database) -> None:
    """They take turns (protocol, G2): one does it, the others find it done."""
    done = await gatherResults(
        [Deferred.fromCoroutine(apply(empty.config)) for _ in range(6)]
    )
    assert sorted(done) == [False] * 5 + [True]
    assert empty.value("SELECT count(*) FROM installation") == 1


@ensureDeferred
async def test_another_text_is_applied_over_data(empty: Database) -> None:
    """An upgrade keeps every row and every counter, and mends what it redefines."""
    await apply(empty.config)
    empty.add_backend("one", 100)
    empty.fill("b", ["k"])
    empty.sql(
        "UPDATE object_locations SET size_bytes = 42; UPDATE objects SET "
        "size_bytes = 42; UPDATE object_parts SET size_bytes = 42"
    )
    before = empty.sql("SELECT * FROM object_locations NATURAL JOIN backend_quotas")
    # As an earlier version may have left it.
    empty.sql(
        "DROP TRIGGER charge_inserted ON object_locations;"
        "DROP FUNCTION ledger_charge_inserted;"
        "DROP INDEX object_locations_due; DROP TABLE read_pins;"
        "UPDATE installation SET schema_digest = 'earlier', schema_version = 0"
    )
    text = schema_text() + "\n-- A later version.\n"
    assert await apply(empty.config, text)
    assert empty.value(RECORDED) == digest(text)
    after = empty.sql("SELECT * FROM object_locations NATURAL JOIN backend_quotas")
    assert after == before
    empty.fill("b", ["k", "l"])
    empty.check()
    assert empty.sql("SELECT * FROM read_pins") == []
    assert not await apply(empty.config, text)
    # The text decides, not which of the two was applied first.
    assert await apply(empty.config)
    empty.check()


@ensureDeferred
async def test_a_broken_text_changes_nothing(empty: Database) -> None:
    """An error anywhere undoes the whole."""
    for text in (schema_text() + "\nCREATE TABLE oops (", "SELECT 1 / 0"):
        with pytest.raises(psycopg2.Error):
            await apply(empty.config, text)
        assert empty.value("SELECT to_regclass('installation') IS NULL")
    await apply(empty.config)
    with pytest.raises(psycopg2.Error):
        await apply(empty.config, "CREATE TABLE new (n int); SELECT 1 / 0")
    assert empty.value("SELECT to_regclass('new') IS NULL")
    assert empty.value(RECORDED) == digest(schema_text())


@ensureDeferred
async def test_a_newer_schema_is_refused(empty: Database) -> None:
    """It is left as it is, and the connection with it."""
    await apply(empty.config)
    newer = SCHEMA_VERSION + 1
    empty.sql("UPDATE installation SET schema_version = %s", (newer,))
    connection = await connect(connection_arguments(empty.config), reactor, 10)
    try:
        with pytest.raises(SchemaRefused, match=f"schema version {newer}"):
            await apply_schema(connection)
        assert await connection.query("SELECT 1", None, 5) == [(1,)]
        with pytest.raises(SchemaRefused):
            await apply_schema(connection, "a text that is never run")
    finally:
        connection.close()
    assert empty.value("SELECT schema_version FROM installation") == newer


@ensureDeferred
async def test_a_start_waits_for_another(empty: Database) -> None:
    """An upgrade may take longer than a statement of a request."""
    other = empty.server.connect(empty.config.database)
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (0x73337078,))
        work = Deferred.fromCoroutine(apply(empty.config, timeout_seconds=0.3))
        await pause(0.6)
        assert not work.called
        cursor.execute("SELECT pg_advisory_unlock_all()")
    assert await work
    other.close()


@ensureDeferred
async def test_only_utf8_is_taken(postgres: PostgresServer) -> None:
    """Keys are Unicode; in another encoding they would be refused one by one."""
    postgres.execute(
        "CREATE DATABASE ascii TEMPLATE template0 LOCALE 'C' ENCODING 'SQL_ASCII'"
    )
    with pytest.raises(SchemaRefused, match="encoding SQL_ASCII"):
        await apply(postgres.config("ascii"))
    postgres.execute("DROP DATABASE ascii WITH (FORCE)")


class _OldServer(Connection):
    """Answers the first question, and fails on any other."""

    def __init__(self, version: str) -> None:
        self.version = version

    async def query(self, sql: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        assert sql == "SHOW server_version_num"
        return [(self.version,)]


@pytest.mark.parametrize("version", ["90624", "130021"])
@ensureDeferred
async def test_an_old_server_is_refused(version: str) -> None:
    """Before anything is done to it."""
    with pytest.raises(SchemaRefused, match="too old: s3proxy needs 14"):
        await apply_schema(_OldServer(version))


# Databases of earlier versions ---

EARLIER = sorted((Path(__file__).parent / "earlier").glob("*.sql"))

#: Everything that statements can name, one text a row, without the order of columns.
SHAPE = """
    SELECT concat_ws(' ', 'column', c.relname, a.attname,
                     format_type(a.atttypid, a.atttypmod), a.attnotnull,
                     a.attcollation, pg_get_expr(d.adbin, d.adrelid))
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                             AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT pg_get_functiondef(oid)
      FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def shape(db: Database) -> set[str]:
    """What the schema made of a database."""
    return {text for (text,) in db.sql(SHAPE)}


#: What daemons of earlier versions send.
OLD_CALLS = """
    SELECT outcome FROM ledger_commit(
        'none'::text, 'b'::text, 'k'::text, 1::bigint, 'm'::text, NULL::text,
        '{}'::jsonb, '{}'::jsonb, '{}'::jsonb, NULL::text, NULL::text, '{}'::text[],
        '{}'::text[], '60 s'::interval, false::boolean)
    UNION ALL
    SELECT ledger_delete('b'::text, 'none'::text, '60 s'::interval)::text
    UNION ALL
    SELECT outcome FROM ledger_claim(
        '{none}'::text[], 'b'::text, 'k'::text, false::boolean, 1::bigint,
        '60 s'::interval, '{}'::text[], '{}'::text[])
    UNION ALL
    SELECT outcome FROM ledger_commit(
        'none'::text, 'b'::text, 'k'::text, 1::bigint, 'm'::text, NULL::text,
        '{}'::jsonb, '{}'::jsonb, '{}'::jsonb, NULL::text, NULL::text, '{}'::text[],
        '{}'::text[], '60 s'::interval, false::boolean, '{}'::jsonb)
    UNION ALL
    SELECT outcome FROM ledger_claim_part(
        '{none}'::text[], 'none'::text, 'b'::text, 'k'::text, false::boolean,
        1::integer, 1::bigint, '60 s'::interval)
    UNION ALL
    SELECT outcome FROM ledger_commit_part(
        'none'::text, 'none'::text, 1::integer, 1::bigint, 'm'::text, '{}'::jsonb,
        NULL::text, NULL::text)
"""
OLD_ANSWERS = ("lost", "false", "full", "lost", "no_upload", "lost")


@pytest.mark.parametrize("earlier", EARLIER, ids=lambda path: path.stem)
@ensureDeferred
async def test_a_database_of_an_earlier_version(
    empty: Database, db: Database, earlier: Path
) -> None:
    """It becomes what a new one is, and keeps its data."""
    empty.sql(earlier.read_text("utf-8"))  # noqa: ASYNC240
    empty.add_backend("one", 100)
    empty.fill("b", ["k", "l"])
    before = empty.sql("SELECT bucket, object_key, object_id FROM objects ORDER BY 2")
    await apply(empty.config)
    assert shape(db) - shape(empty) == set()
    after = empty.sql("SELECT bucket, object_key, object_id FROM objects ORDER BY 2")
    assert after == before
    # Daemons of the version before go on beside it, until they are replaced.
    for upgraded in (empty, db):
        assert upgraded.sql(OLD_CALLS) == [(each,) for each in OLD_ANSWERS]
    empty.check()
