"""Both ledgers keep the contract: the one in memory, and the real one."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from s3proxy.manager.ports import CopyState
from s3proxy.store.janitor import Janitor
from s3proxy.store.pool import Pool
from tests.contracts.ledger import (
    GRACE_SECONDS,
    HOLD_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    LedgerContract,
    Listing,
    World,
    check_pages,
    listings,
)
from tests.fakes.ledger import MemoryLedger
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database


class MemoryWorld:
    """The fake under its Clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = self.janitor = MemoryLedger(
            self.clock,
            {},
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
            late_seconds=LATE_SECONDS,
            hold_seconds=HOLD_SECONDS,
        )

    def set_limit(self, backend: str, limit_bytes: int) -> None:
        self.ledger.limits[backend] = limit_bytes

    def used_bytes(self, backend: str) -> int:
        return self.ledger.used_bytes(backend)

    def states(self) -> dict[str, CopyState]:
        return self.ledger.states()

    def pass_seconds(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def fill(self, bucket: str, keys: Collection[str]) -> None:
        self.ledger.put_keys(bucket, keys)


@frozen
class PostgresWorld:
    """The real one, where time passes by moving every due time back."""

    db: Database
    ledger: PostgresLedger
    janitor: Janitor

    def set_limit(self, backend: str, limit_bytes: int) -> None:
        self.db.add_backend(backend, limit_bytes)

    def used_bytes(self, backend: str) -> int:
        found = self.db.value(
            "SELECT bytes_used FROM backend_quotas WHERE backend_name = %s", backend
        )
        return int(found)

    def states(self) -> dict[str, CopyState]:
        rows = self.db.sql("SELECT copy_id, state FROM object_locations")
        return {copy_id: CopyState(state) for copy_id, state in rows}

    def pass_seconds(self, seconds: float) -> None:
        self.db.sql(
            "UPDATE object_locations SET due_at = due_at - make_interval(secs => %(s)s)"
            "; UPDATE read_pins SET until = until - make_interval(secs => %(s)s)",
            {"s": seconds},
        )

    def fill(self, bucket: str, keys: Collection[str]) -> None:
        self.db.fill(bucket, keys)


@pytest.fixture
def memory_world() -> World:
    """The fake, without backends."""
    return MemoryWorld()


@pytest.fixture
def postgres_world(db: Database, pool: Pool) -> World:
    """The real one, without backends, on a server that has been up for a lease."""
    return PostgresWorld(
        db,
        PostgresLedger(pool, LEASE_SECONDS, GRACE_SECONDS),
        # Its own lease is the settling time after the server's start.
        Janitor(pool, 0.0, LATE_SECONDS, HOLD_SECONDS),
    )


class TestMemoryLedger(LedgerContract):
    """``tests.fakes.ledger``."""

    @pytest.fixture
    def world(self, memory_world: World) -> World:
        """What the contract asks for."""
        return memory_world


class TestPostgresLedger(LedgerContract):
    """``s3proxy.store``."""

    @pytest.fixture
    def world(self, postgres_world: World) -> World:
        """What the contract asks for."""
        return postgres_world


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listing=listings())
@ensureDeferred
async def test_pages_joined_in_memory(memory_world: World, listing: Listing) -> None:
    """Whatever the keys, the question and the page size."""
    await check_pages(memory_world, listing)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listing=listings())
@ensureDeferred
async def test_pages_joined_in_postgres(
    postgres_world: World, listing: Listing
) -> None:
    """Whatever the keys, the question and the page size."""
    await check_pages(postgres_world, listing)
