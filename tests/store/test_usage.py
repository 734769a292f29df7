"""s3proxy.store.usage, with the budgets of several processes on it."""

from __future__ import annotations

from datetime import date

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock

from s3proxy.backend.budget import Allowance
from s3proxy.errors import BackendSpent
from s3proxy.plan.usage import BATCHES, Used
from s3proxy.store.pool import Pool
from s3proxy.store.usage import PostgresUsage
from tests.store.conftest import Database

LIMIT = 250


@pytest.fixture
def usage(db: Database, pool: Pool) -> PostgresUsage:
    """Of nothing used yet."""
    db.sql("TRUNCATE backend_usage")
    return PostgresUsage(pool)


def process(usage: PostgresUsage) -> Allowance:
    """What one process knows."""
    return Allowance("b", "class_a", LIMIT, usage, Clock().seconds)


@ensureDeferred
async def test_many_processes_together_use_all_of_it_and_no_more(
    usage: PostgresUsage,
) -> None:
    """Five of them, each with four clients that call until there is nothing left."""
    processes = [process(usage) for _ in range(5)]
    calls = 0

    async def client(allowance: Allowance) -> None:
        nonlocal calls
        while True:
            try:
                await allowance.take(1)
            except BackendSpent:
                return
            calls += 1

    await DeferredList(
        [Deferred.fromCoroutine(client(each)) for each in processes * 4],
        fireOnOneErrback=True,
    )
    assert calls == LIMIT
    assert await usage.now() == [Used("b", "class_a", LIMIT)]


@ensureDeferred
async def test_what_a_killed_process_leaves_is_less_than_a_batch(
    usage: PostgresUsage,
) -> None:
    """It is counted, and not used; who stops returns what is left."""
    killed, stopped = process(usage), process(usage)
    for _ in range(7):
        await killed.take(1)
    await stopped.take(1)
    await stopped.settle(everything=True)
    (used,) = [each.amount for each in await usage.now()]
    assert 8 <= used < 8 + BATCHES["class_a"]
    following = process(usage)
    for _ in range(LIMIT - used):
        await following.take(1)
    with pytest.raises(BackendSpent):
        await following.take(1)


@ensureDeferred
async def test_a_large_amount_is_had_whole_or_not_at_all(usage: PostgresUsage) -> None:
    """A smaller one still fits; what is owed is counted beyond the limit."""
    allowance = process(usage)
    (await allowance.take(LIMIT))(10)
    with pytest.raises(BackendSpent):
        await allowance.take(11)
    await allowance.take(10)
    allowance.owe(3)
    await allowance.settle(everything=False)
    assert await usage.now() == [Used("b", "class_a", LIMIT + 3)]


@ensureDeferred
async def test_months_are_apart_and_old_ones_go(
    usage: PostgresUsage, db: Database
) -> None:
    """What was used before does not count now, and is kept for a year."""
    await usage.add("b", "class_a", date(2001, 1, 1), LIMIT)
    grant = await usage.reserve("b", "class_a", 1, LIMIT, LIMIT)
    assert grant.granted and grant.month.day == 1 and 0 < grant.seconds <= 31 * 86400
    assert db.sql("SELECT month FROM backend_usage") == [(grant.month,)]
