"""Conditional reads: the precedence of RFC 9110, and what an ETag list may be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import PreconditionFailed
from s3proxy.s3.conditions import (
    ReadConditions,
    check_copy,
    check_read,
    parse_etags,
    range_applies,
)
from s3proxy.s3.dates import http_date

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
# Changed within a second: what is shown, and compared, is the whole second.
MODIFIED = datetime(2026, 5, 24, 12, 0, 0, 700_000, tzinfo=UTC)
SECOND = int(MODIFIED.timestamp())
YES, NO = (ETAG,), ("other",)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (ReadConditions(), 200),
        (ReadConditions(if_match=YES), 200),
        (ReadConditions(if_match=("*",)), 200),
        (ReadConditions(if_match=(*NO, *YES)), 200),
        (ReadConditions(if_match=NO), 412),
        (ReadConditions(if_none_match=YES), 304),
        (ReadConditions(if_none_match=("*",)), 304),
        (ReadConditions(if_none_match=NO), 200),
        (ReadConditions(if_unmodified_since=SECOND), 200),
        (ReadConditions(if_unmodified_since=SECOND - 1), 412),
        (ReadConditions(if_modified_since=SECOND), 304),
        (ReadConditions(if_modified_since=SECOND - 1), 200),
        (ReadConditions(if_modified_since=SECOND + 1), 304),
        # If-Match decides, whatever If-Unmodified-Since says.
        (ReadConditions(if_match=YES, if_unmodified_since=SECOND - 1), 200),
        (ReadConditions(if_match=NO, if_unmodified_since=SECOND), 412),
        # If-None-Match decides, whatever If-Modified-Since says.
        (ReadConditions(if_none_match=YES, if_modified_since=SECOND - 1), 304),
        (ReadConditions(if_none_match=NO, if_modified_since=SECOND), 200),
        # Both kinds: a 412 comes first, and then a 304 may.
        (ReadConditions(if_match=NO, if_none_match=YES), 412),
        (ReadConditions(if_match=YES, if_none_match=YES), 304),
        (ReadConditions(if_match=YES, if_modified_since=SECOND), 304),
        (ReadConditions(if_none_match=YES, if_unmodified_since=SECOND - 1), 412),
    ],
)
def test_precedence(conditions: ReadConditions, expected: int) -> None:
    """Every pair of conditions that the RFC orders."""
    try:
        status = 200 if check_read(conditions, ETAG, MODIFIED) else 304
    except PreconditionFailed:
        status = 412
    assert status == expected


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        (ReadConditions(), None),
        (ReadConditions(if_match=YES, if_unmodified_since=SECOND - 1), None),
        (ReadConditions(if_none_match=NO, if_modified_since=SECOND), None),
        (ReadConditions(if_match=NO), "If-Match"),
        (ReadConditions(if_unmodified_since=SECOND - 1), "If-Unmodified-Since"),
        (
            ReadConditions(if_none_match=YES, if_modified_since=SECOND - 1),
            "If-None-Match",
        ),
        (ReadConditions(if_modified_since=SECOND), "If-Modified-Since"),
    ],
)
def test_a_copys_source(conditions: ReadConditions, failed: str | None) -> None:
    """The same precedence, and 412 for all: a copy knows no 304."""
    if failed is None:
        check_copy(conditions, ETAG, MODIFIED)
        return
    with pytest.raises(PreconditionFailed) as raised:
        check_copy(conditions, ETAG, MODIFIED)
    assert raised.value.fields == {"Condition": f"x-amz-copy-source-{failed}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ()),
        ("", ()),
        ("*", ("*",)),
        ('"abc"', ("abc",)),
        ("abc", ("abc",)),
        ('W/"abc"', ("abc",)),
        ('"a", "b" ,c,  W/"d"', ("a", "b", "c", "d")),
        ('"a,b","c"', ("a,b", "c")),
        ('""', ("",)),
        (",,", ()),
        ("abc-12", ("abc-12",)),
    ],
)
def test_etag_lists(text: str | None, expected: tuple[str, ...]) -> None:
    """Quoted, bare, weak, lists, any."""
    assert parse_etags(text) == expected


@given(st.lists(st.from_regex(r"[0-9a-f]{4}(-[0-9]{1,2})?", fullmatch=True)))
def test_etag_lists_round_trip(etags: list[str]) -> None:
    """However many, quoted or bare."""
    assert parse_etags(", ".join(f'"{etag}"' for etag in etags)) == tuple(etags)
    assert parse_etags(",".join(etags)) == tuple(etags)


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    """No header raises."""
    assert all("," not in etag or '"' in text for etag in parse_etags(text))


@pytest.mark.parametrize("piece", [" ", '"', 'W/"', '"a" ', "a ", '""x', "W/"])
def test_a_long_header_costs_no_more_than_its_length(piece: str) -> None:
    """A header as long as the front lets in: quadratic work would take minutes here."""
    parse_etags(piece * 500_000)


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [
        (None, True),
        (f'"{ETAG}"', True),
        ('"other"', False),
        ("", False),
        (http_date(MODIFIED), True),
        ("Sun, 24 May 2026 11:59:59 GMT", False),
        ("Sun, 24 May 2026 12:00:01 GMT", False),
    ],
)
def test_if_range(if_range: str | None, expected: bool) -> None:
    """A range of another version is not sent."""
    conditions = ReadConditions(if_range=if_range)
    assert range_applies(conditions, ETAG, MODIFIED) is expected
