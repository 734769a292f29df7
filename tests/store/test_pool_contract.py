"""The whole ledger keeps its contracts: the one in memory, and the real one."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from s3proxy.manager.ports import CopyState
from s3proxy.store.draining import PostgresDraining
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.manifests import PostgresManifests
from s3proxy.store.pool import Pool
from s3proxy.store.replicas import PostgresReplicas
from tests.contracts.ledger import (
    GRACE_SECONDS,
    HOLD_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    LedgerContract,
)
from tests.contracts.pool import NAMES, PoolContract, World
from tests.contracts.uploads import UploadsContract
from tests.fakes.pool import (
    MemoryDraining,
    MemoryJobs,
    MemoryReplicas,
    WholeManifests,
)
from tests.fakes.uploads import MemoryUploads
from tests.fakes.whole import WholeLedger
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database
from tests.store.test_ledger_contract import MemoryWorld


class WholeWorld(MemoryWorld):
    """The fakes under their Clock."""

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        self.ledger = self.janitor = ledger = WholeLedger(
            self.clock,
            dict.fromkeys(names, 0),
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
            late_seconds=LATE_SECONDS,
            hold_seconds=HOLD_SECONDS,
        )
        self.uploads = MemoryUploads(ledger)
        self.replicas = MemoryReplicas(ledger, HOLD_SECONDS)
        self.drains = MemoryDraining(ledger)
        self.manifests = WholeManifests(ledger, HOLD_SECONDS)
        self.jobs = MemoryJobs(ledger, "a")
        self.others_jobs = MemoryJobs(ledger, "b")


class PostgresWorld:
    """The real one."""

    def __init__(self, db: Database, pool: Pool) -> None:
        self.db = db
        for name in NAMES:
            db.add_backend(name)
        db.sql("DELETE FROM jobs")
        self.ledger = PostgresLedger(pool, LEASE_SECONDS, GRACE_SECONDS)
        self.replicas = PostgresReplicas(
            pool, LEASE_SECONDS, GRACE_SECONDS, HOLD_SECONDS
        )
        self.drains = PostgresDraining(pool, GRACE_SECONDS)
        self.manifests = PostgresManifests(pool, LEASE_SECONDS, HOLD_SECONDS)
        self.jobs = PostgresJobs(pool, "a")
        self.others_jobs = PostgresJobs(pool, "b")

    def set_limit(self, backend: str, limit_bytes: int) -> None:
        self.db.add_backend(backend, limit_bytes)

    def states(self) -> dict[str, CopyState]:
        rows = self.db.sql("SELECT copy_id, state FROM object_locations")
        return {copy_id: CopyState(state) for copy_id, state in rows}


class TestWholeLedger(LedgerContract):
    """``tests.fakes.whole``, as any ledger."""

    @pytest.fixture
    def world(self) -> WholeWorld:
        """Without backends."""
        return WholeWorld()


class TestWholeUploads(UploadsContract):
    """And with uploads."""

    @pytest.fixture
    def world(self) -> WholeWorld:
        """Without backends."""
        return WholeWorld()


class TestMemoryPool(PoolContract):
    """``tests.fakes.pool``."""

    @pytest.fixture
    def world(self) -> World:
        """With three backends."""
        return WholeWorld(*NAMES)


class TestPostgresPool(PoolContract):
    """``s3proxy.store``."""

    @pytest.fixture
    def world(self, db: Database, pool: Pool) -> World:
        """With three backends."""
        return PostgresWorld(db, pool)
