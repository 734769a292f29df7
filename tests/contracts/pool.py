"""
What the pool's jobs rely on in the ledger: copies of copies, drains, manifest copies,
and who is at work; held by PostgreSQL and by the fakes alike.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    PreconditionFailed,
    ServiceUnavailable,
)
from s3proxy.jobs.rebalancing import Singleton
from s3proxy.manager.manifesting import ManifestLedger
from s3proxy.manager.ports import CopyState, Ledger, MadeCopy, NewObject, Stored
from s3proxy.manager.replicating import ReplicaLedger
from s3proxy.model import Claim, Copy, CopyCount, WriteConditions
from s3proxy.plan.replicas import PartToCopy
from tests.contracts.ledger import BUCKET

SIZE = 7
NAMES = ("one", "two", "three")
NONE = WriteConditions()


class Drains(Protocol):
    """``store.draining.PostgresDraining``, as far as jobs and the command need it."""

    async def start(self, backend: str) -> bool: ...
    async def stop(self, backend: str) -> bool: ...
    async def draining(self) -> list[str]: ...
    async def candidates(self, backend: str, after: str, limit: int) -> list: ...
    async def drop(self, copy_id: str, part_id: str, factor: int) -> bool: ...
    async def rewrite_manifests(self, backend: str, limit: int) -> int: ...


class World(Protocol):
    """One implementation, with three backends without limits."""

    ledger: Ledger
    replicas: ReplicaLedger
    drains: Drains
    manifests: ManifestLedger
    jobs: Singleton
    others_jobs: Singleton

    def set_limit(self, backend: str, limit_bytes: int) -> None: ...
    def states(self) -> dict[str, CopyState]: ...


async def put(world: World, *, key: str = "k", needs_manifest: bool = False) -> Copy:
    """An object on backend one; its only copy."""
    count = CopyCount()
    (claim,) = await world.ledger.claim_copies(NAMES, BUCKET, key, SIZE, NONE, count)
    new = NewObject(BUCKET, key, SIZE, "0" * 32, None, needs_manifest=needs_manifest)
    made = [MadeCopy(claim, Stored("etag"))]
    await world.ledger.commit_copies(made, new, NONE, 1)
    return claim.copy


async def found(world: World, copy: Copy) -> PartToCopy:
    """Its part is there."""
    part = await world.replicas.find(copy.part_id)
    assert part is not None
    return part


async def claim(world: World, copy: Copy, factor: int | None = None) -> Claim:
    """A claim for one more."""
    return await world.replicas.claim(NAMES, await found(world, copy), factor)


async def commit(
    world: World, made: Claim, source: Copy, *, moves: bool = False
) -> None:
    """It is there."""
    await world.replicas.commit(
        made, source, "etag", None, moves=moves, needs_manifest=False
    )


async def holders(world: World, copy: Copy) -> list[str]:
    """Where live copies are."""
    part = await world.replicas.find(copy.part_id)
    return [] if part is None else [each.backend_name for each in part.part.copies]


class PoolContract:
    """Both keep it."""

    @ensureDeferred
    async def test_one_more_copy(self, world: World) -> None:
        """Elsewhere, of the same part; taken by one worker at a time."""
        copy = await put(world)
        assert await world.replicas.pending(2) == 1
        assert await world.replicas.take(2, 10) == [copy.part_id]
        assert await world.replicas.take(2, 10) == []
        made = await claim(world, copy, 2)
        assert (made.copy.part_id, made.copy.backend_name) == (copy.part_id, "two")
        with pytest.raises(PreconditionFailed):
            await claim(world, copy, 2)
        await commit(world, made, copy)
        assert await holders(world, copy) == ["one", "two"]
        stored = await world.ledger.find(BUCKET, "k")
        assert stored is not None
        assert len(stored.parts[0].copies) == 2
        assert await world.replicas.pending(2) == 0

    @ensureDeferred
    async def test_no_claim_for_one_more(self, world: World) -> None:
        """All have one; none has room; the object is gone."""
        copy = await put(world)
        world.set_limit("two", 1)
        world.set_limit("three", 1)
        with pytest.raises(InsufficientStorage):
            await claim(world, copy)
        wanted = await found(world, copy)
        with pytest.raises(ServiceUnavailable):
            await world.replicas.claim(["one"], wanted, None)
        await world.ledger.delete(BUCKET, "k")
        with pytest.raises(PreconditionFailed):
            await world.replicas.claim(NAMES, wanted, None)
        assert await world.replicas.find(copy.part_id) is None

    @ensureDeferred
    async def test_the_source_must_be_live(self, world: World) -> None:
        """Rule 19: else what is deleted would come back. And the claim claimed."""
        copy = await put(world)
        made = await claim(world, copy)
        await world.ledger.delete(BUCKET, "k")
        with pytest.raises(PreconditionFailed):
            await commit(world, made, copy)
        assert world.states()[made.copy.copy_id] is CopyState.ABANDONED
        with pytest.raises(ClaimLost):
            await commit(world, made, copy)

    @ensureDeferred
    async def test_a_move(self, world: World) -> None:
        """The source is garbage by the commit, and can be moved once."""
        copy = await put(world)
        first, second = await claim(world, copy), await claim(world, copy)
        await commit(world, first, copy, moves=True)
        assert world.states()[copy.copy_id] is CopyState.GARBAGE
        with pytest.raises(PreconditionFailed):
            await commit(world, second, copy, moves=True)
        assert await holders(world, copy) == ["two"]
        await world.ledger.delete(BUCKET, "k")
        assert CopyState.LIVE not in world.states().values()

    @ensureDeferred
    async def test_too_many_copies(self, world: World) -> None:
        """Those on the first backends stay."""
        copy = await put(world)
        for _ in range(2):
            await commit(world, await claim(world, copy), copy)
        assert await world.replicas.trim(2, ["three", "one"], 10) == 1
        assert sorted(await holders(world, copy)) == ["one", "three"]
        assert await world.replicas.trim(2, [], 10) == 0

    @ensureDeferred
    async def test_a_drain(self, world: World) -> None:
        """Nothing goes there; what is there is told; a copy goes if others stay."""
        copy = await put(world)
        assert await world.drains.start("two")
        assert await world.drains.draining() == ["two"]
        made = await claim(world, copy)
        assert made.copy.backend_name == "three"
        (told,) = await world.drains.candidates("one", "", 10)
        assert (told.copy_id, told.part_id) == (copy.copy_id, copy.part_id)
        assert told.holders == {"one", "three"}
        assert await world.drains.candidates("one", copy.copy_id, 10) == []
        assert not await world.drains.drop(copy.copy_id, copy.part_id, 1)
        await commit(world, made, copy)
        assert await world.drains.drop(copy.copy_id, copy.part_id, 1)
        assert not await world.drains.drop(copy.copy_id, copy.part_id, 1)
        assert await holders(world, copy) == ["three"]
        assert await world.drains.start("one")
        assert (await put(world, key="l")).backend_name == "three"
        assert await world.drains.stop("one")
        assert not await world.drains.stop("one")

    @ensureDeferred
    async def test_a_manifest(self, world: World) -> None:
        """Wanted until it is written; one worker at a time; of the latest change."""
        await put(world, needs_manifest=True)
        (wanted,) = await world.manifests.take(10)
        assert await world.manifests.take(10) == []
        (part,) = await world.manifests.parts(wanted.info.object_id)
        assert (part.part_number, part.offset_bytes, part.size_bytes) == (1, 0, SIZE)
        first = await world.manifests.claim(NAMES, wanted, 100)
        assert first.copy.backend_key.endswith(".manifest")
        late = await world.manifests.claim(NAMES, wanted, 100)
        await world.manifests.commit(first, wanted, "etag", None)
        with pytest.raises(PreconditionFailed):
            await world.manifests.commit(late, wanted, "etag", None)
        with pytest.raises(PreconditionFailed):
            await world.manifests.claim(NAMES, wanted, 100)
        assert Counter(world.states().values())[CopyState.LIVE] == 2
        assert await world.drains.rewrite_manifests("one", 10) == 1
        assert await world.drains.rewrite_manifests("one", 10) == 0
        (again,) = await world.manifests.take(10)
        assert again.wanted_at != wanted.wanted_at
        second = await world.manifests.claim(["two"], again, 100)
        await world.manifests.commit(second, again, "etag", None)
        assert world.states()[first.copy.copy_id] is CopyState.GARBAGE

    @ensureDeferred
    async def test_a_manifest_of_what_is_gone(self, world: World) -> None:
        """It goes with its object, and a later one is refused."""
        await put(world, needs_manifest=True)
        (wanted,) = await world.manifests.take(10)
        first = await world.manifests.claim(NAMES, wanted, 100)
        await world.ledger.replace_tags(BUCKET, "k", {"a": "b"})
        with pytest.raises(PreconditionFailed):
            await world.manifests.commit(first, wanted, "etag", None)
        with pytest.raises(ClaimLost):
            await world.manifests.commit(first, wanted, "etag", None)
        (wanted,) = await world.manifests.take(10)
        second = await world.manifests.claim(NAMES, wanted, 100)
        await world.manifests.commit(second, wanted, "etag", None)
        await put(world)
        assert world.states()[second.copy.copy_id] is CopyState.GARBAGE
        assert await world.manifests.parts(wanted.info.object_id) == ()
        assert await world.manifests.take(10) == []

    @ensureDeferred
    async def test_one_at_work(self, world: World) -> None:
        """Until it leaves."""
        assert await world.jobs.take("drain", 60)
        assert await world.jobs.take("drain", 60)
        assert not await world.others_jobs.take("drain", 60)
        await world.others_jobs.leave("drain")
        assert not await world.others_jobs.take("drain", 60)
        await world.jobs.leave("drain")
        assert await world.others_jobs.take("drain", 60)
