"""What ``explain`` and ``what-if`` ask of the ledger."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

import psycopg2
from attrs import define

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.model import ObjectInfo
from s3proxy.plan.whereabouts import CopyAt, Losses, PartAt
from s3proxy.store.pool import Pool
from s3proxy.store.rows import read_info
from s3proxy.store.running import run_decided
from s3proxy.store.statements import statements

#: A page of objects may have ten thousand parts each.
_PATIENCE_SECONDS = 600.0

#: Behind every bucket's name.
_LAST = "~"


@define(eq=False)
class Whereabouts:
    """Reads only. Every method may raise StoreUnavailable."""

    pool: Pool

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """An object; None: there is none."""
        rows = await run_decided(self.pool, "head", bucket=bucket, key=key)
        return read_info(bucket, rows[0]) if rows else None

    async def parts(self, object_id: str, after: int, limit: int) -> list[PartAt]:
        """Its parts after part number *after*, with their copies in any state."""
        rows = await run_decided(
            self.pool, "whereabouts", object_id=object_id, after=after, limit=limit
        )
        return [
            PartAt(
                number,
                offset,
                size,
                tuple(CopyAt(*row[3:]) for row in copies if row[3]),
            )
            for (number, offset, size), copies in groupby(rows, lambda row: row[:3])
        ]

    async def manifests(self, object_id: str) -> tuple[bool, list[CopyAt]]:
        """Whether a manifest copy is to be written, and those that there are."""
        rows = await run_decided(self.pool, "manifest_whereabouts", object_id=object_id)
        is_due = any(due for due, *_ in rows)
        return is_due, [CopyAt(*copy) for _, *copy in rows if copy[0]]

    async def losses(
        self,
        bucket: str | None,
        configured: Collection[str],
        without: Collection[str],
        factor: int,
        after: tuple[str, str],
        limit: int,
    ) -> tuple[Losses, tuple[str, str] | None]:
        """
        What would be left of the next objects in order of bucket and key.

        :param bucket: None: of all buckets.
        :param after: Bucket and key where the last page ended; two empty texts at
            first.
        :returns: Also where this page ended; None: there was nothing more.
        """
        if bucket is not None:
            after = max(after, (bucket, ""))
        parameters = {
            "after_bucket": after[0],
            "after_key": after[1],
            "until_bucket": bucket or _LAST,
            "configured": list(configured),
            "kept": [name for name in configured if name not in without],
            "factor": factor,
            "limit": limit,
        }
        try:
            ((*sums, last),) = await self.pool.query(
                statements()["what_if"], parameters, timeout_seconds=_PATIENCE_SECONDS
            )
        except (psycopg2.Error, OutcomeUnknown) as why:
            raise StoreUnavailable(f"what_if: {why}".strip()) from why
        return Losses(*sums), None if last is None else (last[0], last[1])
