"""Copies of copies in the ledger: counted, claimed, committed, trimmed."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    PreconditionFailed,
    ServiceUnavailable,
)
from s3proxy.manager.ports import NewObject
from s3proxy.model import Claim, Copy, WriteConditions
from s3proxy.plan.replicas import PartToCopy
from s3proxy.store.pool import Pool
from s3proxy.store.replicas import PostgresReplicas
from s3proxy.store.schema import schema_text
from s3proxy.store.statements import statements
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database

SIZE = 7
NAMES = ("one", "two", "three")


class World:
    """A ledger with three backends."""

    def __init__(self, db: Database, pool: Pool) -> None:
        self.db = db
        self.ledger = PostgresLedger(pool, 600, 60)
        self.replicas = PostgresReplicas(pool, 600, 60, 60)
        for name in NAMES:
            db.add_backend(name)

    async def put(self, key: str = "k", on: str = "one") -> str:
        """An object; its part's id."""
        none = WriteConditions()
        claim = await self.ledger.claim([on], "b", key, SIZE, none)
        new = NewObject(
            "b", key, SIZE, "0" * 32, "text/plain", user_metadata={"a": "b"}
        )
        await self.ledger.commit(claim, new, none, "etag", None)
        return claim.copy.part_id

    async def find(self, part_id: str) -> PartToCopy:
        """It is there."""
        found = await self.replicas.find(part_id)
        assert found is not None
        return found

    async def claim(
        self, part_id: str, *backends: str, factor: int | None = None
    ) -> Claim:
        """A claim on the first of these."""
        return await self.replicas.claim(
            backends or NAMES, await self.find(part_id), factor
        )

    async def add(self, part_id: str, *backends: str) -> Copy:
        """One more live copy."""
        claim = await self.claim(part_id, *backends)
        (source, *_) = (await self.find(part_id)).part.copies
        await self.commit(claim, source, "etag2", "v")
        return claim.copy

    async def commit(
        self,
        claim: Claim,
        source: Copy,
        etag: str | None = None,
        version_id: str | None = None,
        *,
        moves: bool = False,
        needs_manifest: bool = False,
    ) -> None:
        """Make a claim live."""
        await self.replicas.commit(
            claim,
            source,
            etag,
            version_id,
            moves=moves,
            needs_manifest=needs_manifest,
        )

    def states(self) -> list[tuple[str, str]]:
        """Backend and state of every copy, by age."""
        return [
            (str(name), str(state))
            for name, state in self.db.sql(
                "SELECT backend_name, state FROM object_locations ORDER BY copy_id"
            )
        ]

    def counted(self) -> list[int]:
        """Of each part, as its row says it; and that it is so."""
        assert self.db.sql(statements()["miscounted_parts"]) == []
        return [
            int(count)
            for (count,) in self.db.sql(
                "SELECT live_copies FROM object_parts ORDER BY part_id"
            )
        ]


@pytest.fixture
def world(db: Database, pool: Pool) -> World:
    """Fresh."""
    return World(db, pool)


@ensureDeferred
async def test_a_copy_of_a_copy(world: World) -> None:
    """It has the part's id, a key of its own, and is one more."""
    part_id = await world.put("dir/k")
    found = await world.find(part_id)
    assert (found.bucket, found.key, found.content_type) == ("b", "dir/k", "text/plain")
    assert found.user_metadata == {"a": "b"}
    copy = await world.add(part_id)
    assert (copy.part_id, copy.backend_name, copy.size_bytes) == (part_id, "two", SIZE)
    assert copy.backend_key == f"dir/k~{copy.copy_id}"
    now = (await world.find(part_id)).part.copies
    assert [each.backend_name for each in now] == ["one", "two"]
    assert (now[1].backend_etag, now[1].version_id) == ("etag2", "v")
    assert world.counted() == [2]


@ensureDeferred
async def test_one_on_each_backend(world: World) -> None:
    """And no more than are wanted, those under way counted."""
    part_id = await world.put()
    await world.claim(part_id, factor=3)
    with pytest.raises(PreconditionFailed):
        await world.claim(part_id, factor=2)
    await world.claim(part_id, factor=3)
    assert world.states() == [("one", "live"), ("two", "claimed"), ("three", "claimed")]
    with pytest.raises(ServiceUnavailable):
        await world.claim(part_id)
    assert world.counted() == [1]


