"""A range stays inside the object, or is ignored, or is 416."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import InvalidRange
from s3proxy.s3.ranges import check_copy, parse_copy, resolve

SIZES = st.integers(0, 100) | st.integers(0, 5 * 2**40)
NUMBERS = st.integers(0, 120) | st.integers(0, 10**30)


@given(SIZES, st.none() | NUMBERS, st.none() | NUMBERS)
def test_a_range_stays_inside_the_size(
    size: int, first: int | None, last: int | None
) -> None:
    """Whatever is asked for, what is sent is of the object and was asked for."""
    left = "" if first is None else str(first)
    right = "" if last is None else str(last)
    try:
        resolved = resolve(f"bytes={left}-{right}", size)
    except InvalidRange as why:
        assert (first is None and (last == 0 or size == 0)) or (
            first is not None and first >= size
        )
        assert why.headers == {"Content-Range": f"bytes */{size}"}
        return
    if resolved is None:
        assert left == right == "" or (
            first is not None and last is not None and last < first
        )
        return
    start, end = resolved
    assert 0 <= start < end <= size
    if first is None:
        assert last is not None
        assert (start, end) == (max(0, size - last), size)
    else:
        assert start == first
        assert end == (size if last is None else min(size, last + 1))


@given(st.text(max_size=20) | st.from_regex(r"bytes=[0-9,\- ]*"), SIZES)
def test_any_header_is_resolved_ignored_or_refused(header: str, size: int) -> None:
    """No Range header raises anything else."""
    try:
        resolved = resolve(header, size)
    except InvalidRange:
        return
    assert resolved is None or 0 <= resolved[0] < resolved[1] <= size


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-2",
        "bytes=0-1,3-4",
        "bytes=0-0,-1",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0x1-2",
        "bytes=\u0661-2",
        "items=0-1",
        "bytes 0-1",
    ],
)
def test_ignored(header: str | None) -> None:
    """Several ranges and malformed ones are ignored: the whole object, with 200."""
    assert resolve(header, 10) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=9-", (9, 10)),
        ("bytes=0-", (0, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=5-99", (5, 10)),
        (f"bytes=5-{'9' * 5000}", (5, 10)),
        (f"bytes=-{'9' * 5000}", (0, 10)),
        ("Bytes=2-5", (2, 6)),
        (" bytes=2-5 ", (2, 6)),
        ("bytes=002-005", (2, 6)),
    ],
)
def test_resolved(header: str, expected: tuple[int, int]) -> None:
    """First byte, and the one after the last; past the end is cut."""
    assert resolve(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        (f"bytes={'9' * 5000}-", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-5", 0),
    ],
)
def test_past_the_end(header: str, size: int) -> None:
    """416, with what the object has."""
    with pytest.raises(InvalidRange) as raised:
        resolve(header, size)
    assert raised.value.headers == {"Content-Range": f"bytes */{size}"}
    assert raised.value.fields["ActualObjectSize"] == str(size)


@given(SIZES, NUMBERS, NUMBERS)
def test_a_copys_range_is_whole_or_refused(size: int, first: int, last: int) -> None:
    """Unlike a read's, it is never cut to what there is."""
    first, last = sorted((first, last))
    wanted = parse_copy(f"bytes={first}-{last}")
    if last < size:
        assert check_copy(wanted, size) == (first, last + 1)
    else:
        with pytest.raises(InvalidRange):
            check_copy(wanted, size)


@given(SIZES)
def test_a_copy_without_a_range_is_of_all(size: int) -> None:
    """An empty source too."""
    assert check_copy(parse_copy(None), size) == (0, size)
