"""Calls, statements, rounds, moves and copies, as the page has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from s3proxy import errors
from s3proxy.errors import (
    BackendMissing,
    BackendUnavailable,
    OutcomeUnknown,
    StoreUnavailable,
)
from s3proxy.observe import NOBODY
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.work import BackendCalls, Rounds, Statements
from tests.telemetry.pages import Page


class Time:
    """Seconds that pass by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def metrics(time: Time) -> Metrics:
    return Metrics(monotonic=time, now=lambda: 1e9)


@pytest.fixture
def read(metrics: Metrics) -> Callable[[], Page]:
    return lambda: Page.of(metrics.shown)


async def fail(why: BaseException) -> None:
    raise why


def test_backends(metrics: Metrics, read: Callable[[], Page]) -> None:
    calls = BackendCalls(metrics, ["b1", "b2"])
    name = "s3proxy_backend_requests_total"
    # An alert sees the first failure as a step, since 0 was there before.
    assert read().value(name, operation="PutObject", backend="b2", status="error") == 0
    calls.called("b1", "GetObject", 0.2, None)
    calls.called("b1", "GetObject", 0.2, BackendMissing("b1", "404"))
    calls.called("b1", "GetObject", None, BackendUnavailable("b1", "no answer"))
    calls.called("b1", "GetObject", None, CancelledError())
    calls.called("b1", "GetObject", None, ZeroDivisionError())
    calls.opened("b2", "write")
    page = read()
    by = {"operation": "GetObject", "backend": "b1"}
    for status, count in (("success", 1), ("error", 3), ("aborted", 1)):
        assert page.value(name, **by, status=status) == count
    for kind in ("missing", "unavailable", "other"):
        assert page.value("s3proxy_backend_errors_total", **by, kind=kind) == 1
    assert page.value("s3proxy_backend_duration_seconds_count", **by) == 2
    opened = "s3proxy_breaker_opened_total"
    assert page.value(opened, backend="b2", calls="write") == 1
    assert page.total(opened) == 1
    assert page.total("s3proxy_breaker_state") == 0
    assert page.labels("s3proxy_breaker_state", "backend") == {"b1", "b2"}


def test_kinds_are_few() -> None:
    """One for each class of backends' errors, and the names are words."""
    kinds = {
        each.__name__
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.BackendError)
    }
    assert len(kinds) < 15
    assert all(kind.startswith("Backend") for kind in kinds)


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (StoreUnavailable("away"), "unavailable"),
        (OutcomeUnknown("broke"), "unknown"),
        (ZeroDivisionError(), "refused"),
    ],
)
@ensureDeferred
async def test_statements(
    metrics: Metrics, read: Callable[[], Page], time: Time, why: Exception, status: str
) -> None:
    statements = Statements(metrics)
    turn: Deferred[str] = Deferred()
    work = Deferred.fromCoroutine(statements.statement("claim", turn))
    time.seconds += 0.02
    turn.callback("rows")
    assert await work == "rows"
    with pytest.raises(type(why)):
        await statements.statement("claim", fail(why))
    page, name = read(), "s3proxy_ledger_statements_total"
    assert page.value(name, statement="claim", status="success") == 1
    assert page.value(name, statement="claim", status=status) == 1
    assert page.total(name) == 2
    seconds = "s3proxy_ledger_statement_duration_seconds"
    assert page.value(f"{seconds}_sum", statement="claim") == pytest.approx(0.02)


@ensureDeferred
async def test_rounds(metrics: Metrics, read: Callable[[], Page], time: Time) -> None:
    rounds = Rounds(metrics)
    rounds.expect("reap claims")
    name = "s3proxy_task_runs_total"
    assert read().value(name, task="reap claims", status="error") == 0
    for why in (ZeroDivisionError(), StoreUnavailable("away")):
        with pytest.raises(type(why)):
            await rounds.round("reap claims", fail(why))
    last = "s3proxy_task_last_success_timestamp_seconds"
    assert read().value(last, task="reap claims") is None
    turn: Deferred[int] = Deferred()
    work = Deferred.fromCoroutine(rounds.round("reap claims", turn))
    time.seconds += 3
    turn.callback(7)
    assert await work == 7
    with pytest.raises(CancelledError):
        await rounds.round("reap claims", fail(CancelledError()))
    page = read()
    for status, count in (("success", 1), ("error", 2), ("aborted", 1)):
        assert page.value(name, task="reap claims", status=status) == count
    assert page.value(last, task="reap claims") == 1e9
    seconds = "s3proxy_task_duration_seconds_sum"
    assert page.value(seconds, task="reap claims") == 3


@ensureDeferred
async def test_nobody_takes_it_all() -> None:
    """Where nothing is counted, results and failures come through."""
    done: Deferred[int] = Deferred()
    done.callback(5)
    assert await NOBODY.statement("claim", done) == 5
    with pytest.raises(ZeroDivisionError):
        await NOBODY.round("job", fail(ZeroDivisionError()))
    NOBODY.called("b1", "GetObject", None, None)
