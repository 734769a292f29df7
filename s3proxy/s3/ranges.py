"""The Range header: which bytes of an object a client asks for."""

from __future__ import annotations

import re

from s3proxy.errors import InvalidRange

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


def _number(digits: str) -> int:
    """Read digits, however many; what no size reaches is cut."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 20 else 10**20
