"""No faster than so many bytes a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.jobs.pacing import Pace


@given(
    st.integers(1000, 10_000_000),
    st.lists(st.tuples(st.integers(0, 200_000), st.floats(0, 3)), max_size=20),
)
def test_the_rate_is_kept(rate: int, steps: list[tuple[int, float]]) -> None:
    """Whoever spends, and whatever time passes between; unused time is not saved up."""
    clock = Clock()
    pace = Pace(clock, clock.seconds, rate)
    begin = clock.seconds()
    spent = 0
    for count, idle in steps:
        work = Deferred.fromCoroutine(pace.spend(count))
        while not work.called:
            clock.advance(0.01)
        spent += count
        assert clock.seconds() - begin >= spent / rate - 0.05 - 1e-6
        if idle > 1:
            clock.advance(idle)
            begin, spent = clock.seconds(), 0
    assert clock.getDelayedCalls() == []


def test_two_share_it() -> None:
    """Together they take as long as one would."""
    clock = Clock()
    pace = Pace(clock, clock.seconds, 100)
    works = [Deferred.fromCoroutine(pace.spend(100)) for _ in range(2)]
    clock.advance(1.0)
    assert [work.called for work in works] == [True, False]
    clock.advance(1.0)
    assert works[1].called


def test_no_limit() -> None:
    """It does not wait."""
    clock = Clock()
    work = Deferred.fromCoroutine(Pace(clock, clock.seconds).spend(1 << 40))
    assert work.called
