"""Recovery's rounds, over the ledger and backends in memory."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.errors import BackendRefused, BackendUnavailable, StoreUnavailable
from s3proxy.jobs.collecting import BATCH, PARALLEL, Collector
from s3proxy.manager.ports import NewObject
from s3proxy.model import Claim, WriteConditions
from tests.fakes.backend import Kept, MemoryBackend
from tests.fakes.ledger import MemoryDue, MemoryLedger

ANY = WriteConditions()
GRACE_SECONDS = 60.0
LATE_SECONDS = 3600.0
LEASE_SECONDS = 600.0


class Stage:
    """A collector over everything in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = MemoryLedger(
            self.clock,
            {"one": 0, "two": 0},
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
            late_seconds=LATE_SECONDS,
        )
        self.one, self.two = MemoryBackend("one"), MemoryBackend("two")
        self.is_quiet = False
        self.collector: Collector[MemoryDue] = Collector(
            self.ledger, {"one": self.one, "two": self.two}, lambda: self.is_quiet
        )

    async def claim(self, on: str = "one", key: str = "k") -> Claim:
        """A claim whose bytes have landed."""
        claim = await self.ledger.claim([on], "b", key, 4, ANY)
        backend = self.one if on == "one" else self.two
        backend.objects[claim.copy.backend_key] = Kept(b"data", {}, "etag")
        return claim

    async def garbage(self, on: str = "one") -> Claim:
        """A claim that was given up."""
        claim = await self.claim(on)
        await self.ledger.abandon(claim, landed=False)
        return claim


@pytest.fixture
def stage() -> Stage:
    """Everything in memory."""
    return Stage()


@ensureDeferred
async def test_garbage_goes(stage: Stage) -> None:
    """From the backends, and then from the ledger; what is live stays."""
    for on in ("one", "one", "two"):
        await stage.garbage(on)
    live = await stage.claim(key="live")
    await stage.ledger.commit(
        live, NewObject("b", "live", 4, "m", None), ANY, None, None
    )
    assert await stage.collector.round() == 3
    assert list(stage.one.objects) == [live.copy.backend_key]
    assert (stage.two.objects, list(stage.ledger.rows)) == ({}, [live.copy.copy_id])
    assert await stage.collector.round() == 0
    assert stage.one.calls["delete"] == 2


@ensureDeferred
async def test_a_dead_writers_claim_goes(stage: Stage) -> None:
    """P2 to P6: reaped, deleted, and deleted again when its PUT may have landed."""
    claim = await stage.claim()
    stage.clock.advance(LEASE_SECONDS + 1)
    assert await stage.collector.round() == 0
    assert (stage.one.objects, stage.ledger.used_bytes("one")) == ({}, 4)
    # Its PUT lands at last.
    stage.one.objects[claim.copy.backend_key] = Kept(b"data", {}, "etag")
    assert await stage.collector.round() == 0
    assert stage.one.calls["delete"] == 1
    stage.clock.advance(LATE_SECONDS + 1)
    assert await stage.collector.round() == 1
    assert (stage.one.objects, stage.ledger.used_bytes("one")) == ({}, 0)


@ensureDeferred
async def test_a_claim_under_way_stays(stage: Stage) -> None:
    """Its lease has not run out."""
    await stage.claim()
    stage.clock.advance(LEASE_SECONDS - 1)
    assert await stage.collector.round() == 0
    assert stage.one.calls == {}


@pytest.mark.parametrize(
    "why",
    [BackendUnavailable("one", "away"), BackendRefused("one", "403")],
)
@ensureDeferred
async def test_a_delete_that_fails(stage: Stage, why: BackendUnavailable) -> None:
    """The row stays and stays charged; it is tried again, for ever (D4)."""
    await stage.garbage()
    await stage.garbage()
    stage.one.fail("delete", why)
    assert await stage.collector.round() == 1
    assert stage.ledger.used_bytes("one") == 4
    stage.one.fail("delete", *[why] * 20)
    for _ in range(20):
        stage.clock.advance(3601)
        assert await stage.collector.round() == 0
    stage.clock.advance(3601)
    assert await stage.collector.round() == 1
    assert stage.ledger.used_bytes("one") == 0


