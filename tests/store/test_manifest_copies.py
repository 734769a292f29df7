"""Manifest copies in the ledger: who wants one, who writes it, what becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    OutcomeUnknown,
    PreconditionFailed,
    StoreUnavailable,
)
from s3proxy.manager.ports import NewObject
from s3proxy.model import Claim, ObjectInfo, WriteConditions
from s3proxy.plan.manifest import ManifestPart, WantedManifest
from s3proxy.store.checks import Checks
from s3proxy.store.manifests import PostgresManifests
from s3proxy.store.pool import Pool
from tests.contracts.ledger import ANY, BUCKET, LEASE_SECONDS, claimed, put
from tests.contracts.uploads import complete, create, listed, put_part
from tests.store.conftest import Database, MakePool
from tests.store.test_ledger import BrokenPool
from tests.store.test_races import at_once, kinds
from tests.store.test_uploads import PostgresUploadsWorld, postgres_world


class Stage:
    """A ledger with a backend, and what writes manifests."""

    def __init__(self, db: Database, pool: Pool) -> None:
        self.db = db
        self.world: PostgresUploadsWorld = postgres_world(db, pool)
        self.world.set_limit("one", 0)
        self.manifests = PostgresManifests(pool, LEASE_SECONDS, 30.0)
        self.checks = Checks(pool)

    async def put(self, key: str = "k", *, needs_manifest: bool = True) -> ObjectInfo:
        """A plain object of 10 bytes."""
        claim = await claimed(self.world, key)
        etag = claim.copy.copy_id
        new = NewObject(BUCKET, key, 10, etag, None, needs_manifest=needs_manifest)
        return await self.world.ledger.commit(claim, new, ANY, etag, None)

    async def upload(self, key: str = "k") -> ObjectInfo:
        """An object of the parts 2 and 5, of 10 and 20 bytes."""
        upload_id = await create(self.world, key, headers={"expires": "0"})
        parts = [
            (await put_part(self.world, upload_id, number, size, key))[1]
            for number, size in ((2, 10), (5, 20))
        ]
        await complete(self.world, upload_id, listed(*parts), key)
        info = await self.world.ledger.head(BUCKET, key)
        assert info is not None
        return info

    async def take(self) -> WantedManifest:
        """The only one that is due."""
        (wanted,) = await self.manifests.take(10)
        return wanted

    async def claim(self, wanted: WantedManifest, size_bytes: int = 7) -> Claim:
        """Claim."""
        return await self.manifests.claim(["one"], wanted, size_bytes)

    async def write(self, wanted: WantedManifest) -> Claim:
        """Claim and commit."""
        claim = await self.claim(wanted)
        await self.manifests.commit(claim, wanted, "etag", None)
        return claim

    def pass_hold(self) -> None:
        """What was taken is due again."""
        self.db.sql(
            "UPDATE objects SET manifest_due_at = clock_timestamp() "
            "WHERE manifest_due_at IS NOT NULL"
        )

    def copies(self) -> dict[str, str]:
        """Manifest copies and their states."""
        return dict(
            self.db.sql("SELECT copy_id, state FROM object_locations WHERE is_manifest")
        )


@pytest.fixture
def stage(db: Database, pool: Pool) -> Stage:
    """On an empty ledger."""
    return Stage(db, pool)


# Who wants one ---


@ensureDeferred
async def test_tags_want_a_manifest(stage: Stage) -> None:
    """Each change of them, also while one is being written, and without them again."""
    info = await stage.put(needs_manifest=False)
    assert await stage.manifests.take(10) == []
    assert await stage.world.ledger.replace_tags(BUCKET, "k", {"a": "b"})
    wanted = await stage.take()
    assert wanted.info == evolve(info, tags={"a": "b"})
    claim = await stage.claim(wanted)
    assert await stage.world.ledger.replace_tags(BUCKET, "k", {})
    with pytest.raises(PreconditionFailed):
        await stage.manifests.commit(claim, wanted, "etag", None)
    wanted = await stage.take()
    assert wanted.info == info
    live = await stage.write(wanted)
    states = {claim.copy.copy_id: "abandoned", live.copy.copy_id: "live"}
    assert stage.copies() == states


@ensureDeferred
async def test_an_upload_wants_a_manifest(stage: Stage) -> None:
    """With its parts as they are in the object."""
    info = await stage.upload()
    wanted = await stage.take()
    assert wanted.info == info
    assert wanted.info.headers == {"expires": "0"}
    assert wanted.info.tags == {}
    first, second = await stage.manifests.parts(info.object_id)
    stored = await stage.world.ledger.parts(info.object_id, 0, 30)
    assert first == ManifestPart(2, stored[0].part_id, 0, 10, stored[0].md5)
    assert second == ManifestPart(5, stored[1].part_id, 10, 20, stored[1].md5)


@ensureDeferred
async def test_an_upload_over_an_object_wants_a_manifest(stage: Stage) -> None:
    """The other way through ledger_complete."""
    await stage.put(needs_manifest=False)
    info = await stage.upload()
    assert (await stage.take()).info == info


@ensureDeferred
async def test_a_plain_object_wants_none_unless_it_is_said(stage: Stage) -> None:
    """New, and over another one; an overwrite takes the old wish away."""
    await stage.put(needs_manifest=False)
    assert await stage.manifests.take(10) == []
    info = await stage.put()
    assert (await stage.take()).info == info
    await stage.put(needs_manifest=False)
    stage.pass_hold()
    assert await stage.manifests.take(10) == []
    info = await stage.put("new")
    assert (await stage.take()).info == info


@ensureDeferred
async def test_other_metadata_want_a_manifest(stage: Stage) -> None:
    """What the backend object says is not true any more."""
    info = await stage.put(needs_manifest=False)
    changed = await stage.world.ledger.replace_metadata(
        info, "text/plain", {}, {"who": "me"}, WriteConditions()
    )
    wanted = await stage.take()
    assert wanted.info == changed
    assert wanted.info.user_metadata == {"who": "me"}


@ensureDeferred
async def test_the_longest_due_come_first(stage: Stage) -> None:
    """Nobody else is given them for a while; then they come again."""
    for key in ("c", "a", "b"):
        await stage.put(key)
    first = await stage.manifests.take(2)
    # An UPDATE gives rows back in the order of its plan: which they are is what counts.
    assert sorted(each.info.key for each in first) == ["a", "c"]
    assert [each.info.key for each in await stage.manifests.take(2)] == ["b"]
    assert await stage.manifests.take(2) == []
    assert await stage.checks.wanted_manifests() == 3
    stage.pass_hold()
    assert len(await stage.manifests.take(10)) == 3


# One is written ---


@ensureDeferred
async def test_a_manifest_copy_is_a_copy_like_any_other(stage: Stage) -> None:
    """Named, charged, live; readers of the object never see it."""
    info = await stage.upload()
    wanted = await stage.take()
    claim = await stage.claim(wanted)
    copy = claim.copy
    assert copy.backend_key == f"k~{copy.copy_id}.manifest"
    assert stage.world.used_bytes("one") == 37
    assert stage.copies() == {copy.copy_id: "claimed"}
    assert await stage.world.ledger.extend([copy.copy_id]) == {copy.copy_id}
    await stage.manifests.commit(claim, wanted, "etag", "v1")
    assert stage.db.sql(
        "SELECT state, object_id, backend_etag, version_id FROM object_locations "
        "WHERE copy_id = %s",
        (copy.copy_id,),
    ) == [("live", info.object_id, "etag", "v1")]
    assert await stage.checks.wanted_manifests() == 0
    assert await stage.checks.broken_objects() == []
    parts = await stage.world.ledger.parts(info.object_id, 0, 30)
    assert [len(each.copies) for each in parts] == [1, 1]
    assert await stage.world.ledger.head(BUCKET, "k") == info


@ensureDeferred
async def test_an_opaque_key(stage: Stage) -> None:
    """It is not shown."""
    await stage.upload("a//b")
    claim = await stage.write(await stage.take())
    assert claim.copy.backend_key == f"~/{claim.copy.copy_id}.manifest"


@ensureDeferred
async def test_no_room(stage: Stage) -> None:
    """Nothing is charged, and it stays wanted."""
    await stage.upload()
    stage.world.set_limit("one", 36)
    wanted = await stage.take()
    with pytest.raises(InsufficientStorage):
        await stage.claim(wanted)
    assert stage.copies() == {}
    stage.world.set_limit("one", 37)
    stage.pass_hold()
    await stage.write(await stage.take())
    assert await stage.checks.wanted_manifests() == 0


@pytest.mark.parametrize("how", ["delete", "put", "upload"])
@ensureDeferred
async def test_it_goes_with_its_object(stage: Stage, how: str) -> None:
    """At once: nobody reads it."""
    await stage.upload()
    claim = await stage.write(await stage.take())
    if how == "delete":
        await stage.world.ledger.delete(BUCKET, "k")
    elif how == "put":
        await stage.put(needs_manifest=False)
    else:
        await stage.upload()
    assert stage.copies() == {claim.copy.copy_id: "garbage"}
    assert await stage.checks.broken_objects() == []
    due = await stage.world.janitor.collect("one", 10)
    assert [each.copy_id for each in due] == [claim.copy.copy_id]
    assert await stage.world.janitor.collected(due) == 1


@ensureDeferred
async def test_a_new_manifest_replaces_the_old_one(stage: Stage) -> None:
    """One object has one live manifest copy, the newest."""
    info = await stage.upload()
    old = await stage.write(await stage.take())
    await stage.world.ledger.replace_metadata(info, None, {}, {"a": "b"}, ANY)
    new = await stage.write(await stage.take())
    assert stage.copies() == {old.copy.copy_id: "garbage", new.copy.copy_id: "live"}
    assert new.copy.copy_id > old.copy.copy_id


# It is not what is wanted any more ---


async def deleted(stage: Stage, info: ObjectInfo) -> None:
    """DELETE."""
    await stage.world.ledger.delete(BUCKET, "k")


async def overwritten(stage: Stage, info: ObjectInfo) -> None:
    """PUT."""
    await stage.put(needs_manifest=False)


async def uploaded(stage: Stage, info: ObjectInfo) -> None:
    """Another upload."""
    await stage.upload()


async def changed(stage: Stage, info: ObjectInfo) -> None:
    """Other metadata of the same object."""
    assert await stage.world.ledger.replace_metadata(info, None, {}, {"a": "b"}, ANY)


async def written(stage: Stage, info: ObjectInfo) -> None:
    """Another process was faster."""
    stage.pass_hold()
    await stage.write(await stage.take())


CHANGES = [deleted, overwritten, uploaded, changed, written]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_claimed", [False, True])
@ensureDeferred
async def test_superseded(stage: Stage, change: Any, is_claimed: bool) -> None:
    """Before the claim nothing is charged; after it the claim is abandoned."""
    info = await stage.upload()
    wanted = await stage.take()
    claim = await stage.claim(wanted) if is_claimed else None
    await change(stage, info)
    others = stage.copies()
    with pytest.raises(PreconditionFailed):
        if claim is None:
            await stage.claim(wanted)
        else:
            await stage.manifests.commit(claim, wanted, "etag", "v1")
    if claim is None:
        assert stage.copies() == others
    else:
        copy_id = claim.copy.copy_id
        assert stage.copies() == {**others, copy_id: "abandoned"}
        version = "SELECT version_id FROM object_locations WHERE copy_id = %s"
        assert stage.db.value(version, copy_id) == "v1"
    # What is wanted is written.
    stage.pass_hold()
    for each in await stage.manifests.take(10):
        await stage.write(each)
    assert await stage.checks.wanted_manifests() == 0
    assert await stage.checks.broken_objects() == []


@ensureDeferred
async def test_a_claim_that_was_reaped(stage: Stage) -> None:
    """ClaimLost, and the object still wants its manifest."""
    await stage.upload()
    wanted = await stage.take()
    claim = await stage.claim(wanted)
    stage.world.pass_seconds(LEASE_SECONDS + 1)
    assert await stage.world.janitor.reap(10) == 1
    with pytest.raises(ClaimLost):
        await stage.manifests.commit(claim, wanted, "etag", None)
    assert stage.copies() == {claim.copy.copy_id: "abandoned"}
    stage.pass_hold()
    await stage.write(await stage.take())


@ensureDeferred
async def test_many_at_once(db: Database, make_pool: MakePool) -> None:
    """Two processes write, overwrite and delete: an upload has one live manifest."""
    stage = Stage(db, make_pool(db.config, max_connections=10))
    other = Stage(db, make_pool(db.config, max_connections=10))
    outcomes: Counter[str] = Counter()
    for number in range(20):
        key = f"k{number}"
        info = await stage.upload(key)
        wanted = await stage.take()
        claims = [await stage.claim(wanted) for _ in range(6)]
        work: list[Coroutine[Any, Any, Any]] = [
            (stage, other)[n % 2].manifests.commit(claim, wanted, "etag", None)
            for n, claim in enumerate(claims)
        ]
        ledger = other.world.ledger
        match number % 4:
            case 0:
                work.insert(number % 6, ledger.delete(BUCKET, key))
            case 1:
                work.insert(number % 6, put(other.world, key))
            case 2:
                change = ledger.replace_metadata(info, None, {}, {"a": "b"}, ANY)
                work.insert(number % 6, change)
        results = await at_once(*work)
        outcomes.update(kinds(results))
        stage.pass_hold()
        for each in await stage.manifests.take(10):
            await stage.write(each)
        db.check()
        assert await stage.checks.broken_objects() == []
        live = db.value(
            "SELECT count(*) FROM object_locations"
            " WHERE is_manifest AND state = 'live' AND object_key = %s",
            key,
        )
        there = await ledger.head(BUCKET, key)
        assert live == (there is not None and there.object_id == info.object_id)
    assert set(outcomes) == {
        "NoneType",
        "Deleted",
        "tuple",
        "ObjectInfo",
        "PreconditionFailed",
    }
    assert outcomes["PreconditionFailed"] >= 20 * 5


@ensureDeferred
async def test_taken_once(db: Database, make_pool: MakePool) -> None:
    """Workers at once never get the same object."""
    stage = Stage(db, make_pool(db.config, max_connections=10))
    for number in range(40):
        await stage.put(f"k{number}")
    batches = await at_once(*(stage.manifests.take(7) for _ in range(12)))
    # A batch may be short, since it passes over what others hold.
    batches.append(await stage.manifests.take(100))
    keys = [each.info.key for batch in batches for each in batch]
    assert sorted(keys) == sorted(f"k{number}" for number in range(40))


# check ---


@ensureDeferred
async def test_what_check_says(stage: Stage) -> None:
    """An upload's object without a manifest, and a manifest copy without an object."""
    await stage.upload()
    assert await stage.checks.broken_objects() == []
    assert await stage.checks.wanted_manifests() == 1
    claim = await stage.write(await stage.take())
    stage.db.sql("UPDATE object_locations SET object_id = 'x' WHERE is_manifest")
    assert await stage.checks.broken_objects() == [
        f"copy {claim.copy.copy_id} belongs to no object",
        f"object {BUCKET}/k: has no manifest copy",
    ]
    stage.db.sql("DELETE FROM object_locations WHERE is_manifest")


# Failures ---


@pytest.mark.parametrize("why", [OutcomeUnknown("broken"), StoreUnavailable("away")])
@ensureDeferred
async def test_without_the_database(stage: Stage, why: Exception) -> None:
    """Only a commit tells that its outcome is unknown: that one is looked after."""
    await stage.upload()
    wanted = await stage.take()
    claim = await stage.claim(wanted)
    broken = PostgresManifests(BrokenPool(why), 1.0, 1.0)
    for work in (broken.take(1), broken.parts("o"), broken.claim(["one"], wanted, 1)):
        with pytest.raises(StoreUnavailable):
            await work
    with pytest.raises(type(why)):
        await broken.commit(claim, wanted, None, None)
