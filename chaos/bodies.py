"""
Bodies that tell whose they are, in every block, so that a mix of two shows.

A body is its write's number and its size, and nothing else: 64-byte blocks with the
number, the block's own number and filling.
"""

from __future__ import annotations

from attrs import frozen

BLOCK_BYTES = 64
_NUMBER = 10
_FILLING = b"." * (BLOCK_BYTES - 2 * _NUMBER - 3) + b"\n"


@frozen
class Content:
    """What one write stores."""

    write: int
    size: int


def body(content: Content, start: int = 0, end: int | None = None) -> bytes:
    """The bytes from *start* up to *end* (the size, where it is None)."""
    end = content.size if end is None else min(end, content.size)
    if start >= end:
        return b""
    first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
    blocks = b"".join(
        b"%010d %010d %s" % (content.write, number, _FILLING)
        for number in range(first, last + 1)
    )
    return blocks[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]


def differs(data: bytes, content: Content, start: int = 0) -> str:
    """What is wrong with *data*, which is to be bytes of *content*; else ""."""
    wanted = body(content, start, start + len(data))
    if data == wanted:
        return ""
    if len(wanted) < len(data):
        return f"{len(data)} bytes from {start} on, of a body of {content.size}"
    at = next(i for i, (a, b) in enumerate(zip(data, wanted, strict=True)) if a != b)
    block = at + start - (at + start) % BLOCK_BYTES - start
    return f"byte {start + at} is not write {content.write}'s: {data[block:][:22]!r}"
