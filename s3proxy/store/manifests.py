"""Manifest copies over PostgreSQL: ``manager.manifesting.ManifestLedger``."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    PreconditionFailed,
)
from s3proxy.model import Claim, Copy, ObjectInfo
from s3proxy.plan.manifest import ManifestPart, WantedManifest
from s3proxy.plan.naming import is_opaque
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run, run_decided


@define(eq=False)
class PostgresManifests:
    """
    :ivar lease_seconds: How long a claim lives without an extension.
    :ivar hold_seconds: For how long a taken object is one worker's, and so how long it
        is until the next try.
    """

    pool: Pool
    lease_seconds: float
    hold_seconds: float

    async def take(self, limit: int) -> list[WantedManifest]:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        rows = await run_decided(
            self.pool, "take_manifests", limit=limit, hold=interval(self.hold_seconds)
        )
        return [
            WantedManifest(ObjectInfo(*info), wanted_at) for *info, wanted_at in rows
        ]

    async def parts(self, object_id: str) -> tuple[ManifestPart, ...]:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        rows = await run_decided(self.pool, "manifest_parts", object_id=object_id)
        return tuple(ManifestPart(*row) for row in rows)

    async def claim(
        self, backends: Sequence[str], wanted: WantedManifest, size_bytes: int
    ) -> Claim:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        info = wanted.info
        ((outcome, copy_id, part_id, backend_name, backend_key),) = await run_decided(
            self.pool,
            "claim_manifest",
            backends=list(backends),
            bucket=info.bucket,
            key=info.key,
            opaque=is_opaque(info.key),
            object_id=info.object_id,
            wanted_at=wanted.wanted_at,
            size_bytes=size_bytes,
            lease=interval(self.lease_seconds),
        )
        if outcome == "superseded":
            raise PreconditionFailed()
        if outcome == "full":
            raise InsufficientStorage(
                f"No backend has room for a manifest copy of {size_bytes} bytes."
            )
        copy = Copy(copy_id, part_id, backend_name, backend_key, size_bytes)
        return Claim(copy, self.lease_seconds)

    async def commit(
        self,
        claim: Claim,
        wanted: WantedManifest,
        backend_etag: str | None,
        version_id: str | None,
    ) -> None:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        ((outcome,),) = await run(
            self.pool,
            "commit_manifest",
            copy_id=claim.copy.copy_id,
            bucket=wanted.info.bucket,
            key=wanted.info.key,
            object_id=wanted.info.object_id,
            wanted_at=wanted.wanted_at,
            backend_etag=backend_etag,
            version_id=version_id,
        )
        if outcome == "lost":
            raise ClaimLost(f"claim {claim.copy.copy_id} was given up by another")
        if outcome == "superseded":
            raise PreconditionFailed()
