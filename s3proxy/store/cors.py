"""Buckets' cross-origin rules over PostgreSQL: ``web.ports.CorsPort``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import asdict, define

from s3proxy.errors import NoSuchBucket
from s3proxy.s3.cors import CorsRule
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@define(eq=False)
class PostgresCors:
    """The column ``buckets.cors``: a list of rules, or NULL."""

    pool: Pool

    async def get(self, bucket: str) -> tuple[CorsRule, ...] | None:
        """The bucket's rules; None where it has none, or is none."""
        rows = await run_decided(self.pool, "cors", bucket=bucket)
        stored = rows[0][0] if rows else None
        return None if stored is None else tuple(_rule(each) for each in stored)

    async def put(self, bucket: str, rules: Sequence[CorsRule]) -> None:
        """
        Give the bucket these rules, in place of any.

        :raises NoSuchBucket: There is no such bucket.
        """
        await self._put(bucket, json.dumps([asdict(rule) for rule in rules]))

    async def delete(self, bucket: str) -> None:
        """
        Take the bucket's rules away; it may have none.

        :raises NoSuchBucket: There is no such bucket.
        """
        await self._put(bucket, None)

    async def _put(self, bucket: str, cors: str | None) -> None:
        if not await run_decided(self.pool, "put_cors", bucket=bucket, cors=cors):
            raise NoSuchBucket(fields={"BucketName": bucket})


def _rule(stored: dict[str, Any]) -> CorsRule:
    """A rule, whose lists JSON gives back as such."""
    lists = ("origins", "methods", "headers", "exposed")
    return CorsRule(**(stored | {name: tuple(stored[name]) for name in lists}))
