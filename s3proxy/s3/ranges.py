"""The Range header: which bytes of an object a client asks for."""

from __future__ import annotations

import re

from s3proxy.errors import InvalidArgument, InvalidRange

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)


def resolve(range_header: str | None, size: int) -> tuple[int, int] | None:
    """
    Resolve a Range header against an object.

    Several ranges, other units and malformed ones are ignored, as S3 does.

    :param size: Object size in bytes.
    :returns: The first byte and the byte after the last; None for the whole object
        (answered with 200).
    :raises InvalidRange: The range holds no byte of the object (416, with its
        Content-Range).
    """
    match = _ONE_RANGE.fullmatch((range_header or "").strip())
    if match is None or match[0].endswith("=-"):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - _number(last)), size
    else:
        start, end = _number(first), size
        if last:
            if _number(last) < start:
                return None
            end = min(size, _number(last) + 1)
    if start >= size:
        raise InvalidRange(
            fields={
                "RangeRequested": match[0],
                "ActualObjectSize": str(size),
            },
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def parse_copy(text: str | None) -> tuple[int, int] | None:
    """
    Read ``x-amz-copy-source-range``, which has one form only: ``bytes=first-last``.

    :returns: The first byte and the byte after the last; None when absent.
    :raises InvalidArgument: It has another form.
    """
    if text is None:
        return None
    match = _ONE_RANGE.fullmatch(text.strip())
    if match is None or not match[1] or not match[2]:
        raise _bad_copy_range()
    start, end = _number(match[1]), _number(match[2]) + 1
    if start >= end:
        raise _bad_copy_range()
    return start, end


def check_copy(wanted: tuple[int, int] | None, size: int) -> tuple[int, int]:
    """
    Hold a copy's range to its source.

    :param wanted: As :func:`parse_copy` returns it.
    :param size: The source's size in bytes.
    :returns: The first byte and the byte after the last.
    :raises InvalidRange: It goes past the end: unlike a read, a copy is not cut short.
    """
    if wanted is None:
        return 0, size
    if wanted[1] > size:
        raise InvalidRange(
            f"Range specified is not valid for source object of size: {size}"
        )
    return wanted


def _bad_copy_range() -> InvalidArgument:
    name = "x-amz-copy-source-range"
    return InvalidArgument(
        f"The {name} value must be of the form bytes=first-last where first and last "
        "are the zero-based offsets of the first and last bytes to copy",
        fields={"ArgumentName": name},
    )


def _number(digits: str) -> int:
    """Read digits, however many; what no size reaches is cut."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 20 else 10**20
