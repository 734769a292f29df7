"""Buckets made at run time: ``web.ports.BucketsPort`` over PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from attrs import define

from s3proxy.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    OperationAborted,
)
from s3proxy.model import MadeBucket
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@define(eq=False)
class PostgresBuckets:
    """
    :ivar hold_seconds: How long a deleted bucket's name waits for another owner.
    """

    pool: Pool
    hold_seconds: float

    async def find(self, bucket: str) -> MadeBucket | None:
        """See :class:`~s3proxy.web.ports.BucketsPort`."""
        rows = await run_decided(self.pool, "find_made_bucket", bucket=bucket)
        return MadeBucket(*rows[0]) if rows else None

    async def create(self, bucket: str, owner: str) -> bool:
        """See :class:`~s3proxy.web.ports.BucketsPort`."""
        ((outcome,),) = await run_decided(
            self.pool,
            "create_bucket",
            bucket=bucket,
            owner=owner,
            hold=interval(self.hold_seconds),
        )
        if outcome == "exists":
            raise BucketAlreadyExists(fields={"BucketName": bucket})
        if outcome == "later":
            raise OperationAborted(
                "The bucket of this name was deleted by another owner a short time "
                "ago. Try again later, or take another name.",
                fields={"BucketName": bucket},
            )
        return bool(outcome == "created")

    async def delete(self, bucket: str, owner: str) -> None:
        """See :class:`~s3proxy.web.ports.BucketsPort`."""
        ((outcome,),) = await run_decided(
            self.pool, "delete_bucket", bucket=bucket, owner=owner
        )
        if outcome == "not_empty":
            raise BucketNotEmpty(fields={"BucketName": bucket})
        if outcome == "no_bucket":
            raise NoSuchBucket(fields={"BucketName": bucket})

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> list[tuple[str, datetime]]:
        """See :class:`~s3proxy.web.ports.BucketsPort`."""
        rows = await run_decided(
            self.pool,
            "owned_buckets",
            owner=owner,
            prefix=prefix,
            after=after,
            limit=limit,
        )
        return [(name, created) for name, created in rows]