@ensureDeferred
async def test_no_room(world: World) -> None:
    """A full backend is passed over; with none left it is told."""
    part_id = await world.put()
    world.db.add_backend("two", SIZE - 1)
    assert (await world.claim(part_id)).copy.backend_name == "three"
    with pytest.raises(InsufficientStorage):
        await world.claim(part_id)


@ensureDeferred
async def test_the_object_went_away(world: World) -> None:
    """R1: overwritten or deleted while it was copied: the claim is abandoned."""
    for how in ("delete", "overwrite"):
        part_id = await world.put()
        (source,) = (await world.find(part_id)).part.copies
        claim = await world.claim(part_id)
        if how == "delete":
            await world.ledger.delete("b", "k")
        else:
            await world.put()
        assert await world.replicas.find(part_id) is None
        with pytest.raises(PreconditionFailed):
            await world.commit(claim, source, moves=False)
        # In whatever order: names made within a millisecond have none.
        assert ("two", "abandoned") in world.states()
        world.db.sql("DELETE FROM object_locations WHERE state <> 'live'")
        await world.ledger.delete("b", "k")
        world.db.sql("DELETE FROM object_locations")


@ensureDeferred
async def test_the_source_went_away(world: World) -> None:
    """Rule 41: its copy was moved meanwhile."""
    part_id = await world.put()
    (source,) = (await world.find(part_id)).part.copies
    slow, fast = await world.claim(part_id), await world.claim(part_id)
    await world.commit(fast, source, moves=True)
    with pytest.raises(PreconditionFailed):
        await world.commit(slow, source, moves=True)
    assert world.states() == [
        ("one", "garbage"),
        ("two", "abandoned"),
        ("three", "live"),
    ]
    assert world.counted() == [1]


@ensureDeferred
async def test_a_claim_that_was_given_up(world: World) -> None:
    """Nothing changes."""
    part_id = await world.put()
    (source,) = (await world.find(part_id)).part.copies
    claim = await world.claim(part_id)
    await world.ledger.abandon(claim, landed=True)
    with pytest.raises(ClaimLost):
        await world.commit(claim, source, moves=True)
    assert world.states() == [("one", "live"), ("two", "abandoned")]


@ensureDeferred
async def test_what_is_taken(world: World) -> None:
    """The fewest copies first; nobody else gets it for a while."""
    parts = [await world.put(f"k{number}") for number in range(4)]
    await world.add(parts[0])
    await world.add(parts[1])
    await world.add(parts[1])
    assert await world.replicas.take(1, 10) == []
    assert sorted(await world.replicas.take(3, 2)) == parts[2:]
    assert await world.replicas.take(3, 10) == [parts[0]]
    assert await world.replicas.take(3, 10) == []
    world.db.sql("UPDATE object_parts SET replica_due_at = now() - interval '1 s'")
    assert len(await world.replicas.take(3, 10)) == 3
    rows = world.db.sql(statements()["under_replicated"], {"factor": 3})
    assert rows == [(3, 0)]


@ensureDeferred
async def test_what_is_trimmed(world: World) -> None:
    """Copies on the last backends, and never the last copy."""
    part_id = await world.put(on="three")
    await world.add(part_id, "one")
    await world.add(part_id, "two")
    assert await world.replicas.trim(3, NAMES, 10) == 0
    assert await world.replicas.trim(2, NAMES, 10) == 1
    assert world.states() == [("three", "garbage"), ("one", "live"), ("two", "live")]
    assert await world.replicas.trim(1, ("two",), 10) == 1
    assert await world.replicas.trim(1, (), 10) == 0
    assert world.states() == [("three", "garbage"), ("one", "garbage"), ("two", "live")]
    assert world.counted() == [1]
    ((object_id,),) = world.db.sql("SELECT object_id FROM objects")
    # Reads under way pin what they read.
    assert world.db.sql(
        "SELECT DISTINCT object_id FROM object_locations WHERE state = 'garbage'"
    ) == [(object_id,)]


