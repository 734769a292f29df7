"""Rounds of the job for stale uploads."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from s3proxy.errors import StoreUnavailable
from s3proxy.jobs.expiring import BATCH, Expirer
from s3proxy.manager.upload_ports import NewUpload
from s3proxy.model import PartInfo
from tests.contracts.uploads import WHEN, etag_of
from tests.fakes.uploads import ManifestLedger, MemoryUploads

AGE_SECONDS = 1000.0


class Stage:
    """The job over a ledger in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = ManifestLedger(self.clock, {"one": 0})
        self.uploads = MemoryUploads(self.ledger)
        self.expirer = Expirer(self.uploads, AGE_SECONDS)

    async def fill(self, count: int) -> list[str]:
        """So many uploads, of one part of 10 bytes each."""
        made = []
        for number in range(count):
            key = f"k{number}"
            made.append(await self.uploads.create(NewUpload("b", key, None)))
            claim = await self.uploads.claim_part(["one"], made[-1], "b", key, 1, 10)
            part = PartInfo(1, etag_of(key), 10, {}, WHEN)
            await self.uploads.commit_part(claim, made[-1], part, None, None)
        return made


@pytest.fixture
def stage() -> Stage:
    """Everything in memory."""
    return Stage()


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
@ensureDeferred
async def test_all_stale_ones_in_batches(stage: Stage, count: int) -> None:
    """And not one more; what they held is garbage."""
    await stage.fill(count)
    stage.clock.advance(AGE_SECONDS + 1)
    await stage.fill(2)
    with capturedLogs() as logs:
        assert await stage.expirer.round() == count
    assert [event["total"] for event in logs] == [count]
    page = await stage.uploads.list_uploads("b", "", "", "", "", 1000)
    assert len(page.uploads) == 2
    due = await stage.ledger.collect("one", 1000)
    assert len(due) == count
    # A full batch may not have been the last one.
    assert stage.ledger.calls.count("expire") == count // BATCH + 1


@ensureDeferred
async def test_nothing_is_stale(stage: Stage) -> None:
    """And nothing is said."""
    await stage.fill(3)
    stage.clock.advance(AGE_SECONDS)
    with capturedLogs() as logs:
        assert await stage.expirer.round() == 0
    assert (logs, stage.ledger.calls.count("expire")) == ([], 1)


@ensureDeferred
async def test_without_the_ledger(stage: Stage) -> None:
    """In the middle: the runner learns of it, and the next round does the rest."""
    await stage.fill(3 * BATCH)
    stage.clock.advance(AGE_SECONDS + 1)
    stage.ledger.fail("expire", None, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await stage.expirer.round()
    assert await stage.expirer.round() == 2 * BATCH
