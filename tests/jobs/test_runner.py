"""The runner: nothing ends it but its stop, and that waits."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from s3proxy.errors import StoreUnavailable
from s3proxy.jobs.runner import Job, Jobs


class Work:
    """Rounds that end when told, or at once."""

    def __init__(self) -> None:
        self.rounds = 0
        self.outcome: Exception | None = None
        self.hold: Deferred[None] | None = None

    async def round(self) -> None:
        """One round."""
        self.rounds += 1
        if self.hold is not None:
            await self.hold
        if self.outcome is not None:
            raise self.outcome


@pytest.fixture
def clock() -> Clock:
    """Time in the test's hand."""
    return Clock()


@pytest.fixture
def work() -> Work:
    """Rounds that end at once."""
    return Work()


@pytest.fixture
def job(work: Work, clock: Clock) -> Job:
    """Every ten seconds."""
    return Job("test", 10.0, work.round, clock)


def test_rounds_come_by_the_clock(job: Job, work: Work, clock: Clock) -> None:
    """The first after one interval."""
    job.start()
    clock.advance(9)
    assert work.rounds == 0
    clock.pump([1, 10, 10])
    assert work.rounds == 3


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (ZeroDivisionError(), LogLevel.critical),
        (StoreUnavailable("away"), LogLevel.warn),
        (CancelledError(), LogLevel.critical),
    ],
)
def test_an_exception_is_logged_and_counted(
    job: Job, work: Work, clock: Clock, outcome: Exception, level: LogLevel
) -> None:
    """The next round comes; a database that is away is not worth a traceback."""
    job.start()
    work.outcome = outcome
    with capturedLogs() as log:
        clock.pump([10, 10])
    assert (work.rounds, job.failures) == (2, 2)
    assert [event["log_level"] for event in log] == [level, level]
    assert {event["job"] for event in log} == {"test"}
    work.outcome = None
    clock.advance(10)
    assert (work.rounds, job.failures) == (3, 2)


def test_a_long_round_is_not_overtaken(job: Job, work: Work, clock: Clock) -> None:
    """What it missed is not made up for, either."""
    job.start()
    hold: Deferred[None] = Deferred()
    work.hold = hold
    clock.pump([10] * 5)
    assert work.rounds == 1
    work.hold = None
    hold.callback(None)
    clock.advance(10)
    assert work.rounds == 2


def test_soon(job: Job, work: Work, clock: Clock) -> None:
    """A round at once, unless one is under way; the others come in their time."""
    job.soon()
    assert work.rounds == 0  # not started
    job.start()
    job.soon()
    assert work.rounds == 1
    hold: Deferred[None] = Deferred()
    work.hold = hold
    job.soon()
    job.soon()
    assert work.rounds == 2
    clock.advance(10)
    assert work.rounds == 2
    work.hold = None
    hold.callback(None)
    clock.advance(10)
    assert work.rounds == 3


def test_soon_after_an_exception(job: Job, work: Work) -> None:
    """It is no different from a round by the clock."""
    job.start()
    work.outcome = ZeroDivisionError()
    with capturedLogs():
        job.soon()
        job.soon()
    assert (work.rounds, job.failures) == (2, 2)


@ensureDeferred
async def test_stop(job: Job, work: Work, clock: Clock) -> None:
    """No further round, neither by the clock nor soon; twice is fine."""
    job.start()
    await job.stop()
    await job.stop()
    clock.pump([10, 10])
    job.soon()
    assert work.rounds == 0
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("by_clock", [False, True])
@pytest.mark.parametrize("outcome", [None, ZeroDivisionError()])
@ensureDeferred
async def test_stop_waits(
    job: Job, work: Work, clock: Clock, by_clock: bool, outcome: Exception | None
) -> None:
    """For the round under way, however it began and ends."""
    job.start()
    hold: Deferred[None] = Deferred()
    work.hold = hold
    work.outcome = outcome
    if by_clock:
        clock.advance(10)
    else:
        job.soon()
    stopped = Deferred.fromCoroutine(job.stop())
    again = Deferred.fromCoroutine(job.stop())
    assert not stopped.called
    with capturedLogs():
        hold.callback(None)
    await stopped
    await again
    clock.pump([10, 10])
    assert work.rounds == 1


@ensureDeferred
async def test_stop_without_start(job: Job) -> None:
    """A start that failed half-way stops all the same."""
    await job.stop()


@ensureDeferred
async def test_jobs(clock: Clock) -> None:
    """All are started, none holds up another, and the stop waits for each."""
    works = [Work() for _ in range(3)]
    jobs = Jobs([Job(str(n), 10.0, each.round, clock) for n, each in enumerate(works)])
    works[0].hold = Deferred()
    works[1].outcome = ZeroDivisionError()
    jobs.start()
    with capturedLogs():
        clock.pump([10, 10])
    assert [each.rounds for each in works] == [1, 2, 2]
    stopped = Deferred.fromCoroutine(jobs.stop())
    assert not stopped.called
    works[0].hold.callback(None)
    await stopped
    await Jobs().stop()


# The record ---


class Recorded:
    """Matches ``jobs.runner.Record``."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, str, float, bool]] = []
        self.failure: Exception | None = None

    async def record(
        self, name: str, seconds: float, result: str, next_seconds: float, *, good: bool
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self.rows.append((name, seconds, result, next_seconds, good))


def test_what_was_done_is_recorded(clock: Clock) -> None:
    """News soon, no news now and then; a failure, too."""
    results: list[object] = [None, None, 1, 2, StoreUnavailable("away"), None]

    async def work() -> object:
        outcome = results.pop(0) if results else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    recorded = Recorded()
    job = Job("test", 3.0, work, clock)
    Jobs([job]).start(recorded)
    clock.pump([3.0] * 6)
    assert [(result, good) for _, _, result, _, good in recorded.rows] == [
        ("done", True),
        ("1", True),
        ("away", False),
    ]
    clock.pump([3.0] * 30)
    assert [result for _, _, result, _, _ in recorded.rows[3:]] == ["done"] * 3


def test_how_long_it_took_and_when_it_comes_again(clock: Clock, work: Work) -> None:
    """Rounds that it has overtaken are left out."""
    recorded = Recorded()
    job = Job("test", 10.0, work.round, clock, at_start=True)
    work.hold = Deferred()
    Jobs([job]).start(recorded)
    assert work.rounds == 1
    clock.advance(12.0)
    work.hold.callback(None)
    assert recorded.rows == [("test", 12.0, "done", 8.0, True)]
    work.hold = None
    clock.advance(8.0)
    assert work.rounds == 2


def test_a_record_that_fails_is_no_failure(clock: Clock, work: Work) -> None:
    """The job goes on."""
    recorded = Recorded()
    recorded.failure = StoreUnavailable("away")
    job = Job("test", 10.0, work.round, clock)
    Jobs([job]).start(recorded)
    clock.pump([10.0] * 3)
    assert (work.rounds, job.failures) == (3, 0)
