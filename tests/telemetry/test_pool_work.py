"""Rounds of replication and rebalancing, as the page has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import frozen

from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.pool_work import PoolWork
from tests.telemetry.pages import Page


@frozen
class Made:
    """A round of replication."""

    seconds: float
    is_good: bool = True
    made: int = 0
    failed: int = 0
    pending: int | None = None


@frozen
class Moved:
    """A round of rebalancing."""

    strategy: str
    seconds: float
    is_good: bool = True
    moved: int = 0
    bytes_moved: int = 0
    failed: int = 0
    skipped: str | None = None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def work(metrics: Metrics) -> PoolWork:
    return PoolWork(metrics)


@pytest.fixture
def read(metrics: Metrics) -> Callable[[], Page]:
    return lambda: Page.of(metrics.shown)


def test_rebalancing(work: PoolWork, read: Callable[[], Page]) -> None:
    """By strategy; what had nothing to do is a run, too."""
    runs = "s3proxy_rebalance_runs_total"
    assert read().value(runs, strategy="pack", status="error") == 0
    work.rebalanced(Moved("pack", 700, moved=2, bytes_moved=150, failed=1))
    work.rebalanced(Moved("pack", 1, is_good=False, moved=1, bytes_moved=50))
    work.rebalanced(Moved("spread", 1, skipped="threshold"))
    page, prefix = read(), "s3proxy_rebalance_"
    moved = f"{prefix}objects_moved_total"
    assert page.value(moved, strategy="pack", status="success") == 3
    assert page.value(moved, strategy="pack", status="error") == 1
    assert page.total(moved, strategy="spread") == 0
    assert page.value(f"{prefix}bytes_moved_total", strategy="pack") == 200
    for strategy, status, count in (
        ("pack", "success", 1),
        ("pack", "error", 1),
        ("spread", "success", 1),
    ):
        assert page.value(runs, strategy=strategy, status=status) == count
    assert page.value(f"{prefix}duration_seconds_sum", strategy="pack") == 701
    assert page.value(f"{prefix}skipped_total", reason="threshold") == 1
    assert page.value(f"{prefix}skipped_total", reason="empty_plan") == 0


def test_replication(work: PoolWork, read: Callable[[], Page]) -> None:
    """What waits goes back to nothing, and where nobody knows it stays."""
    name = "s3proxy_replication_pending"
    work.replicated(Made(6, made=3, failed=1, pending=5))
    assert read().value(name) == 5
    work.replicated(Made(1, is_good=False, failed=1))
    assert read().value(name) == 5
    work.replicated(Made(1, pending=0))
    page, prefix = read(), "s3proxy_replication_"
    assert page.value(name) == 0
    assert page.value(f"{prefix}copies_created_total") == 3
    assert page.value(f"{prefix}errors_total") == 2
    assert page.value(f"{prefix}duration_seconds_sum") == 8
    assert page.value(f"{prefix}runs_total", status="success") == 2
    assert page.value(f"{prefix}runs_total", status="error") == 1
