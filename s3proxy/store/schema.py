"""
Applying ``schema.sql`` (protocol, rule 29), and refusing a database that cannot
take it.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import psycopg2
import psycopg2.errors

from s3proxy.errors import StoreError
from s3proxy.store.connection import Connection

#: Raised by one whenever ``schema.sql`` needs something that an older daemon, still
#: running beside a newer one, would do wrong.
SCHEMA_VERSION = 1

#: 14 brought CREATE OR REPLACE TRIGGER.
MINIMUM_SERVER_VERSION = 14

# "s3proxy" as a number: one start at a time changes the schema.
_ADVISORY_LOCK = 0x73337078

_LOCK_TRIES = 10
_LOCK_TABLES = (
    "LOCK TABLE buckets, objects, multipart_uploads, multipart_parts, object_parts, "
    "object_locations, backend_quotas IN ACCESS EXCLUSIVE MODE"
)


class SchemaRefused(StoreError):
    """The database cannot hold the ledger; the text says why and what to do."""


def schema_text() -> str:
    """``schema.sql``, from the installed package or, in a checkout, from its top."""
    packaged = resources.files("s3proxy") / "schema.sql"
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return (Path(__file__).parents[2] / "schema.sql").read_text("utf-8")


async def apply_schema(connection: Connection, text: str | None = None) -> bool:
    """
    Bring the database to this version's schema.

    :returns: Whether this call did anything: one of several starts at once does it.
    :raises SchemaRefused: The server is too old, the schema is a newer version's, or
        the database's encoding is not UTF-8.
    """
    ((number,),) = await connection.query("SHOW server_version_num", None, 15)
    if int(number) // 10000 < MINIMUM_SERVER_VERSION:
        raise SchemaRefused(
            f"PostgreSQL {int(number) // 10000} is too old: s3proxy needs "
            f"{MINIMUM_SERVER_VERSION} or newer"
        )
    ((encoding,),) = await connection.query("SHOW server_encoding", None, 15)
    if encoding != "UTF8":
        raise SchemaRefused(
            f"the database has encoding {encoding}, and keys are Unicode: make one "
            "with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
        )
    wanted = schema_text() if text is None else text
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    if await _recorded(connection) == (SCHEMA_VERSION, digest):
        return False
    # An asynchronous connection has no transaction of its own: one string of many
    # statements between BEGIN and COMMIT is one, and an error in it undoes the whole.
    changed = False
    try:
        await connection.query("BEGIN", None, 15)
        # The usual limits are for requests; another start may be at work for long.
        await connection.query(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '290s'",
            None,
            15,
        )
        await connection.query(
            f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})", None, 300
        )
        version, recorded = await _recorded(connection) or (0, "")
        if version > SCHEMA_VERSION:
            raise SchemaRefused(
                f"the database has schema version {version}, this s3proxy knows "
                f"{SCHEMA_VERSION}: start a newer s3proxy"
            )
        if (version, recorded) != (SCHEMA_VERSION, digest):
            await connection.query("SET LOCAL lock_timeout = '60s'", None, 15)
            if recorded:
                await _lock_tables(connection)
            await connection.query(wanted, None, 3600)
            await connection.query(
                "UPDATE installation SET schema_version = %s, schema_digest = %s",
                (SCHEMA_VERSION, digest),
                15,
            )
            changed = True
        await connection.query("COMMIT", None, 60)
    except psycopg2.Error:
        connection.close()
        raise
    except SchemaRefused:
        await connection.query("ROLLBACK", None, 15)
        raise
    return changed


async def _lock_tables(connection: Connection) -> None:
    """
    Let the writers at work end, and the others wait.

    The order is that of the functions' locks; but a claim takes the quota row before
    its copy's, and the collector the other way round. So one may be met in the middle:
    it goes on, and this begins again.
    """
    for tries_left in reversed(range(_LOCK_TRIES)):
        await connection.query("SAVEPOINT unlocked", None, 15)
        try:
            await connection.query(_LOCK_TABLES, None, 75)
            return
        except psycopg2.errors.DeadlockDetected:
            if not tries_left:
                raise
            await connection.query("ROLLBACK TO SAVEPOINT unlocked", None, 15)


async def _recorded(connection: Connection) -> tuple[int, str] | None:
    # Not to_regclass: in this transaction it may still answer from its cache that
    # there is no such table, when another start has just made it.
    ((there,),) = await connection.query(
        "SELECT EXISTS (SELECT FROM pg_class c WHERE c.relname = 'installation' "
        "AND pg_table_is_visible(c.oid))",
        None,
        15,
    )
    if not there:
        return None
    rows = await connection.query(
        "SELECT schema_version, schema_digest FROM installation", None, 15
    )
    return (rows[0][0], rows[0][1]) if rows else None