@ensureDeferred
async def test_a_backend_that_hangs_holds_up_no_other(stage: Stage) -> None:
    """And not the rest of its own garbage."""
    for on in ("one", "one", "two"):
        await stage.garbage(on)
    go_on = stage.one.hold("delete")
    work = Deferred.fromCoroutine(stage.collector.round())
    assert (len(stage.one.objects), len(stage.two.objects)) == (1, 0)
    assert stage.ledger.used_bytes("two") == 0
    assert not work.called
    go_on()
    assert await work == 3


@ensureDeferred
async def test_deletes_are_bounded(stage: Stage) -> None:
    """So many at once, a batch at a time, until nothing is due."""
    for _ in range(BATCH + 1):
        await stage.garbage()
    held: list[Deferred[None]] = []
    most = 0

    async def delete(backend_key: str, version_id: str | None) -> None:
        nonlocal most
        wait: Deferred[None] = Deferred()
        held.append(wait)
        most = max(most, len(held))
        await wait

    stage.one.delete = delete  # type: ignore[method-assign]
    work = Deferred.fromCoroutine(stage.collector.round())
    count = 0
    while held:
        held.pop().callback(None)
        count += 1
    assert (most, count) == (PARALLEL, BATCH + 1)
    assert await work == BATCH + 1
    assert not stage.ledger.rows


@ensureDeferred
async def test_reaping_goes_on_until_it_is_done(stage: Stage) -> None:
    """Batch by batch."""
    for _ in range(2 * BATCH + 1):
        await stage.ledger.claim(["two"], "b", "k", 1, ANY)
    stage.clock.advance(LEASE_SECONDS + 1)
    await stage.collector.round()
    assert stage.ledger.calls.count("reap") == 3
    assert {row.state.value for row in stage.ledger.rows.values()} == {"abandoned"}


@ensureDeferred
async def test_quiet(stage: Stage) -> None:
    """For one lease after the database came back nothing is done at all."""
    await stage.garbage()
    stage.ledger.calls.clear()
    stage.is_quiet = True
    assert await stage.collector.round() == 0
    assert stage.ledger.calls == []
    stage.is_quiet = False
    assert await stage.collector.round() == 1


@ensureDeferred
async def test_pins_are_tidied(stage: Stage) -> None:
    """Those that nobody renewed."""
    await stage.ledger.pin("object")
    stage.clock.advance(GRACE_SECONDS + 1)
    await stage.collector.round()
    assert stage.ledger.pins == {}


@ensureDeferred
async def test_the_version_is_deleted(stage: Stage) -> None:
    """On a versioned backend a delete without it would only hide the bytes."""
    asked: list[tuple[str, str | None]] = []

    async def delete(backend_key: str, version_id: str | None) -> None:
        asked.append((backend_key, version_id))

    stage.one.delete = delete  # type: ignore[method-assign]
    claim = await stage.claim()
    await stage.ledger.commit(claim, NewObject("b", "k", 4, "m", None), ANY, None, "v7")
    await stage.ledger.delete("b", "k")
    stage.clock.advance(GRACE_SECONDS + 1)
    await stage.collector.round()
    assert asked == [(claim.copy.backend_key, "v7")]


@pytest.mark.parametrize("call", ["reap", "unpin_expired", "collect", "collected"])
@ensureDeferred
async def test_without_the_ledger(stage: Stage, call: str) -> None:
    """The runner learns what it is; what was deleted is deleted again later."""
    await stage.garbage()
    stage.ledger.fail(call, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await stage.collector.round()
    assert stage.ledger.used_bytes("one") == 4
    stage.clock.advance(3601)
    assert await stage.collector.round() == 1


@ensureDeferred
async def test_a_round_ends_when_all_of_it_has_ended(stage: Stage) -> None:
    """One backend's rows cannot be had: the round waits for the other's deletes."""
    await stage.garbage("one")
    await stage.garbage("two")
    go_on = stage.two.hold("delete")
    stage.ledger.fail("collect", StoreUnavailable("away"))
    work = Deferred.fromCoroutine(stage.collector.round())
    assert not work.called
    go_on()
    with pytest.raises(StoreUnavailable):
        await work
    assert (stage.two.objects, stage.ledger.used_bytes("two")) == ({}, 0)


@ensureDeferred
async def test_a_bug_in_one_delete(stage: Stage) -> None:
    """The others are recorded, and the runner learns of it."""
    for _ in range(3):
        await stage.garbage()
    stage.one.fail("delete", None, ZeroDivisionError())  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        await stage.collector.round()
    assert len(stage.ledger.rows) == 1
