"""Copies of copies over PostgreSQL: ``manager.replicating.ReplicaLedger``."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    PreconditionFailed,
    ServiceUnavailable,
)
from s3proxy.model import Claim, Copy, Part
from s3proxy.plan.naming import is_opaque
from s3proxy.plan.replicas import PartToCopy
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run, run_decided


@define(eq=False)
class PostgresReplicas:
    """
    :ivar lease_seconds: How long a claim lives without an extension.
    :ivar grace_seconds: How long a copy that is not needed stays for reads under way.
    :ivar hold_seconds: For how long a taken part is one worker's, and so how long it is
        until the next try.
    """

    pool: Pool
    lease_seconds: float
    grace_seconds: float
    hold_seconds: float

    async def take(self, factor: int, limit: int) -> list[str]:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        rows = await run_decided(
            self.pool,
            "take_replicas",
            factor=factor,
            limit=limit,
            hold=interval(self.hold_seconds),
        )
        return [part_id for (part_id,) in rows]

    async def find(self, part_id: str) -> PartToCopy | None:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        rows = await run_decided(self.pool, "part_to_copy", part_id=part_id)
        if not rows:
            return None
        bucket, key, etag, content_type, headers, user_metadata = rows[0][:6]
        tags, checksums, _, number, offset_bytes, size_bytes, md5 = rows[0][6:13]
        copies = tuple(
            Copy(copy_id, part_id, name, backend_key, size_bytes, etag, version, is_bad)
            for *_, copy_id, name, backend_key, etag, version, is_bad in rows
        )
        part = Part(part_id, number, offset_bytes, size_bytes, md5, copies)
        return PartToCopy(
            bucket,
            key,
            etag,
            content_type,
            headers,
            user_metadata,
            tags,
            checksums,
            part,
        )

    async def claim(
        self, backends: Sequence[str], wanted: PartToCopy, factor: int | None
    ) -> Claim:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        part = wanted.part
        ((outcome, copy_id, backend_name, backend_key),) = await run_decided(
            self.pool,
            "claim_replica",
            backends=list(backends),
            part_id=part.part_id,
            factor=factor,
            opaque=is_opaque(wanted.key),
            suffix=wanted.suffix,
            lease=interval(self.lease_seconds),
        )
        if outcome in ("gone", "enough"):
            raise PreconditionFailed()
        if outcome == "held":
            raise ServiceUnavailable(
                "Every backend that takes writes now has a copy already."
            )
        if outcome == "full":
            raise InsufficientStorage(
                f"No backend without a copy has room for {part.size_bytes} bytes."
            )
        copy = Copy(copy_id, part.part_id, backend_name, backend_key, part.size_bytes)
        return Claim(copy, self.lease_seconds)

    async def commit(
        self,
        claim: Claim,
        source: Copy,
        backend_etag: str | None,
        version_id: str | None,
        *,
        moves: bool,
        needs_manifest: bool,
    ) -> None:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        ((outcome,),) = await run(
            self.pool,
            "commit_replica",
            copy_id=claim.copy.copy_id,
            part_id=claim.copy.part_id,
            source_copy_id=source.copy_id,
            backend_etag=backend_etag,
            version_id=version_id,
            moves=moves,
            needs_manifest=needs_manifest,
            grace=interval(self.grace_seconds),
        )
        if outcome == "lost":
            raise ClaimLost(f"claim {claim.copy.copy_id} was given up by another")
        if outcome == "superseded":
            raise PreconditionFailed()

    async def pending(self, factor: int) -> int:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        ((few, _),) = await run_decided(self.pool, "under_replicated", factor=factor)
        return int(few)

    async def trim(self, factor: int, keep: Sequence[str], limit: int) -> int:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        ((count,),) = await run_decided(
            self.pool,
            "trim_copies",
            factor=factor,
            keep=list(keep),
            limit=limit,
            grace=interval(self.grace_seconds),
        )
        return int(count)
