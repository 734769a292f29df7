"""
The rate limit of several processes: one account of every client, in shared memory.

A table of fixed size, without locks: a process that is stopped holds up no other. What
two of them write at the same instant costs a token at most. Nothing here outlives the
daemon, and a table that is empty lets everybody begin with a full bucket.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import blake2b
from mmap import mmap
from typing import Final

from s3proxy.web.rates import MAX_CLIENTS, step

#: Places for clients whose hashes fall together; the fullest bucket of them gives way,
#: since to forget it changes least.
WAYS: Final = 8

_SETS: Final = MAX_CLIENTS // WAYS
_KEY_BYTES: Final = 32
_TABLE_BYTES: Final = _KEY_BYTES + 16 * MAX_CLIENTS


def make_table() -> int:
    """
    New shared memory for a table.

    :returns: Its file descriptor; memory and file are gone when the last one closes.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("s3proxy-rates")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _TABLE_BYTES)
    # So that no stranger can choose addresses that fall together.
    os.pwrite(descriptor, os.urandom(_KEY_BYTES), 0)
    return descriptor


class Table:
    """Clients, and when the bucket of each will be full again."""

    def __init__(self, descriptor: int) -> None:
        """:param descriptor: Of :func:`make_table`, or inherited."""
        memory = memoryview(mmap(descriptor, _TABLE_BYTES))
        half = _KEY_BYTES + 8 * MAX_CLIENTS
        self._key = bytes(memory[:_KEY_BYTES])
        self._tags = memory[_KEY_BYTES:half].cast("Q")
        self._times = memory[half:].cast("d")

    def find(self, client: str) -> tuple[int, int, float]:
        """:returns: Its place, what marks it there, and its time; 0.0 = none."""
        digest = blake2b(client.encode(), key=self._key, digest_size=16).digest()
        tag = int.from_bytes(digest[:8], "big") | 1
        first = int.from_bytes(digest[8:], "big") % _SETS * WAYS
        fullest = first
        for at in range(first, first + WAYS):
            if self._tags[at] == tag:
                return at, tag, self._times[at]
            if self._times[at] < self._times[fullest]:
                fullest = at
        return fullest, tag, 0.0

    def put(self, at: int, tag: int, full_at: float) -> None:
        """Write what was found, and changed."""
        self._times[at] = full_at
        self._tags[at] = tag


class SharedRateLimit:
    """As :class:`~s3proxy.web.rates.RateLimit`, for all that have the table."""

    def __init__(self, table: Table, per_second: float, burst: int) -> None:
        self._table = table
        self._per_second = per_second
        self._burst = burst

    def take(self, client: str, now: float) -> float:
        """See :meth:`RateLimit.take`; *now* is of a clock that all processes share."""
        at, tag, full_at = self._table.find(client)
        full_at, wait = step(full_at, now, self._per_second, self._burst)
        self._table.put(at, tag, full_at)
        return wait
