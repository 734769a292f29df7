"""The breaker, by every order of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from s3proxy.backend.breaker import Breaker, Patience, State
from s3proxy.plan.placement import Standing

PATIENCE = Patience()


class Time:
    """By hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def seconds(self) -> float:
        return self.now


def opened(time: Time) -> Breaker:
    """It has failed often enough."""
    breaker = Breaker(time.seconds)
    for _ in range(PATIENCE.failures):
        era = breaker.enter()
        assert era is not None
        breaker.failed(era)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """A success in between begins the count again; a failure at once makes doubtful."""
    time = Time()
    breaker = Breaker(time.seconds)
    for number in range(2 * PATIENCE.failures - 2):
        era = breaker.enter()
        assert era is not None
        if number == PATIENCE.failures - 2:
            assert breaker.standing() is Standing.DOUBTFUL
            breaker.succeeded(era)
            assert breaker.standing() is Standing.READY
        else:
            breaker.failed(era)
            assert breaker.standing() is Standing.DOUBTFUL
    era = breaker.enter()
    assert era is not None
    breaker.failed(era)
    assert breaker.standing() is Standing.RESTING
    assert breaker.enter() is None


def test_one_probe_at_a_time_closes_it() -> None:
    """After its wait."""
    time = Time()
    breaker = opened(time)
    time.now += PATIENCE.first_wait_seconds
    probe = breaker.enter()
    assert probe is not None
    assert breaker.enter() is None
    breaker.succeeded(probe)
    assert breaker.state is State.CLOSED
    assert breaker.enter() is not None


def test_a_probe_that_fails_doubles_the_wait() -> None:
    """Up to the longest."""
    time = Time()
    breaker = opened(time)
    wait = PATIENCE.first_wait_seconds
    for _ in range(8):
        time.now += wait - 0.01
        assert breaker.enter() is None
        time.now += 0.01
        probe = breaker.enter()
        assert probe is not None
        breaker.failed(probe)
        wait = min(2 * wait, PATIENCE.longest_wait_seconds)


def test_a_probe_that_is_given_up_makes_room_for_another() -> None:
    """At once; and so does one that says nothing, after a while."""
    time = Time()
    breaker = opened(time)
    time.now += PATIENCE.first_wait_seconds
    probe = breaker.enter()
    assert probe is not None
    breaker.dropped(probe)
    silent = breaker.enter()
    assert silent is not None
    time.now += PATIENCE.probe_seconds
    last = breaker.enter()
    assert last is not None
    breaker.failed(silent)
    assert breaker.state is State.HALF_OPEN
    breaker.succeeded(last)
    assert breaker.state is State.CLOSED


def test_a_late_word_is_not_heard() -> None:
    """What began before it opened says nothing of now."""
    time = Time()
    breaker = Breaker(time.seconds)
    before = breaker.enter()
    assert before is not None
    for _ in range(PATIENCE.failures):
        breaker.failed(before)
    breaker.succeeded(before)
    assert breaker.state is State.OPEN


@given(st.floats(0, 100))
def test_a_pause_is_kept(wanted: float) -> None:
    """What the backend names, within reason; each that follows is twice as long."""
    time = Time()
    breaker = Breaker(time.seconds)
    era = breaker.enter()
    assert era is not None
    for _ in range(50):  # They were under way together.
        breaker.throttled(era, wanted)
    pause = min(max(wanted, PATIENCE.first_pause_seconds), 30.0)
    assert breaker.pause_seconds() == pytest.approx(pause)
    assert breaker.standing() is Standing.RESTING
    time.now += pause + 0.001
    assert breaker.standing() is not Standing.RESTING
    breaker.throttled(era, None)
    assert breaker.pause_seconds() == pytest.approx(2 * PATIENCE.first_pause_seconds)
    assert breaker.state is State.CLOSED


class Machine(RuleBasedStateMachine):
    """Calls of all ages, with every verdict, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.breaker = Breaker(self.time.seconds)
        self.under_way: list[int] = []
        self.failed_since_success = 0
        self.probes_at: list[float] = []

    @rule()
    def enter(self) -> None:
        state, standing = self.breaker.state, self.breaker.standing()
        era = self.breaker.enter()
        assert (era is None) == (standing is Standing.RESTING)
        if era is None:
            return
        self.under_way.append(era)
        if state is not State.CLOSED:
            self.probes_at.append(self.time.now)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), verdict=st.sampled_from("saftd"))
    def end(self, which: int, verdict: str) -> None:
        era = self.under_way.pop(which % len(self.under_way))
        before = self.breaker.state
        match verdict:
            case "s":
                self.breaker.succeeded(era)
            case "a":
                self.breaker.answered(era)
            case "t":
                self.breaker.throttled(era, None)
            case "d":
                self.breaker.dropped(era)
            case "f":
                self.failed_since_success += 1
                self.breaker.failed(era)
        if verdict != "f":
            assert self.breaker.state in (before, State.CLOSED)
            if before is State.CLOSED and verdict != "d":
                self.failed_since_success = 0
        elif self.breaker.state is State.OPEN and before is State.CLOSED:
            assert self.failed_since_success >= PATIENCE.failures
        if self.breaker.state is State.CLOSED and before is not State.CLOSED:
            self.failed_since_success = 0

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds

    @invariant()
    def recovers(self) -> None:
        """Whatever happened, a call is let through before long."""
        now = self.time.now
        self.time.now += PATIENCE.longest_wait_seconds
        assert self.breaker.standing() is not Standing.RESTING
        self.time.now = now


TestMachine = Machine.TestCase
