"""What the janitor does beyond the contract: it waits after the server's start."""

from __future__ import annotations

from pytest_twisted import ensureDeferred

from s3proxy.model import WriteConditions
from s3proxy.store.janitor import Janitor
from s3proxy.store.pool import Pool
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database

ANY = WriteConditions()


@ensureDeferred
async def test_nothing_within_one_lease_of_the_servers_start(
    db: Database, pool: Pool
) -> None:
    """Writers and readers could not extend leases and pins while it was away."""
    db.add_backend("one")
    ledger = PostgresLedger(pool, 0.0, 0.0)
    await ledger.claim(["one"], "b", "k", 1, ANY)
    abandoned = await ledger.claim(["one"], "b", "k", 1, ANY)
    await ledger.abandon(abandoned, landed=False)
    up_seconds = float(
        db.value("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
    )
    early = Janitor(pool, up_seconds + 600, 3600.0)
    assert await early.reap(10) == 0
    assert await early.collect("one", 10) == []
    late = Janitor(pool, up_seconds / 2, 3600.0)
    assert await late.reap(10) == 1
    assert len(await late.collect("one", 10)) == 2
