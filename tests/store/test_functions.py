"""The functions of schema.sql that have an answer of their own."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from s3proxy.model import WriteConditions
from s3proxy.plan.naming import looks_ours
from tests.store.conftest import Database
from tests.strategies import texts

quick = settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


# Names ---


def test_ulids_are_unique_and_in_time(db: Database) -> None:
    """48 bits of the database's clock, never going back, and 80 random bits."""
    before = db.value("SELECT extract(epoch FROM clock_timestamp()) * 1000")
    made = [
        name
        for (name,) in db.sql("SELECT ledger_ulid() FROM generate_series(1, 20000)")
    ]
    after = db.value("SELECT extract(epoch FROM clock_timestamp()) * 1000")
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", each) for each in made)
    times = [_number(each[:10]) for each in made]
    assert times == sorted(times)
    # A time is rounded to the nearest millisecond.
    assert int(before) <= times[0] <= times[-1] <= int(after) + 1
    assert all(looks_ours(f"k~{each}") for each in made[:10])


def test_ulids_have_eighty_random_bits(db: Database) -> None:
    """None of them is the same every time."""
    made = db.sql("SELECT ledger_ulid() FROM generate_series(1, 500)")
    numbers = [_number(name[10:]) for (name,) in made]
    for bit in range(80):
        ones = sum(number >> bit & 1 for number in numbers)
        # 8 standard deviations: about one failure in 10^13 runs.
        assert abs(ones - 250) < 90, f"bit {bit} is set in {ones} of 500"


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [
        (0, 10, "0000000000"),
        (31, 1, "Z"),
        (32, 2, "10"),
        (2**48 - 1, 10, "7ZZZZZZZZZ"),
        (1469918176385, 10, "01ARYZ6S41"),
        (2**40 - 1, 8, "ZZZZZZZZ"),
    ],
)
def test_base32(db: Database, number: int, digits: int, text: str) -> None:
    """Crockford's digits, most significant first; one line is the ULID spec's own."""
    assert db.value("SELECT ledger_base32(%s, %s)", number, digits) == text


def _number(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 32 + CROCKFORD.index(digit)
    return number


# Prefixes ---


def after_prefix(prefix: str) -> str | None:
    """The naive model: the next string of at most that length, by code points."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


@quick
@example(prefix="")
@example(prefix="\U0010ffff")
@example(prefix="\U0010ffff\U0010ffff")
@example(prefix="a\U0010ffff\U0010ffff")
@example(prefix="a\ud7ff")
@example(prefix="\ud7ff\U0010ffff")
@example(prefix="a\x7f")
@example(prefix="a\uffff")
@given(
    prefix=st.one_of(
        texts(), st.text("a\x7f\x80\u07ff\ud7ff\ue000\uffff\U0010ffff", max_size=4)
    )
)
def test_after_prefix(db: Database, prefix: str) -> None:
    """As the model says."""
    assert db.value("SELECT ledger_after_prefix(%s)", prefix) == after_prefix(prefix)


@quick
@given(prefix=texts(1, 3), rest=texts(0, 3), other=texts(0, 5))
def test_after_prefix_bounds_a_prefix(
    db: Database, prefix: str, rest: str, other: str
) -> None:
    """Every string with the prefix is below it, every other one is not between."""
    bound = db.value("SELECT ledger_after_prefix(%s)", prefix)
    assume(bound is not None)
    assert prefix.encode() <= (prefix + rest).encode() < bound.encode()
    if not other.startswith(prefix):
        assert not prefix.encode() <= other.encode() < bound.encode()


# Conditions ---


_etags = st.sampled_from(["a", "b", "*"])


@quick
@given(
    etag=st.none() | st.sampled_from(["a", "b"]),
    if_match=st.lists(_etags, max_size=2),
    if_none_match=st.lists(_etags, max_size=2),
)
def test_allows(
    db: Database, etag: str | None, if_match: list[str], if_none_match: list[str]
) -> None:
    """The database and the model decide alike, and never with NULL."""
    allowed = db.value(
        "SELECT ledger_allows(%s, %s::text[], %s::text[])",
        etag,
        if_match,
        if_none_match,
    )
    conditions = WriteConditions(tuple(if_match), tuple(if_none_match))
    assert allowed is conditions.hold(etag)
