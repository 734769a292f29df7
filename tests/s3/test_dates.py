"""Times on the wire, there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.s3 import dates
from tests import strategies

EXAMPLE = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT ",
    ],
)
def test_the_three_forms_of_the_rfc(text: str) -> None:
    """RFC 9110 §5.6.7's own examples."""
    assert dates.parse_http_date(text) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "784111777",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
    ],
)
def test_what_is_no_date(text: str) -> None:
    """None, never an exception."""
    assert dates.parse_http_date(text) is None


@given(strategies.times(), st.integers(-12, 12))
def test_http_dates_agree_with_the_standard_library(when: datetime, zone: int) -> None:
    """Written as email.utils does, from any zone, and read back to the second."""
    local = when.astimezone(timezone(timedelta(hours=zone)))
    assert dates.http_date(local) == format_datetime(when, usegmt=True)
    assert dates.parse_http_date(dates.http_date(local)) == when.replace(microsecond=0)


@given(strategies.times())
def test_amz_dates_round_trip(when: datetime) -> None:
    """To the second."""
    text = dates.amz_date(when)
    assert text == when.strftime("%Y%m%dT%H%M%SZ")
    assert dates.parse_amz_date(text) == when.replace(microsecond=0)


@given(strategies.times())
def test_rfc3339_round_trips(when: datetime) -> None:
    """To the millisecond."""
    assert datetime.fromisoformat(dates.rfc3339(when)) == when


def test_two_digit_years() -> None:
    """From 70 on, the last century."""
    late = dates.parse_http_date("Sunday, 06-Nov-70 08:49:37 GMT")
    early = dates.parse_http_date("Sunday, 06-Nov-69 08:49:37 GMT")
    assert late is not None and early is not None
    assert (late.year, early.year) == (1970, 2069)
