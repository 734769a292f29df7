"""Fixtures of the subcommands' tests: a real ledger and real buckets."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import define
from pytest_twisted import async_yield_fixture
from twisted.internet import reactor

from s3proxy.backend.client import S3Backend
from s3proxy.commands import sync
from s3proxy.commands.context import Context
from s3proxy.config import BackendConfig
from s3proxy.store.adoption import Adoption
from s3proxy.store.checks import Checks
from s3proxy.store.janitor import Janitor
from s3proxy.store.pool import Pool
from s3proxy.store.rebuild import Rebuild
from tests.backend.conftest import now
from tests.one_copy import PostgresLedger
from tests.servers import S3Server
from tests.store.conftest import Database, _schema, db, make_pool, pool

__all__ = ["_schema", "db", "make_pool", "pool"]

BUCKET = "unified"
LEASE_SECONDS, GRACE_SECONDS, LATE_SECONDS = 600.0, 60.0, 3600.0


@define(eq=False)
class Stage:
    """Two backends, their buckets seen past the product, and the ledger."""

    db: Database
    context: Context
    ledger: PostgresLedger
    janitor: Janitor
    configs: dict[str, BackendConfig]
    server: S3Server

    def put(self, key: str, data: bytes, *, on: str = "one", **more: Any) -> str:
        """Store an object past the product; its ETag."""
        answer = self.server.client.put_object(
            Bucket=self.configs[on].bucket, Key=key, Body=data, **more
        )
        return str(answer["ETag"]).strip('"')

    def delete(self, key: str, *, on: str = "one") -> None:
        """Delete one past the product."""
        self.server.client.delete_object(Bucket=self.configs[on].bucket, Key=key)

    async def sync(
        self,
        *,
        backend: str = "one",
        prefix: str = "",
        dry_run: bool = False,
        bucket: str = BUCKET,
    ) -> tuple[int, str]:
        """Exit code and output."""
        out = io.StringIO()
        code = await sync.run(
            self.context,
            backend=backend,
            bucket=bucket,
            prefix=prefix,
            dry_run=dry_run,
            out=out,
        )
        return code, out.getvalue()

    def copies(self) -> set[tuple[str, str, str]]:
        """Backend, key and state of every row."""
        rows = self.db.sql(
            "SELECT backend_name, backend_key, state FROM object_locations"
        )
        return {(str(name), str(key), str(state)) for name, key, state in rows}

    def lose_bucket(self, bucket: str) -> None:
        """A bucket that a client has made, and has deleted since."""
        self.db.sql(f"SELECT ledger_create_bucket('{bucket}', 'alice', '1 hour')")
        self.db.sql(f"SELECT ledger_delete_bucket('{bucket}', 'alice')")

    def pass_time(self) -> None:
        """Whatever waits is due."""
        self.db.sql(
            "UPDATE object_locations SET due_at = clock_timestamp() "
            "WHERE due_at > clock_timestamp()"
        )


@async_yield_fixture
async def stage(
    db: Database,
    pool: Pool,
    s3server: S3Server,
    backend_config: Callable[..., BackendConfig],
) -> AsyncIterator[Stage]:
    """An empty ledger and two empty buckets, one and two, without a limit."""
    configs = {name: backend_config(name) for name in ("one", "two")}
    backends = {
        name: S3Backend(config, reactor=reactor, now=now)
        for name, config in configs.items()
    }
    for name in configs:
        db.add_backend(name)
    installation_id = db.value("SELECT installation_id FROM installation")
    yield Stage(
        db,
        Context(
            Checks(pool),
            Adoption(pool),
            Rebuild(pool, GRACE_SECONDS),
            backends,
            installation_id,
            {BUCKET},
            reactor,
        ),
        PostgresLedger(pool, LEASE_SECONDS, GRACE_SECONDS),
        Janitor(pool, 0.0, LATE_SECONDS),
        configs,
        s3server,
    )
    for backend in backends.values():
        await backend.close()


@pytest.fixture
def out() -> io.StringIO:
    """Where a command prints."""
    return io.StringIO()
