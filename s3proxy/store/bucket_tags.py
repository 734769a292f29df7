"""Tags of buckets."""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import define

from s3proxy.errors import NoSuchBucket
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@define(eq=False)
class BucketTags:
    """Matches ``web.ports.BucketTagsPort``."""

    pool: Pool

    async def tags(self, bucket: str) -> Mapping[str, str]:
        """
        A bucket's tags; empty where it has none.

        :raises NoSuchBucket: 404.
        """
        rows = await run_decided(self.pool, "bucket_tags", bucket=bucket)
        if not rows:
            raise NoSuchBucket(fields={"BucketName": bucket})
        return rows[0][0] or {}

    async def replace_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        """
        Give a bucket other tags, maybe none.

        :raises NoSuchBucket: 404.
        """
        shown = json.dumps(dict(tags)) if tags else None
        if not await run_decided(
            self.pool, "put_bucket_tags", bucket=bucket, tags=shown
        ):
            raise NoSuchBucket(fields={"BucketName": bucket})
