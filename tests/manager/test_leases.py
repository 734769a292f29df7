"""Leases: counted from when the ledger was asked, never from when it answered."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import ClaimLost, StoreUnavailable
from s3proxy.manager.leases import Lease
from s3proxy.manager.ports import CopyState
from s3proxy.model import WriteConditions
from tests.manager.conftest import LEASE_SECONDS, Stage

ANY = WriteConditions()


async def hold(stage: Stage) -> Lease:
    """A lease on a new claim."""
    asked = stage.clock.seconds()
    claim = await stage.ledger.claim(["one"], "b", "k", 1, ANY)
    return stage.leases.hold(claim, asked)


@ensureDeferred
async def test_a_lease_ends_by_the_writers_clock(stage: Stage) -> None:
    """A whole lease after it was asked for, not a moment later."""
    stage.clock.advance(1000)
    lease = await hold(stage)
    lease.check()
    stage.clock.advance(LEASE_SECONDS - 0.5)
    lease.check()
    stage.clock.advance(0.5)
    with pytest.raises(ClaimLost, match=lease.claim.copy.copy_id):
        lease.check()


@ensureDeferred
async def test_a_slow_answer_does_not_lengthen_a_lease(stage: Stage) -> None:
    """It counts from the question: the ledger may have acted at once."""
    claim = await stage.ledger.claim(["one"], "b", "k", 1, ANY)
    stage.clock.advance(10)  # on the way
    lease = stage.leases.hold(claim, asked_seconds=0)
    stage.clock.advance(LEASE_SECONDS - 10)
    with pytest.raises(ClaimLost):
        lease.check()


@ensureDeferred
async def test_extend(stage: Stage) -> None:
    """One call for all, and each lease is whole again."""
    leases = [await hold(stage) for _ in range(3)]
    for _ in range(5):
        stage.clock.advance(LEASE_SECONDS - 1)
        await stage.leases.extend()
        for lease in leases:
            lease.check()
    assert stage.ledger.calls.count("extend") == 5
    assert await stage.ledger.reap(10) == 0


@ensureDeferred
async def test_a_slow_extension_counts_from_its_question(stage: Stage) -> None:
    """As with the claim."""
    lease = await hold(stage)

    async def slow(copy_ids: object) -> set[str]:
        stage.clock.advance(100)
        return {lease.claim.copy.copy_id}

    stage.ledger.extend = slow  # type: ignore[method-assign]
    stage.clock.advance(10)
    await stage.leases.extend()
    assert lease.confirmed_seconds == 10


@ensureDeferred
async def test_a_claim_given_up_by_another_is_lost(stage: Stage) -> None:
    """At once, whatever its age; the others go on."""
    lost, kept = await hold(stage), await hold(stage)
    await stage.ledger.abandon(lost.claim, landed=False)
    lost.check()
    await stage.leases.extend()
    with pytest.raises(ClaimLost):
        lost.check()
    kept.check()
    assert stage.ledger.rows[kept.claim.copy.copy_id].state is CopyState.CLAIMED


@ensureDeferred
async def test_without_the_ledger_leases_grow_old(stage: Stage) -> None:
    """No error, no lease lost before its time, none kept beyond it."""
    lease = await hold(stage)
    stage.ledger.failure = StoreUnavailable("away")
    stage.clock.advance(LEASE_SECONDS - 1)
    await stage.leases.extend()
    lease.check()
    stage.clock.advance(1)
    with pytest.raises(ClaimLost):
        lease.check()
    # It comes back before anybody has reaped: the claim is whole again.
    stage.ledger.failure = None
    await stage.leases.extend()
    lease.check()


@ensureDeferred
async def test_a_dropped_lease_is_not_extended(stage: Stage) -> None:
    """And where there is none, the ledger is not asked."""
    lease = await hold(stage)
    stage.leases.drop(lease)
    stage.leases.drop(lease)
    await stage.leases.extend()
    assert "extend" not in stage.ledger.calls
