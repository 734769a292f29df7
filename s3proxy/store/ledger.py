"""The ledger over PostgreSQL: ``manager.ports.Ledger``, statement by statement."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg2
from attrs import define

from s3proxy.errors import (
    InsufficientStorage,
    NoSuchBucket,
    OutcomeUnknown,
    PreconditionFailed,
    StoreUnavailable,
)
from s3proxy.manager.ports import CopyState, MadeCopy, NewObject
from s3proxy.model import (
    Claim,
    CopyCount,
    Deleted,
    Doomed,
    ListPage,
    ObjectAttributes,
    ObjectInfo,
    ObjectPart,
    Part,
    PartRange,
    StoredObject,
    WriteConditions,
)
from s3proxy.plan.naming import is_opaque
from s3proxy.store.claims import claims_lost, made_columns, no_room, read_claims
from s3proxy.store.connection import Row
from s3proxy.store.pool import Pool
from s3proxy.store.refusals import refusal
from s3proxy.store.rows import read_info, read_parts, read_stored
from s3proxy.store.running import run, run_decided
from s3proxy.store.statements import statements


@define(eq=False)
class PostgresLedger:
    """
    :ivar lease_seconds: How long a claim lives without an extension.
    :ivar grace_seconds: How long overwritten bytes stay for reads under way.
    """

    pool: Pool
    lease_seconds: float
    grace_seconds: float

    async def claim_copies(
        self,
        backends: Sequence[str],
        bucket: str,
        key: str,
        size_bytes: int,
        conditions: WriteConditions,
        count: CopyCount,
    ) -> tuple[Claim, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(
            self.pool,
            "claim",
            backends=list(backends),
            bucket=bucket,
            key=key,
            opaque=is_opaque(key),
            size_bytes=size_bytes,
            lease=interval(self.lease_seconds),
            if_match=list(conditions.if_match),
            if_none_match=list(conditions.if_none_match),
            least=count.least,
            most=count.most,
        )
        outcome = rows[0][0]
        if outcome == "full":
            raise InsufficientStorage(
                f"{no_room(count)} for {size_bytes} bytes. Delete objects, raise a "
                "backend's quota_bytes, or add a backend."
            )
        if outcome == "precondition":
            raise await refusal(self.pool, bucket, key, conditions)
        if outcome == "no_bucket":
            raise NoSuchBucket(fields={"BucketName": bucket})
        return read_claims(rows, size_bytes, self.lease_seconds)

    async def extend(self, copy_ids: Collection[str]) -> set[str]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(
            self.pool,
            "extend",
            copy_ids=list(copy_ids),
            lease=interval(self.lease_seconds),
        )
        return {copy_id for (copy_id,) in rows}

    async def commit_copies(
        self,
        made: Sequence[MadeCopy],
        new: NewObject,
        conditions: WriteConditions,
        least: int,
    ) -> ObjectInfo:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        ((outcome, object_id, last_modified),) = await run(
            self.pool,
            "commit",
            **made_columns(made),
            least=least,
            bucket=new.bucket,
            key=new.key,
            size_bytes=new.size_bytes,
            md5=new.md5,
            content_type=new.content_type,
            headers=json.dumps(new.headers),
            user_metadata=json.dumps(new.user_metadata),
            checksums=json.dumps(new.checksums),
            if_match=list(conditions.if_match),
            if_none_match=list(conditions.if_none_match),
            grace=interval(self.grace_seconds),
            needs_manifest=new.needs_manifest,
            tags=json.dumps(new.tags),
        )
        if outcome == "lost":
            raise claims_lost(made)
        if outcome == "precondition":
            raise await refusal(self.pool, new.bucket, new.key, conditions)
        if outcome == "no_bucket":
            raise NoSuchBucket(fields={"BucketName": new.bucket})
        return ObjectInfo(
            bucket=new.bucket,
            key=new.key,
            object_id=object_id,
            size_bytes=new.size_bytes,
            etag=new.md5,
            content_type=new.content_type,
            last_modified=last_modified,
            headers=new.headers,
            user_metadata=new.user_metadata,
            checksums=new.checksums,
            tags=new.tags,
        )

    async def settle(self, *claims: Claim) -> CopyState | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        copy_ids = [each.copy.copy_id for each in claims]
        text = statements()
        # This waits for the old session's row locks, where that still lives. A commit
        # leaves none of its claims claimed.
        rows = await self._fresh(text["abandon_all"], copy_ids=copy_ids)
        if rows:
            return CopyState.ABANDONED
        rows = await self._fresh(text["states"], copy_ids=copy_ids)
        found = {CopyState(state) for (state,) in rows}
        # One that somebody gave up before the commit says nothing of it.
        best = (CopyState.LIVE, CopyState.GARBAGE, CopyState.ABANDONED)
        return next((state for state in best if state in found), None)

    async def release(self, claim: Claim) -> None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        await run_decided(self.pool, "release", copy_id=claim.copy.copy_id)

    async def abandon(self, claim: Claim, *, landed: bool) -> None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        await run_decided(
            self.pool, "abandon", copy_id=claim.copy.copy_id, landed=landed
        )

    async def replace_metadata(
        self,
        current: ObjectInfo,
        content_type: str | None,
        headers: Mapping[str, str],
        user_metadata: Mapping[str, str],
        conditions: WriteConditions,
        tags: Mapping[str, str] | None = None,
    ) -> ObjectInfo | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        if not conditions.hold(current.etag):
            raise PreconditionFailed()
        # An object's ETag never changes while it is the same version.
        rows = await run_decided(
            self.pool,
            "replace_metadata",
            bucket=current.bucket,
            key=current.key,
            object_id=current.object_id,
            content_type=content_type,
            headers=json.dumps(dict(headers)),
            user_metadata=json.dumps(dict(user_metadata)),
            tags=None if tags is None else json.dumps(dict(tags)),
        )
        return read_info(current.bucket, rows[0]) if rows else None

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> bool:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(
            self.pool,
            "replace_tags",
            bucket=bucket,
            key=key,
            tags=json.dumps(dict(tags)),
        )
        return bool(rows)

    async def delete(
        self, bucket: str, key: str, if_match: Sequence[str] = ()
    ) -> Deleted:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        ((outcome,),) = await run_decided(
            self.pool,
            "delete",
            bucket=bucket,
            key=key,
            if_match=list(if_match),
            grace=interval(self.grace_seconds),
        )
        return Deleted(outcome)

    async def delete_many(
        self, bucket: str, doomed: Sequence[Doomed]
    ) -> tuple[Deleted, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        ((outcomes,),) = await run_decided(
            self.pool,
            "delete_many",
            bucket=bucket,
            keys=[each.key for each in doomed],
            etags=[each.if_match for each in doomed],
            grace=interval(self.grace_seconds),
        )
        return tuple(Deleted(each) for each in outcomes)

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(self.pool, "head", bucket=bucket, key=key)
        return read_info(bucket, rows[0]) if rows else None

    async def find(self, bucket: str, key: str) -> StoredObject | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(self.pool, "find", bucket=bucket, key=key)
        return read_stored(bucket, rows) if rows else None

    async def parts(self, object_id: str, start: int, end: int) -> tuple[Part, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(
            self.pool, "parts", object_id=object_id, start=start, end=end
        )
        return read_parts(rows)

    async def part_range(
        self, bucket: str, key: str, part_number: int
    ) -> PartRange | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(
            self.pool, "part_range", bucket=bucket, key=key, skip=part_number - 1
        )
        if not rows:
            return None
        *info, count, offset_bytes, size_bytes, checksums = rows[0]
        found = None
        if offset_bytes is not None:
            found = (offset_bytes, offset_bytes + size_bytes)
        return PartRange(read_info(bucket, info), found, count, checksums or {})

    async def attributes(
        self, bucket: str, key: str, after: int, limit: int
    ) -> ObjectAttributes | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        rows = await run_decided(
            self.pool,
            "attributes",
            bucket=bucket,
            key=key,
            after=after,
            limit=limit + 1,
        )
        if not rows:
            return None
        *info, count, parts = rows[0]
        found = tuple(ObjectPart(*each) for each in parts or ())
        page = found[:limit]
        more = page[-1].part_number if page and len(found) > limit else None
        return ObjectAttributes(read_info(bucket, info), count, page, more)

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        if limit <= 0:
            return ListPage((), (), None)
        rows = await run_decided(
            self.pool,
            "list",
            bucket=bucket,
            prefix=prefix,
            delimiter=delimiter,
            after=after,
            limit=limit + 1,
        )
        page = rows[:limit]
        return ListPage(
            contents=tuple(
                read_info(bucket, row[1:]) for row in page if row[0] is None
            ),
            common_prefixes=tuple(row[0] for row in page if row[0] is not None),
            next_after=(page[-1][0] or page[-1][1]) if len(rows) > limit else None,
        )

    async def pin(self, object_id: str) -> None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        await run_decided(
            self.pool, "pin", object_id=object_id, hold=interval(self.grace_seconds)
        )

    async def _fresh(self, sql: str, **parameters: Any) -> list[Row]:
        try:
            return await self.pool.fresh(sql, parameters)
        except (psycopg2.Error, OutcomeUnknown) as why:
            raise StoreUnavailable(str(why).strip()) from why


def interval(seconds: float) -> str:
    """*seconds* in PostgreSQL's words."""
    return f"{seconds:.6f} seconds"
