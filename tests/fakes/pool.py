"""
What the pool's jobs ask of the ledger, in memory, each class over one
:class:`~tests.fakes.whole.WholeLedger`, whose faults are theirs, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    PreconditionFailed,
    ServiceUnavailable,
)
from s3proxy.manager.ports import CopyState
from s3proxy.model import Claim, Copy, ObjectInfo
from s3proxy.plan.manifest import ManifestPart, WantedManifest
from s3proxy.plan.naming import is_opaque
from s3proxy.plan.rebalance import Candidate
from s3proxy.plan.replicas import PartToCopy
from tests.fakes.whole import WholeLedger


def _new_copy(
    ledger: WholeLedger, key: str, part_id: str, backend: str, size: int, suffix: str
) -> Copy:
    copy_id = ledger._ulid()
    stem = f"~/{copy_id}" if is_opaque(key) else f"{key}~{copy_id}"
    return Copy(copy_id, part_id, backend, stem + suffix, size)


@frozen
class MemoryReplicas:
    """
    ``manager.replicating.ReplicaLedger``.

    :ivar hold_seconds: For how long a taken part is one worker's.
    """

    ledger: WholeLedger
    hold_seconds: float

    async def take(self, factor: int, limit: int) -> list[str]:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        ledger, now = self.ledger, self.ledger._now()
        ledger._called("take_replicas")
        due = sorted(
            (len(part.copies), ledger.replica_due.get(part_id, 0.0), part_id)
            for part_id, (_, part) in ledger.object_parts().items()
            if 0 < len(part.copies) < factor
            and ledger.replica_due.get(part_id, 0.0) <= now
        )
        taken = [part_id for *_, part_id in due[:limit]]
        for part_id in taken:
            ledger.replica_due[part_id] = now + self.hold_seconds
        return taken

    async def find(self, part_id: str) -> PartToCopy | None:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        self.ledger._called("part_to_copy")
        info, part = self.ledger.object_parts().get(part_id, (None, None))
        if info is None or part is None or not part.copies:
            return None
        return PartToCopy(
            info.bucket,
            info.key,
            info.etag,
            info.content_type,
            info.headers,
            info.user_metadata,
            info.tags,
            info.checksums,
            part,
        )

    async def claim(
        self, backends: Sequence[str], wanted: PartToCopy, factor: int | None
    ) -> Claim:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        ledger, part_id = self.ledger, wanted.part.part_id
        ledger._called("claim_replica")
        live = ledger.live(part_id)
        if part_id not in ledger.object_parts() or not live:
            raise PreconditionFailed()
        holders = {
            row.copy.backend_name
            for row in ledger.rows.values()
            if row.copy.part_id == part_id
            and row.state in (CopyState.CLAIMED, CopyState.LIVE)
        }
        if factor is not None and len(holders) >= factor:
            raise PreconditionFailed()
        candidates = [name for name in backends if name not in holders]
        if not candidates:
            raise ServiceUnavailable("Every backend has a copy already.")
        size = wanted.part.size_bytes
        backend = ledger.place(candidates, size)
        if backend is None:
            raise InsufficientStorage()
        copy = _new_copy(ledger, wanted.key, part_id, backend, size, wanted.suffix)
        ledger.insert_claim(copy, wanted.bucket, wanted.key)
        return Claim(copy, ledger.lease_seconds)

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
        ledger = self.ledger
        ledger._called("commit_replica")
        info, _ = ledger.object_parts().get(claim.copy.part_id, (None, None))
        held = ledger.rows.get(source.copy_id)
        row = ledger._claimed(claim.copy.copy_id)
        if row is None:
            raise ClaimLost(f"claim {claim.copy.copy_id} was given up by another")
        row.copy = evolve(row.copy, version_id=version_id)
        if info is None or held is None or held.state is not CopyState.LIVE:
            ledger._abandon(row, delete_twice=False)
            raise PreconditionFailed()
        row.copy = evolve(row.copy, backend_etag=backend_etag)
        row.state, row.due_at = CopyState.LIVE, None
        if (
            needs_manifest
            and info.object_id not in ledger.wants
            and not ledger.manifest_copies(info.object_id)
        ):
            ledger.want(info.object_id)
        if moves:
            ledger.make_garbage(held, info.object_id)

    async def pending(self, factor: int) -> int:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        self.ledger._called("under_replicated")
        parts = self.ledger.object_parts().values()
        return sum(len(part.copies) < factor for _, part in parts)

    async def trim(self, factor: int, keep: Sequence[str], limit: int) -> int:
        """See :class:`~s3proxy.manager.replicating.ReplicaLedger`."""
        ledger, total = self.ledger, 0
        ledger._called("trim_copies")
        rank = {name: place for place, name in enumerate(keep)}
        many = [
            (info, part)
            for info, part in ledger.object_parts().values()
            if len(part.copies) > factor
        ]
        for info, part in many[:limit]:
            rows = sorted(
                ledger.live(part.part_id),
                key=lambda row: (
                    rank.get(row.copy.backend_name, len(rank)),
                    row.copy.copy_id,
                ),
            )
            for row in rows[factor:]:
                ledger.make_garbage(row, info.object_id)
                total += 1
        return total


@frozen
class MemoryDraining:
    """``jobs.draining.Drainable``, and what the command does."""

    ledger: WholeLedger

    async def start(self, backend: str) -> bool:
        """Nothing goes there from now on."""
        self.ledger._called("start_drain")
        self.ledger.draining.add(backend)
        return backend in self.ledger.limits

    async def stop(self, backend: str) -> bool:
        """It is as any other again."""
        self.ledger._called("stop_drain")
        was = backend in self.ledger.draining
        self.ledger.draining.discard(backend)
        return was

    async def draining(self) -> list[str]:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        self.ledger._called("draining")
        return sorted(self.ledger.draining)

    async def note(self, backend: str, word: str | None) -> None:
        """See :class:`~s3proxy.jobs.draining.Drainable`; nobody reads it here."""
        self.ledger._called("note_drain")

    async def candidates(
        self, backend: str, after: str, limit: int
    ) -> Sequence[Candidate]:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        self.ledger._called("drainable")
        parts = self.ledger.object_parts()
        there = sorted(
            (row.copy.copy_id, row)
            for row in self.ledger.rows.values()
            if row.copy.backend_name == backend
            and row.state is CopyState.LIVE
            and row.copy.part_id in parts
            and row.copy.copy_id > after
        )
        return [
            Candidate(
                copy_id,
                row.copy.part_id,
                backend,
                row.copy.size_bytes,
                frozenset(
                    each.copy.backend_name
                    for each in self.ledger.rows.values()
                    if each.copy.part_id == row.copy.part_id
                    and each.state in (CopyState.CLAIMED, CopyState.LIVE)
                ),
            )
            for copy_id, row in there[:limit]
        ]

    async def drop(self, copy_id: str, part_id: str, factor: int) -> bool:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        ledger = self.ledger
        ledger._called("drop_copy")
        info, _ = ledger.object_parts().get(part_id, (None, None))
        live = {row.copy.copy_id: row for row in ledger.live(part_id)}
        if info is None or len(live.keys() - {copy_id}) < factor:
            return False
        if copy_id not in live:
            return False
        ledger.make_garbage(live[copy_id], info.object_id)
        return True

    async def rewrite_manifests(self, backend: str, limit: int) -> int:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        self.ledger._called("rewrite_manifests")
        there = [
            info.object_id
            for info in self.ledger.objects()
            for row in self.ledger.manifest_copies(info.object_id)
            if row.copy.backend_name == backend
        ]
        wanted = [each for each in there[:limit] if each not in self.ledger.wants]
        for object_id in wanted:
            self.ledger.want(object_id)
        return len(wanted)


@frozen
class MemoryJobs:
    """``jobs.rebalancing.Singleton``, of one process."""

    ledger: WholeLedger
    process: str

    async def take(self, name: str, hold_seconds: float) -> bool:
        """See :class:`~s3proxy.jobs.rebalancing.Singleton`."""
        self.ledger._called("take_job")
        now = self.ledger._now()
        by, until = self.ledger.taken.get(name, (self.process, now))
        if by != self.process and until > now:
            return False
        self.ledger.taken[name] = self.process, now + hold_seconds
        return True

    async def leave(self, name: str) -> None:
        """See :class:`~s3proxy.jobs.rebalancing.Singleton`."""
        self.ledger._called("leave_job")
        if self.ledger.taken.get(name, ("", 0.0))[0] == self.process:
            del self.ledger.taken[name]


@frozen
class WholeManifests:
    """
    ``manager.manifesting.ManifestLedger``.

    :ivar hold_seconds: For how long a taken object is one worker's.
    """

    ledger: WholeLedger
    hold_seconds: float

    async def take(self, limit: int) -> list[WantedManifest]:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        ledger, now = self.ledger, self.ledger._now()
        ledger._called("take_manifests")
        by_id = {info.object_id: info for info in ledger.objects()}
        due = sorted(
            (want.due_at, object_id)
            for object_id, want in ledger.wants.items()
            if want.due_at <= now
        )[:limit]
        taken = []
        for _, object_id in due:
            want = ledger.wants[object_id]
            want.due_at = now + self.hold_seconds
            wanted_at = datetime.fromtimestamp(want.wanted_at, UTC)
            taken.append(WantedManifest(by_id[object_id], wanted_at))
        return taken

    async def parts(self, object_id: str) -> tuple[ManifestPart, ...]:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        self.ledger._called("manifest_parts")
        return tuple(
            ManifestPart(
                part.part_number,
                part.part_id,
                part.offset_bytes,
                part.size_bytes,
                part.md5,
            )
            for info in self.ledger.objects()
            if info.object_id == object_id
            for part in self.ledger.parts_of(info)
        )

    async def claim(
        self, backends: Sequence[str], wanted: WantedManifest, size_bytes: int
    ) -> Claim:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        ledger, info = self.ledger, wanted.info
        ledger._called("claim_manifest")
        if not self._is_wanted(wanted):
            raise PreconditionFailed()
        backend = ledger.place(backends, size_bytes)
        if backend is None:
            raise InsufficientStorage()
        part_id = ledger._ulid()
        copy = _new_copy(ledger, info.key, part_id, backend, size_bytes, ".manifest")
        row = ledger.insert_claim(copy, info.bucket, info.key)
        row.is_manifest = True
        return Claim(copy, ledger.lease_seconds)

    async def commit(
        self,
        claim: Claim,
        wanted: WantedManifest,
        backend_etag: str | None,
        version_id: str | None,
    ) -> None:
        """See :class:`~s3proxy.manager.manifesting.ManifestLedger`."""
        ledger, info = self.ledger, wanted.info
        ledger._called("commit_manifest")
        row = ledger._claimed(claim.copy.copy_id)
        if row is None:
            raise ClaimLost(f"claim {claim.copy.copy_id} was given up by another")
        row.copy = evolve(row.copy, version_id=version_id)
        if not self._is_wanted(wanted):
            ledger._abandon(row, delete_twice=False)
            raise PreconditionFailed()
        ledger.discard_manifests(info.object_id)
        row.copy = evolve(row.copy, backend_etag=backend_etag)
        row.state, row.due_at, row.object_id = CopyState.LIVE, None, info.object_id
        del ledger.wants[info.object_id]

    def _is_wanted(self, wanted: WantedManifest) -> bool:
        info: ObjectInfo = wanted.info
        found = self.ledger._objects.get((info.bucket, info.key))
        want = self.ledger.wants.get(info.object_id)
        return (
            found is not None
            and found[0].object_id == info.object_id
            and want is not None
            and datetime.fromtimestamp(want.wanted_at, UTC) == wanted.wanted_at
        )