@ensureDeferred
async def test_a_part_of_an_upload_keeps_its_number(world: World) -> None:
    """In its copies' names."""
    part_id = await world.put("dir/k")
    (old,) = (await world.find(part_id)).part.copies
    world.db.sql(
        "UPDATE object_locations SET backend_key = backend_key || '.00007' "
        f"WHERE copy_id = '{old.copy_id}'"
    )
    claim = await world.claim(part_id)
    assert claim.copy.backend_key == f"dir/k~{claim.copy.copy_id}.00007"
    found = await world.find(part_id)
    told = found.of_upload
    assert told is not None and told.copy_id == old.copy_id
    # One that sync took in keeps a key that only looks like it.
    alike = evolve(old, backend_key="dir/k.00007")
    assert evolve(found, part=evolve(found.part, copies=(alike,))).suffix == ""


@ensureDeferred
async def test_an_earlier_database_is_counted(world: World) -> None:
    """Once, when the column comes."""
    part_id = await world.put()
    await world.add(part_id)
    await world.put("other")
    # A rebuild has put a part of an upload together, from two backends.
    world.db.sql(
        "INSERT INTO multipart_uploads (upload_id, bucket, object_key)"
        " VALUES ('u', 'b', 'k');"
        "INSERT INTO multipart_parts (upload_id, part_number, part_id, etag,"
        " size_bytes) VALUES ('u', 1, 'q', 'etag', 1);"
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
        " bucket, object_key, size_bytes, state)"
        " SELECT n, 'q', n, n, 'b', 'k', 1, 'live' FROM unnest(ARRAY['one', 'two']) n"
    )
    world.db.sql(
        "ALTER TABLE object_parts DROP live_copies CASCADE, DROP replica_due_at;"
        "ALTER TABLE multipart_parts DROP live_copies"
    )
    for _ in range(2):
        world.db.sql(schema_text())
        assert world.counted() == [2, 1]
        assert world.db.value("SELECT live_copies FROM multipart_parts") == 2


@ensureDeferred
async def test_a_part_that_comes_after_its_copies(world: World) -> None:
    """As of an object that is rebuilt; and in one statement with them."""
    db = world.db
    await world.put()
    db.sql(
        "CREATE TEMPORARY TABLE kept AS TABLE object_parts; DELETE FROM object_parts"
    )
    columns = "object_id, part_number, part_id, offset_bytes, size_bytes, md5"
    db.sql(f"INSERT INTO object_parts ({columns}) SELECT {columns} FROM kept")
    assert world.counted() == [1]
    copy = (
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
        " bucket, object_key, size_bytes, state) "
        "SELECT 'c-' || part_id, part_id, 'two', 'c-' || part_id, 'b', 'k', size_bytes,"
        " 'live' FROM kept RETURNING copy_id"
    )
    part = (
        f"INSERT INTO object_parts ({columns}) SELECT {columns} FROM kept RETURNING 1"
    )
    for first, second in ((copy, part), (part, copy)):
        db.sql("DELETE FROM object_parts")
        db.sql("DELETE FROM object_locations WHERE backend_name = 'two'")
        db.sql(f"WITH x AS ({first}), y AS ({second}) SELECT count(*) FROM x, y")
        assert world.counted() == [2]
    db.sql("DROP TABLE kept")


@pytest.mark.parametrize("more", [", false, '{}'", ", false", ""])
@ensureDeferred
async def test_whoever_commits(world: World, more: str) -> None:
    """Daemons of this version and earlier ones; a new part counts its copy."""
    await world.put()
    claim = await world.ledger.claim(["one"], "b", "k", SIZE, WriteConditions())
    ((outcome,),) = world.db.sql(
        "SELECT outcome FROM ledger_commit(%s, 'b', 'k', %s, 'm', NULL, '{}', '{}',"
        f" '{{}}', NULL, NULL, '{{}}', '{{}}', '60 s'{more})",
        (claim.copy.copy_id, SIZE),
    )
    assert outcome == "committed"
    assert world.counted() == [1]


@ensureDeferred
async def test_adopted_copies_are_counted(world: World) -> None:
    """New objects, and one more copy of one that is held."""
    page = [
        {"key": key, "size_bytes": SIZE, "etag": "0" * 32, "md5": "0" * 32}
        | {"headers": {}, "user_metadata": {}, "checksums": {}}
        | {"last_modified": "2020-01-01T00:00:00Z"}
        for key in ("k", "l")
    ]
    adopt = "SELECT o_outcome FROM ledger_adopt(%s, 'b', %s) ORDER BY o_key"
    await world.put("k")
    assert world.db.sql(adopt, ("two", json.dumps(page))) == [
        ("copied",),
        ("imported",),
    ]
    assert world.counted() == [2, 1]
    assert world.db.sql(adopt, ("three", json.dumps(page))) == [("copied",)] * 2
    assert world.counted() == [3, 2]


