"""
Multipart uploads that nobody completes or aborts (protocol, rule 14).

Safe in several processes at once: each takes the uploads that no other holds.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from twisted.logger import Logger

#: Uploads in one transaction: each holds locks on all its parts until the end.
BATCH = 20


class Expiry(Protocol):
    """``store.uploads.PostgresUploads``."""

    async def expire(self, max_age_seconds: float, limit: int) -> int:
        """Abort at most *limit* uploads of that age; returns how many."""
        ...


@define(eq=False)
class Expirer:
    """
    :ivar max_age_seconds: ``multipart.max_age``.
    """

    _uploads: Expiry
    max_age_seconds: float
    _log = Logger()

    async def round(self) -> int:
        """Abort all stale uploads, a batch at a time; returns how many."""
        total = 0
        while aborted := await self._uploads.expire(self.max_age_seconds, BATCH):
            total += aborted
            if aborted < BATCH:
                break
        if total:
            self._log.info("aborted {total} stale multipart uploads", total=total)
        return total
