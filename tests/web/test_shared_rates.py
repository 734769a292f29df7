"""s3proxy.web.shared_rates: the same limit, wherever a client's requests arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy.web.rates import RateLimit
from s3proxy.web.shared_rates import WAYS, SharedRateLimit, Table, make_table


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = make_table()
    yield made
    os.close(made)


@settings(max_examples=30)
@given(
    st.floats(0.01, 1000),
    st.integers(1, 50),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10), st.booleans())),
)
def test_two_processes_decide_as_one(
    per_second: float, burst: int, requests: list[tuple[str, float, bool]]
) -> None:
    """Whichever of them a request reaches, it fares as in one process."""
    descriptor = make_table()
    try:
        one, two = (
            SharedRateLimit(Table(descriptor), per_second, burst) for _ in range(2)
        )
        alone, now = RateLimit(per_second, burst), 1.0
        for client, wait, is_first in requests:
            now += wait
            told = (one if is_first else two).take(client, now)
            assert told == alone.take(client, now)
    finally:
        os.close(descriptor)


def test_real_processes(descriptor: int) -> None:
    """What another process takes is gone here."""
    text = (
        "import sys; from s3proxy.web.shared_rates import *; "
        "limit = SharedRateLimit(Table(int(sys.argv[1])), 1.0, 3); "
        "print([limit.take('a', 5.0) for _ in range(2)])"
    )
    other = subprocess.run(
        [sys.executable, "-c", text, str(descriptor)],
        pass_fds=[descriptor],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert other.stdout == "[0.0, 0.0]\n"
    limit = SharedRateLimit(Table(descriptor), 1.0, 3)
    assert [limit.take("a", 5.0), limit.take("a", 5.0)] == [0, 1]
    assert limit.take("b", 5.0) == 0


def test_who_is_full_gives_way(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one set: of strangers, only those come in that use it least."""
    monkeypatch.setattr("s3proxy.web.shared_rates._SETS", 1)
    limit = SharedRateLimit(Table(descriptor), 1.0, 3)
    for _ in range(3):
        assert limit.take("busy", 1.0) == 0
    for number in range(5 * WAYS):
        assert limit.take(f"client {number}", 1.0) == 0
    assert limit.take("busy", 1.0) == 1