@ensureDeferred
async def test_rebuilt_copies_are_counted(world: World) -> None:
    """Of objects, and of parts that a Complete makes an object of."""

    def copies(part_id: str, *backends: str) -> list[dict[str, object]]:
        return [
            {"part_id": part_id, "backend_name": name, "backend_key": part_id + name}
            | {"size_bytes": SIZE, "state": "live", "is_manifest": False}
            for name in backends
        ]

    part = {"part_number": 1, "size_bytes": SIZE, "md5": "0" * 32, "offset_bytes": 0}
    entry = {
        "bucket": "b",
        "key": "k",
        "seen": None,
        "object": {"object_id": "o", "size_bytes": SIZE, "etag": "0" * 32}
        | {"headers": {}, "user_metadata": {}, "tags": {}, "checksums": {}}
        | {"last_modified": "2020-01-01T00:00:00Z"},
        "parts": [{**part, "part_id": "p"}],
        "copies": copies("p", "one", "two"),
        "uploads": [
            {
                "upload_id": "u",
                "parts": [
                    {**part, "part_id": "q", "copies": copies("q", "two", "three")}
                ],
            }
        ],
    }
    rebuild = "SELECT o_outcome FROM ledger_rebuild(%s, '60 s')"
    assert world.db.sql(rebuild, (json.dumps([entry]),)) == [("done",)]
    assert world.counted() == [2]
    # Another run finds one more.
    more = {**entry, "seen": "o", "object": None, "parts": [], "uploads": []}
    more["copies"] = copies("p", "three")
    assert world.db.sql(rebuild, (json.dumps([more]),)) == [("done",)]
    assert world.counted() == [3]
    ((outcome,),) = world.db.sql(
        "SELECT outcome FROM ledger_complete('u', 'b', 'k', ARRAY[1], ARRAY[%s],"
        " 0, '{}', '{}', '{}', '60 s')",
        ("0" * 32,),
    )
    assert outcome == "completed"
    assert world.counted() == [2]


@ensureDeferred
async def test_a_copy_that_does_not_tell_all(world: World) -> None:
    """Its object wants a manifest, once, unless it has one."""

    def wanted() -> bool:
        return bool(
            world.db.value("SELECT manifest_wanted_at IS NOT NULL FROM objects")
        )

    part_id = await world.put()
    (source,) = (await world.find(part_id)).part.copies
    for name, needs, expected in (("two", False, False), ("three", True, True)):
        claim = await world.claim(part_id, name)
        await world.commit(claim, source, needs_manifest=needs)
        assert wanted() is expected
    manifest = (
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
        " bucket, object_key, size_bytes, state, is_manifest, object_id)"
        " SELECT 'm', 'm', 'one', 'm', 'b', 'k', 1, 'live', true, object_id"
        " FROM objects"
    )
    world.db.sql(manifest)
    world.db.sql("UPDATE objects SET manifest_wanted_at = NULL, manifest_due_at = NULL")
    world.db.add_backend("four")
    await world.commit(await world.claim(part_id, "four"), source, needs_manifest=True)
    assert not wanted()


@given(st.lists(st.sampled_from(("live", "garbage", "abandoned", "gone")), max_size=8))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_becomes_of_copies_they_are_counted(
    db: Database, steps: list[str]
) -> None:
    """By triggers, whoever changes them."""
    db.clear()
    db.fill("b", ["k"])
    ((part_id,),) = db.sql("SELECT part_id FROM object_parts")
    for number, step in enumerate(steps):
        db.add_backend(f"more-{number}")
        db.sql(
            "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
            " bucket, object_key, size_bytes, state) "
            f"VALUES ('c{number}', '{part_id}', 'more-{number}', 'c{number}', 'b', 'k',"
            " 0, 'live')"
        )
        if step == "gone":
            db.sql(f"DELETE FROM object_locations WHERE copy_id = 'c{number}'")
        elif step != "live":
            db.sql(
                f"UPDATE object_locations SET state = '{step}', due_at = now() "
                f"WHERE copy_id = 'c{number}'"
            )
    assert db.sql(statements()["miscounted_parts"]) == []
    assert db.value("SELECT live_copies FROM object_parts") == 1 + steps.count("live")
