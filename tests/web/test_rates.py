"""s3proxy.web.rates: buckets of tokens, by a clock that the tests hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.web.rates import RateLimit


def test_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(2, 3)
    assert [limit.take("a", 100.0) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert limit.take("a", 100.4) == pytest.approx(0.1)
    assert limit.take("a", 100.5) == 0
    assert limit.take("a", 100.5) == pytest.approx(0.5)
    assert [limit.take("a", 200.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_clients_have_buckets_of_their_own() -> None:
    limit = RateLimit(1, 1)
    assert limit.take("a", 0) == 0
    assert limit.take("a", 0) == 1
    assert limit.take("b", 0) == 0


def test_to_be_refused_costs_nothing() -> None:
    """Who keeps trying gets in as early as who waits."""
    limit = RateLimit(1, 1)
    limit.take("a", 0)
    for now in range(1, 10):
        assert limit.take("a", now - 0.1) > 0
        assert limit.take("a", now) == 0


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    limit = RateLimit(10, 20)
    for _ in range(20):
        limit.take("a", 1_000_000.0)
    assert limit.take("a", 0.0) > 0
    assert limit.take("a", 2.0) == 0


def test_what_is_remembered_is_bounded() -> None:
    """By number, however many clients there are, and by time."""
    limit = RateLimit(1, 100, max_clients=1000)
    for number in range(5000):
        assert limit.take(f"client-{number}", 0.0) == 0
    assert len(limit) == 1000
    limit.take("late", 1000.0)
    assert len(limit) == 1


def test_who_is_active_is_not_forgotten_for_strangers() -> None:
    limit = RateLimit(1, 2, max_clients=10)
    assert [limit.take("a", 0.0) for _ in range(2)] == [0, 0]
    for number in range(9):
        limit.take(f"client-{number}", 0.0)
    assert limit.take("a", 0.0) > 0


@given(
    st.floats(0.01, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 10), min_size=1, max_size=100),
)
def test_it_is_a_bucket_of_tokens(
    per_second: float, burst: int, waits: list[float]
) -> None:
    """The same decisions as counting tokens, but for rounding; honest about waits."""
    limit, tokens, now = RateLimit(per_second, burst), float(burst), 0.0
    for wait in waits:
        now += wait
        tokens = min(burst, tokens + wait * per_second)
        told = limit.take("a", now)
        if told == 0:
            assert tokens > 0.999
            tokens -= 1
        else:
            assert tokens < 1.001
            assert told == pytest.approx((1 - tokens) / per_second, rel=0.01, abs=0.01)
