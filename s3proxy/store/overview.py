"""What ``/ui`` asks of the ledger beside what ``status`` does."""

from __future__ import annotations

from attrs import define, frozen

from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@frozen
class OpenUpload:
    """
    A multipart upload under way.

    :ivar seconds: Since it was begun.
    :ivar parts: How many it has.
    :ivar size_bytes: Of them together.
    """

    bucket: str
    key: str
    seconds: float
    parts: int
    size_bytes: int


@define(eq=False)
class Overview:
    """StoreUnavailable is any method's."""

    pool: Pool

    async def uploads(self, limit: int) -> tuple[int, list[OpenUpload]]:
        """How many are open, and the oldest of them."""
        rows = await run_decided(self.pool, "open_uploads", limit=limit)
        total = int(rows[0][0]) if rows else 0
        return total, [OpenUpload(*row[1:]) for row in rows]

    async def buckets(self) -> list[str]:
        """Every bucket, by name."""
        return [row[0] for row in await run_decided(self.pool, "bucket_names")]
