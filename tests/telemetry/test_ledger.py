"""Gauges of the ledger: right, and when they cannot be, old and known to be."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from attrs import define, field
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from s3proxy.errors import StoreUnavailable
from s3proxy.observe import Counts, Quota, Unsettled
from s3proxy.telemetry.ledger import LedgerGauges
from s3proxy.telemetry.metrics import Metrics
from tests.telemetry.pages import Page

LAST = "s3proxy_ledger_last_refresh_timestamp_seconds"
COUNTED = "s3proxy_ledger_last_count_timestamp_seconds"


@define(eq=False)
class FakeNumbers:
    """Matches ``observe.Numbers``; counting takes as long as it is told to."""

    seconds: float = 1000.0
    count_seconds: float = 0.0
    counted: int = 0
    failure: Exception | None = None
    used: int = 30
    gone: dict[str, Unsettled] = field(factory=dict)

    async def quotas(self) -> list[Quota]:
        if self.failure is not None:
            raise self.failure
        return [Quota("b1", self.used, 100), Quota("b2", 5, 0), Quota("b3", 9, 8)]

    async def unsettled(self) -> list[Unsettled]:
        return list(self.gone.values())

    async def waiting(self) -> tuple[int, int]:
        return 4, 2

    async def held(self) -> str | None:
        return "restored"

    async def usage(self) -> list[tuple[str, str, int]]:
        return [("b1", "class_a", 12), ("b1", "class_b", 5)]

    async def quarantined(self) -> dict[str, int]:
        return {"b2": 3}

    async def counts(self) -> Counts:
        self.counted += 1
        self.seconds += self.count_seconds
        return Counts({"b1": 7, "b3": 1}, {"b3": 2})


@pytest.fixture
def numbers() -> FakeNumbers:
    return FakeNumbers()


@pytest.fixture
def metrics(numbers: FakeNumbers) -> Metrics:
    return Metrics(monotonic=lambda: numbers.seconds, now=lambda: numbers.seconds)


@pytest.fixture
def read(metrics: Metrics) -> Callable[[], Page]:
    return lambda: Page.of(metrics.shown)


@ensureDeferred
async def test_a_round(
    metrics: Metrics, numbers: FakeNumbers, read: Callable[[], Page]
) -> None:
    """Quotas of all, also one without a limit and one that is over its own."""
    numbers.gone = {"g": Unsettled("b1", "garbage", 3, 12, 1)}
    assert read().value(LAST) == 0
    limits = {"b1": {"class_a": 20, "ingress_bytes": 9}}
    gauges = LedgerGauges(metrics, numbers, None, limits)
    await gauges.round()
    page, quota = read(), "s3proxy_quota_bytes_"
    for backend, used, limit, available in (
        ("b1", 30, 100, 70),
        ("b2", 5, math.inf, math.inf),
        ("b3", 9, 8, 0),
    ):
        assert page.value(f"{quota}used", backend=backend) == used
        assert page.value(f"{quota}limit", backend=backend) == limit
        assert page.value(f"{quota}available", backend=backend) == available
    objects = [page.value("s3proxy_objects_count", backend=f"b{n}") for n in (1, 2, 3)]
    assert objects == [7, 0, 1]
    uploads = "s3proxy_active_multipart_uploads"
    assert [page.value(uploads, backend=f"b{n}") for n in (1, 2, 3)] == [0, 0, 2]
    by = {"backend": "b1", "state": "garbage"}
    assert page.value("s3proxy_ledger_copies", **by) == 3
    assert page.value("s3proxy_ledger_bytes", **by) == 12
    assert page.value("s3proxy_ledger_late_copies", **by) == 1
    assert page.total("s3proxy_ledger_copies") == 3
    assert page.value("s3proxy_ledger_wanted_manifests") == 4
    assert page.value("s3proxy_ledger_read_pins") == 2
    assert page.value("s3proxy_ledger_held") == 1
    usage = {"backend": "b1", "kind": "class_a"}
    assert page.value("s3proxy_usage", **usage) == 12
    assert page.value("s3proxy_usage_limit", **usage) == 20
    assert page.total("s3proxy_usage") == 12
    bad = [page.value("s3proxy_quarantined_copies", backend=f"b{n}") for n in (1, 2)]
    assert bad == [0, 3]
    assert page.value("s3proxy_replication_pending") == 0
    assert page.value(LAST) == page.value(COUNTED) == 1000
    numbers.gone.clear()
    await gauges.round()
    assert read().value("s3proxy_ledger_copies", **by) == 0


@ensureDeferred
async def test_the_database_is_away(
    metrics: Metrics, numbers: FakeNumbers, read: Callable[[], Page]
) -> None:
    """The page goes on, with what was; how old that is can be seen."""
    gauges = LedgerGauges(metrics, numbers)
    await gauges.round()
    numbers.failure = StoreUnavailable("away")
    for _ in range(2):
        numbers.seconds += 30
        with pytest.raises(StoreUnavailable):
            await gauges.round()
    page = read()
    assert page.value("s3proxy_quota_bytes_used", backend="b1") == 30
    assert page.value(LAST) == 1000
    assert page.value("s3proxy_ledger_refresh_failures_total") == 2
    numbers.failure, numbers.used = None, 31
    await gauges.round()
    page = read()
    assert page.value("s3proxy_quota_bytes_used", backend="b1") == 31
    assert page.value(LAST) == 1060


@ensureDeferred
async def test_what_takes_long_is_done_seldom(
    metrics: Metrics, numbers: FakeNumbers, read: Callable[[], Page]
) -> None:
    """At most a twentieth of the time goes into counting; quotas are read always."""
    numbers.count_seconds = 6
    gauges = LedgerGauges(metrics, numbers)
    for _ in range(100):
        await gauges.round()
        numbers.seconds += 30
    share = numbers.counted * 6 / (numbers.seconds - 1000)
    assert 0.045 < share <= 0.05
    assert (read().value(LAST) or 0) > (read().value(COUNTED) or 0) > 0
    numbers.count_seconds, before = 0, numbers.counted
    for _ in range(10):
        await gauges.round()
        numbers.seconds += 30
    # From the next time on it is done each time.
    assert numbers.counted >= before + 6


@ensureDeferred
async def test_pending(
    metrics: Metrics, numbers: FakeNumbers, read: Callable[[], Page]
) -> None:
    """Where there is replication, it is asked each time."""
    counts = [5, 0]

    async def pending() -> int:
        return counts.pop(0)

    gauges = LedgerGauges(metrics, numbers, pending)
    for expected in (5, 0):
        await gauges.round()
        assert read().value("s3proxy_replication_pending") == expected


@ensureDeferred
async def test_pending_is_told_by_rounds(
    metrics: Metrics, numbers: FakeNumbers, read: Callable[[], Page]
) -> None:
    """Where it is not asked for here, what others have set stays."""
    gauges = LedgerGauges(metrics, numbers)
    await gauges.round()
    metrics.gauge("s3proxy_replication_pending").set(3)
    await gauges.round()
    assert read().value("s3proxy_replication_pending") == 3


@ensureDeferred
async def test_a_look_that_fails_hides_no_other(metrics: Metrics) -> None:
    """Nor does it break the page."""
    seen: list[Deferred[None]] = []

    def bad() -> None:
        raise ZeroDivisionError

    metrics.on_sample(bad)
    metrics.on_sample(lambda: seen.append(Deferred()))
    assert Page.of(metrics.shown).total("s3proxy_build_info") == 1
    assert len(seen) == 1
