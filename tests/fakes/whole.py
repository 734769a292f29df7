"""
The whole ledger in memory: copies come and go while their object stays, backends are
drained, manifest copies are wanted. A transcript of schema.sql, for the simulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve

from s3proxy.manager.ports import CopyState, MadeCopy, NewObject
from s3proxy.model import (
    Claim,
    Copy,
    CopyCount,
    ObjectInfo,
    Part,
    StoredObject,
    WriteConditions,
)
from tests.fakes.ledger import Row, _part
from tests.fakes.uploads import ManifestLedger


@define
class Want:
    """
    What ``manifest_due_at`` says, by the clock; and which change ``manifest_wanted_at``
    tells.
    """

    wanted_at: float
    due_at: float


class WholeLedger(ManifestLedger):
    """
    :ivar draining: Backends that nothing goes to any more.
    :ivar wants: Objects whose manifest copy is to be written, by their ids.
    :ivar replica_due: From when a part may be taken, to copy it; now, where absent.
    :ivar taken: Who is at work on a job, and until when.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.draining: set[str] = set()
        self.wants: dict[str, Want] = {}
        self.replica_due: dict[str, float] = {}
        self.taken: dict[str, tuple[str, float]] = {}

    # For the other fakes ---

    def live(self, part_id: str) -> list[Row]:
        """The live copies of a part, by copy id."""
        return sorted(
            (
                row
                for row in self.rows.values()
                if row.copy.part_id == part_id and row.state is CopyState.LIVE
            ),
            key=lambda row: row.copy.copy_id,
        )

    def parts_of(self, info: ObjectInfo) -> tuple[Part, ...]:
        """An object's parts, with the copies that are live now."""
        found = self.manifests.get(info.object_id)
        if found is None:
            found = (_part(*self._objects[info.bucket, info.key]),)
        return tuple(
            evolve(part, copies=tuple(row.copy for row in self.live(part.part_id)))
            for part in found
        )

    def objects(self) -> list[ObjectInfo]:
        """All that there are."""
        return [info for info, _ in self._objects.values()]

    def object_parts(self) -> dict[str, tuple[ObjectInfo, Part]]:
        """Every part of an object, by its id."""
        return {
            part.part_id: (info, part)
            for info in self.objects()
            for part in self.parts_of(info)
        }

    def place(self, backends: Sequence[str], size_bytes: int) -> str | None:
        """The first with room."""
        for name in backends:
            limit = self.limits.get(name)
            if limit is None or name in self.draining:
                continue
            if not limit or self.used_bytes(name) + size_bytes <= limit:
                return name
        return None

    def insert_claim(self, copy: Copy, bucket: str, key: str) -> Row:
        """A row, under a lease."""
        due_at = self._now() + self.lease_seconds
        row = Row(copy, bucket, key, CopyState.CLAIMED, due_at)
        self.rows[copy.copy_id] = row
        return row

    def make_garbage(self, row: Row, object_id: str) -> None:
        """A live copy that its object needs no more."""
        row.state, row.object_id = CopyState.GARBAGE, object_id
        row.due_at = self._now() + self.grace_seconds

    def manifest_copies(self, object_id: str) -> list[Row]:
        """Live ones, of which there is to be one at most."""
        return [
            row
            for row in self.rows.values()
            if row.is_manifest
            and row.state is CopyState.LIVE
            and row.object_id == object_id
        ]

    def discard_manifests(self, object_id: str) -> None:
        """They are garbage at once."""
        for row in self.manifest_copies(object_id):
            row.state, row.due_at = CopyState.GARBAGE, self._now()

    def want(self, object_id: str) -> None:
        """Its manifest copy is not what the object is any more."""
        # No two changes have one time, as of a clock that runs.
        self.wants[object_id] = Want(float(next(self._numbers)), self._now())

    # manager.ports.Ledger, where it differs ---

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
        taking = [name for name in backends if name not in self.draining]
        return await super().claim_copies(
            taking, bucket, key, size_bytes, conditions, count
        )

    async def commit_copies(
        self,
        made: Sequence[MadeCopy],
        new: NewObject,
        conditions: WriteConditions,
        least: int,
    ) -> ObjectInfo:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        info = await super().commit_copies(made, new, conditions, least)
        if new.needs_manifest:
            self.want(info.object_id)
        return info

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
        info = await super().replace_metadata(
            current, content_type, headers, user_metadata, conditions, tags
        )
        if info is not None:
            self.want(info.object_id)
        return info

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> bool:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        done = await super().replace_tags(bucket, key, tags)
        if done:
            self.want(self._objects[bucket, key][0].object_id)
        return done

    async def find(self, bucket: str, key: str) -> StoredObject | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        stored = await super().find(bucket, key)
        if stored is None:
            return None
        return evolve(stored, parts=tuple(map(self._now_live, stored.parts)))

    async def parts(self, object_id: str, start: int, end: int) -> tuple[Part, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        found = await super().parts(object_id, start, end)
        return tuple(map(self._now_live, found))

    def make_object(self, info: ObjectInfo, parts: tuple[Part, ...]) -> None:
        """These parts are the object now, and only a manifest copy tells so."""
        super().make_object(info, parts)
        self.want(info.object_id)

    # Inside ---

    def _now_live(self, part: Part) -> Part:
        return evolve(part, copies=tuple(row.copy for row in self.live(part.part_id)))

    def _discard(self, bucket: str, key: str) -> None:
        found = self._objects.get((bucket, key))
        if found is None:
            return
        info = found[0]
        self.discard_manifests(info.object_id)
        for part in self.parts_of(info):
            for row in self.live(part.part_id):
                self.make_garbage(row, info.object_id)
            self.replica_due.pop(part.part_id, None)
        del self._objects[bucket, key]
        self.manifests.pop(info.object_id, None)
        self.wants.pop(info.object_id, None)
