"""Fixtures of this room's tests: a database with the schema, and pools over it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from s3proxy.config import DatabaseConfig
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.pool import Pool
from s3proxy.store.schema import schema_text
from s3proxy.store.statements import statements
from tests.servers import PostgresServer

pytest.register_assert_rewrite(
    "tests.contracts.ledger", "tests.contracts.pool", "tests.contracts.uploads"
)

MakePool = Callable[..., Pool]

_TABLES = (
    "read_pins",
    "multipart_parts",
    "multipart_uploads",
    "object_parts",
    "objects",
    "object_locations",
    "backend_quotas",
    "buckets",
)


class Database:
    """A database with the schema, seen past the code under test (blocking)."""

    def __init__(self, server: PostgresServer, config: DatabaseConfig) -> None:
        self.server = server
        self.config = config
        self.connection = server.connect(config.database)

    def sql(
        self, text: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement; its rows, if it has any."""
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def value(self, text: str, *parameters: Any) -> Any:
        """The one value of a statement."""
        ((found,),) = self.sql(text, parameters or None)
        return found

    def add_backend(self, name: str, limit_bytes: int = 0) -> None:
        """Make a backend, or change its limit."""
        self.sql(
            "INSERT INTO backend_quotas (backend_name, bytes_limit) VALUES (%s, %s) "
            "ON CONFLICT (backend_name) DO UPDATE SET bytes_limit = %s",
            (name, limit_bytes, limit_bytes),
        )

    def fill(self, bucket: str, keys: Collection[str]) -> None:
        """The bucket holds exactly these keys, all of them empty."""
        self.add_backend("one")
        self.sql(
            """
            WITH old AS (DELETE FROM objects WHERE bucket = %(bucket)s
                         RETURNING object_id),
            parts AS (DELETE FROM object_parts p USING old
                       WHERE p.object_id = old.object_id RETURNING part_id)
            DELETE FROM object_locations l USING parts
             WHERE l.part_id = parts.part_id;
            WITH new AS MATERIALIZED (
                SELECT k, ledger_ulid() AS id FROM unnest(%(keys)s::text[]) AS k),
            made AS (INSERT INTO objects (bucket, object_key, object_id, size_bytes,
                                          etag, last_modified)
                     SELECT %(bucket)s, k, id, 0, '0', now() FROM new),
            parts AS (INSERT INTO object_parts (object_id, part_number, part_id,
                                                offset_bytes, size_bytes, md5)
                      SELECT id, 1, id, 0, 0, '0' FROM new)
            INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,
                                          bucket, object_key, size_bytes, state)
            SELECT id, id, 'one', id, %(bucket)s, k, 0, 'live' FROM new
            """,
            {"bucket": bucket, "keys": list(keys)},
        )

    def check(self) -> None:
        """What must be true of every ledger at every instant (I3, whole objects)."""
        self.check_sums()
        text = statements()
        assert self.sql(text["unreadable_objects"]) == []
        assert self.sql(text["strays"]) == []
        assert self.sql(text["miscounted_parts"]) == []

    def check_sums(self) -> None:
        """I3 alone."""
        for name, used, _limit, summed, *_counts in self.sql(statements()["sums"]):
            assert used == summed, f"{name}: counter {used}, rows {summed}"

    def clear(self) -> None:
        """Empty it."""
        self.sql("; ".join(f"DELETE FROM {table}" for table in _TABLES))
        self.sql("UPDATE installation SET swept_at = NULL, sweep_result = NULL")
        self.sql("SELECT ledger_accept_restore()")


@pytest.fixture(scope="session")
def _schema(postgres: PostgresServer) -> Iterator[Database]:
    config = postgres.create_database()
    postgres.execute(schema_text(), config.database)
    made = Database(postgres, config)
    yield made
    made.connection.close()
    postgres.drop_database(config)


@pytest.fixture
def db(_schema: Database) -> Iterator[Database]:
    """
    An empty ledger; checked at the end.

    Databases take a third of a second to make, so this is one for the session.
    """
    _schema.clear()
    yield _schema
    _schema.check()


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """``make_pool(config, **fields of Pool)``; closed at the end."""
    made: list[Pool] = []

    def make(config: DatabaseConfig, **options: Any) -> Pool:
        seconds = options.get("statement_timeout_seconds", 15.0)
        arguments = connection_arguments(config, statement_timeout_seconds=seconds)
        made.append(Pool(arguments, reactor, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def pool(db: Database, make_pool: MakePool) -> Pool:
    """A pool over ``db``."""
    return make_pool(db.config)


def clock_time() -> float:
    """The reactor's clock."""
    seconds: float = reactor.seconds()
    return seconds


def pause(seconds: float = 0.01) -> Deferred[None]:
    """Let the reactor go on."""
    return deferLater(reactor, seconds)


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll for what a real server brings about in its own time."""
    deadline = clock_time() + seconds
    while not true():
        assert clock_time() < deadline, "it does not come true"
        await pause()


@pytest.fixture(scope="module")
def frail() -> Iterator[PostgresServer]:
    """A server that this module's tests stop and freeze, and leave running."""
    with PostgresServer() as server:
        yield server


class Frozen:
    """Stops a server and all its sessions without their knowing, and lets them go."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def _send(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children")
        for pid in children.read_text().split():
            os.kill(int(pid), number)
        self._server.signal(number)

    def __enter__(self) -> None:
        self._send(signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        self._send(signal.SIGCONT)
