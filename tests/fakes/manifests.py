"""``manager.manifesting.ManifestLedger`` in memory, over the ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import evolve

from s3proxy.errors import ClaimLost, PreconditionFailed
from s3proxy.manager.ports import CopyState
from s3proxy.model import Claim, ObjectInfo, WriteConditions
from s3proxy.plan.manifest import ManifestPart, WantedManifest
from tests.fakes.ledger import MemoryLedger


class MemoryManifests:
    """
    :ivar ledger: Its rows are this one's too, and so are its faults: ``take``,
        ``manifest_parts``, ``claim``, ``commit_manifest``.
    :ivar wanted: What :meth:`take` gives, once each.
    """

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.wanted: list[WantedManifest] = []
        self.current: dict[tuple[str, str], WantedManifest] = {}
        self._parts: dict[str, tuple[ManifestPart, ...]] = {}

    def want(self, info: ObjectInfo, *parts: ManifestPart) -> WantedManifest:
        """This is what its key is now; its manifest is wanted."""
        wanted_at = datetime.fromtimestamp(len(self._parts), UTC)
        wanted = WantedManifest(info, wanted_at)
        self._parts[info.object_id] = parts
        self.current[info.bucket, info.key] = wanted
        self.wanted.append(wanted)
        return wanted

    async def take(self, limit: int) -> list[WantedManifest]:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        self.ledger._called("take")
        taken, self.wanted = self.wanted[:limit], self.wanted[limit:]
        return taken

    async def parts(self, object_id: str) -> tuple[ManifestPart, ...]:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        self.ledger._called("manifest_parts")
        is_there = any(
            wanted.info.object_id == object_id for wanted in self.current.values()
        )
        return self._parts[object_id] if is_there else ()

    async def claim(
        self, backends: Sequence[str], wanted: WantedManifest, size_bytes: int
    ) -> Claim:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        self._check(wanted)
        info = wanted.info
        claim = await self.ledger.claim(
            backends, info.bucket, info.key, size_bytes, WriteConditions()
        )
        copy = evolve(claim.copy, backend_key=f"{claim.copy.backend_key}.manifest")
        self.ledger.rows[copy.copy_id].copy = copy
        return evolve(claim, copy=copy)

    async def commit(
        self,
        claim: Claim,
        wanted: WantedManifest,
        backend_etag: str | None,
        version_id: str | None,
    ) -> None:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        self.ledger._called("commit_manifest")
        row = self.ledger._claimed(claim.copy.copy_id)
        if row is None:
            raise ClaimLost(f"claim {claim.copy.copy_id} was given up by another")
        try:
            self._check(wanted)
        except PreconditionFailed:
            self.ledger._abandon(row, delete_twice=False)
            raise
        row.copy = evolve(row.copy, backend_etag=backend_etag, version_id=version_id)
        row.state, row.due_at = CopyState.LIVE, None
        row.object_id = wanted.info.object_id
        del self.current[wanted.info.bucket, wanted.info.key]

    def _check(self, wanted: WantedManifest) -> None:
        if self.current.get((wanted.info.bucket, wanted.info.key)) != wanted:
            raise PreconditionFailed()
