"""The table of jobs."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.model import WriteConditions
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.pool import Pool
from s3proxy.store.status import BackendFill, Status
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database


@ensureDeferred
async def test_what_was_done_last(db: Database, pool: Pool) -> None:
    """The latest, whichever process did it."""
    db.sql("DELETE FROM jobs")
    one, two = PostgresJobs(pool, "one"), PostgresJobs(pool, "two")
    await one.record("collect", 1.5, "7", 10.0, good=True)
    await one.record("expire", 0.5, "away", 60.0, good=False)
    await two.record("collect", 2.0, "8", 5.0, good=True)
    collect, expire = await Status(pool).jobs()
    assert (collect.name, collect.process, collect.result) == ("collect", "two", "8")
    assert (expire.name, expire.is_good, expire.seconds) == ("expire", False, 0.5)
    assert collect.started_at is not None and collect.next_run_at is not None
    began = (collect.now - collect.started_at).total_seconds()
    assert began == pytest.approx(2.0, abs=1.0)
    assert (collect.next_run_at - collect.now).total_seconds() == pytest.approx(
        5, abs=1
    )
    db.sql("DELETE FROM jobs")


@ensureDeferred
async def test_one_at_work(db: Database, pool: Pool) -> None:
    """Until it leaves, or says nothing for as long as it said."""
    db.sql("DELETE FROM jobs")
    one, two = PostgresJobs(pool, "one"), PostgresJobs(pool, "two")
    assert await one.take("move", 60.0)
    assert not await two.take("move", 60.0)
    assert await one.take("move", 60.0)
    await two.leave("move")
    assert not await two.take("move", 60.0)
    (row,) = await Status(pool).jobs()
    assert (row.taken_by, row.started_at) == ("one", None)
    await one.leave("move")
    assert await two.take("move", 60.0)
    db.sql("UPDATE jobs SET taken_until = now() - interval '1 s'")
    assert await one.take("move", 60.0)
    db.sql("DELETE FROM jobs")


@ensureDeferred
async def test_what_is_on_backends(db: Database, pool: Pool) -> None:
    """In every state, of one moment."""
    db.add_backend("one", 100)
    db.add_backend("two")
    ledger = PostgresLedger(pool, 600, 60)
    claims = [
        await ledger.claim(["one"], "b", "k", size, WriteConditions())
        for size in (5, 6, 7)
    ]
    await ledger.abandon(claims[0], landed=False)
    assert await Status(pool).backends() == [
        BackendFill("one", 18, 100, 5, 13),
        BackendFill("two", 0, 0, 0, 0),
    ]
    assert await Status(pool).under_replicated(2) == (0, 0)
