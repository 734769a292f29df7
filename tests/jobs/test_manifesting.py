"""Rounds that write manifests: all that is wanted, whatever becomes of one of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs

from s3proxy.errors import InsufficientStorage, ServiceUnavailable, StoreUnavailable
from s3proxy.jobs.manifesting import BATCH, PARALLEL, ROUND_BATCHES, Manifester
from s3proxy.model import ObjectInfo
from s3proxy.plan.manifest import WantedManifest

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Wishes:
    """
    ``manager.manifesting.Manifests``, of which nothing but the calls is left.

    :ivar outcomes: What a key's write ends with, where that is not True.
    """

    def __init__(self, count: int) -> None:
        self.left = [
            WantedManifest(ObjectInfo("b", f"k{number}", "o", 1, "e", None, WHEN), WHEN)
            for number in range(count)
        ]
        self.outcomes: dict[str, bool | Exception] = {}
        self.written: list[str] = []
        self.takes = 0
        self.hold: Deferred[None] | None = None
        self.under_way = 0

    async def take(self, limit: int) -> list[WantedManifest]:
        self.takes += 1
        taken, self.left = self.left[:limit], self.left[limit:]
        return taken

    async def write(self, wanted: WantedManifest) -> bool:
        self.under_way += 1
        if self.hold is not None:
            await self.hold
        outcome = self.outcomes.get(wanted.info.key, True)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome:
            self.written.append(wanted.info.key)
        return outcome


@ensureDeferred
async def test_nothing_to_do() -> None:
    """One question."""
    wishes = Wishes(0)
    assert await Manifester(wishes).round() == 0
    assert wishes.takes == 1


@ensureDeferred
async def test_all_are_written() -> None:
    """Batch after batch."""
    wishes = Wishes(2 * BATCH + 1)
    assert await Manifester(wishes).round() == 2 * BATCH + 1
    assert wishes.takes == 3


@ensureDeferred
async def test_a_round_has_an_end() -> None:
    """A stop waits for it."""
    wishes = Wishes(BATCH * (ROUND_BATCHES + 2))
    assert await Manifester(wishes).round() == BATCH * ROUND_BATCHES


def test_some_at_once() -> None:
    """Not all: each holds its manifest in memory."""
    wishes = Wishes(BATCH)
    wishes.hold = Deferred()
    work = Deferred.fromCoroutine(Manifester(wishes).round())
    assert wishes.under_way == PARALLEL
    wishes.hold.callback(None)
    assert work.result == BATCH


@ensureDeferred
async def test_one_that_fails_holds_up_nobody() -> None:
    """Neither a backend's fault, nor a bug; nor one that another has written."""
    wishes = Wishes(5)
    wishes.outcomes = {
        "k0": ServiceUnavailable(),
        "k1": ZeroDivisionError(),
        "k2": False,
    }
    with capturedLogs() as logs:
        assert await Manifester(wishes).round() == 2
    assert wishes.written == ["k3", "k4"]
    levels = [log["log_level"] for log in logs]
    assert levels == [LogLevel.warn, LogLevel.critical]
    assert [log["key"] for log in logs] == ["b/k0", "b/k1"]


@pytest.mark.parametrize("why", [StoreUnavailable("away"), CancelledError()])
@ensureDeferred
async def test_without_the_database(why: Exception) -> None:
    """The round ends, and the runner is told why."""
    wishes = Wishes(2 * BATCH)
    wishes.outcomes = {"k0": why}
    with pytest.raises(type(why)):
        await Manifester(wishes).round()
    assert wishes.takes == 1


@ensureDeferred
async def test_a_batch_for_nothing_ends_the_round() -> None:
    """The rest would fare no better."""
    wishes = Wishes(3 * BATCH)
    wishes.outcomes = {f"k{number}": InsufficientStorage() for number in range(BATCH)}
    with capturedLogs():
        assert await Manifester(wishes).round() == 0
    assert wishes.takes == 1


@ensureDeferred
async def test_no_room_is_told_once() -> None:
    """Until there was room again."""
    manifester = Manifester(wishes := Wishes(0))

    async def round_of(*keys: str, full: bool) -> int:
        wishes.left = Wishes(len(keys)).left
        wishes.outcomes = {key: InsufficientStorage() for key in keys} if full else {}
        with capturedLogs() as logs:
            await manifester.round()
        return len(logs)

    assert await round_of("k0", "k1", full=True) == 1
    assert await round_of("k0", full=True) == 0
    assert await round_of("k0", full=False) == 0
    assert await round_of("k0", full=True) == 1
