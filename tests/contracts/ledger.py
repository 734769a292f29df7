"""
What ``manager.ports.Ledger`` and ``jobs.ports.Janitor`` promise.

A subclass gives a fixture ``world``; every test here then runs against it
(``tests/store/test_ledger_contract.py``: in memory, and on a real PostgreSQL).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Protocol

import pytest
from attrs import evolve, frozen
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pytest_twisted import ensureDeferred

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    NoSuchKey,
    PreconditionFailed,
)
from s3proxy.jobs.ports import Janitor
from s3proxy.manager.ports import CopyState, Ledger, MadeCopy, NewObject, Stored
from s3proxy.model import (
    Claim,
    CopyCount,
    Deleted,
    Doomed,
    ObjectAttributes,
    ObjectInfo,
    ObjectPart,
    PartRange,
    WriteConditions,
)
from tests.strategies import keys, texts

LEASE_SECONDS = 600.0
GRACE_SECONDS = 60.0
LATE_SECONDS = 3600.0
HOLD_SECONDS = 30.0

BUCKET = "unified"
ANY = WriteConditions()
ABSENT = WriteConditions(if_none_match=("*",))
PRESENT = WriteConditions(if_match=("*",))


class World(Protocol):
    """One implementation, made with the constants above and no backend."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def janitor(self) -> Janitor[Any]: ...

    def set_limit(self, backend: str, limit_bytes: int) -> None:
        """Make or change a backend; 0 is unlimited."""
        ...

    def used_bytes(self, backend: str) -> int:
        """The backend's counter."""
        ...

    def states(self) -> dict[str, CopyState]:
        """Every copy's state by its id."""
        ...

    def pass_seconds(self, seconds: float) -> None:
        """Time goes by, for leases, grace, holds and pins."""
        ...

    def fill(self, bucket: str, keys: Collection[str]) -> None:
        """The bucket holds exactly these keys; for listings only."""
        ...


def md5_of(name: str) -> str:
    """Something that looks like an MD5 and tells objects apart."""
    return name.encode().hex().ljust(32, "0")[:32]


async def claimed(
    world: World,
    key: str = "k",
    size_bytes: int = 10,
    backends: Sequence[str] = ("one",),
    conditions: WriteConditions = ANY,
) -> Claim:
    """Claim."""
    return await world.ledger.claim(backends, BUCKET, key, size_bytes, conditions)


async def claimed_copies(
    world: World, backends: Sequence[str], count: CopyCount, key: str = "k"
) -> tuple[Claim, ...]:
    """Claim ten bytes on several."""
    return await world.ledger.claim_copies(backends, BUCKET, key, 10, ANY, count)


async def committed(
    world: World,
    claim: Claim,
    key: str = "k",
    etag: str = "a",
    conditions: WriteConditions = ANY,
) -> ObjectInfo:
    """Commit a claim."""
    new = NewObject(BUCKET, key, claim.copy.size_bytes, md5_of(etag), None)
    return await world.ledger.commit(claim, new, conditions, md5_of(etag), None)


async def put(
    world: World,
    key: str = "k",
    size_bytes: int = 10,
    etag: str = "a",
    backends: Sequence[str] = ("one",),
) -> tuple[Claim, ObjectInfo]:
    """Claim and commit."""
    claim = await claimed(world, key, size_bytes, backends)
    return claim, await committed(world, claim, key, etag)


async def collect_all(world: World, backend: str = "one") -> int:
    """One round of the collector, with a backend that confirms every delete."""
    due = await world.janitor.collect(backend, 1000)
    return await world.janitor.collected(due)


class LedgerContract:
    """The promises; see the module."""

    # Claims ---

    @ensureDeferred
    async def test_claim_takes_the_first_with_room(self, world: World) -> None:
        """In the order asked for, whatever the names' own order is."""
        world.set_limit("one", 100)
        world.set_limit("two", 50)
        claim = await claimed(world, size_bytes=30, backends=["two", "one"])
        assert claim.copy.backend_name == "two"
        claim = await claimed(world, size_bytes=30, backends=["two", "one"])
        assert claim.copy.backend_name == "one"
        claim = await claimed(world, size_bytes=20, backends=["two", "one"])
        assert claim.copy.backend_name == "two"
        assert (world.used_bytes("one"), world.used_bytes("two")) == (30, 50)

    @ensureDeferred
    async def test_claim_fits_exactly(self, world: World) -> None:
        """The last byte of a backend can be had, the one after it cannot."""
        world.set_limit("one", 100)
        with pytest.raises(InsufficientStorage):
            await claimed(world, size_bytes=101)
        assert world.used_bytes("one") == 0
        await claimed(world, size_bytes=100)
        with pytest.raises(InsufficientStorage):
            await claimed(world, size_bytes=1)
        empty = await claimed(world, size_bytes=0)
        assert empty.copy.size_bytes == 0
        assert world.used_bytes("one") == 100
        assert len(world.states()) == 2

    @ensureDeferred
    async def test_zero_is_unlimited(self, world: World) -> None:
        """Any size fits; it is counted all the same."""
        world.set_limit("one", 0)
        await claimed(world, size_bytes=5 * 2**40)
        await claimed(world, size_bytes=5 * 2**40)
        assert world.used_bytes("one") == 10 * 2**40

    @ensureDeferred
    async def test_nothing_goes_over_a_lowered_limit(self, world: World) -> None:
        """A counter above its limit stays there, and nothing more is placed."""
        world.set_limit("one", 100)
        await claimed(world, size_bytes=100)
        world.set_limit("one", 50)
        with pytest.raises(InsufficientStorage):
            await claimed(world, size_bytes=0)
        assert world.used_bytes("one") == 100

    @ensureDeferred
    async def test_no_backend_is_no_room(self, world: World) -> None:
        """Neither none at all nor one that the ledger does not know."""
        for backends in ([], ["unknown"]):
            with pytest.raises(InsufficientStorage):
                await claimed(world, backends=backends)

    @ensureDeferred
    async def test_a_claim_names_its_copy(self, world: World) -> None:
        """Readable keys where they can be, and ids that are never used twice."""
        world.set_limit("one", 0)
        plain = (await claimed(world, "photos/cat é.jpg", 3)).copy
        odd = (await claimed(world, "a//b", 3)).copy
        again = (await claimed(world, "photos/cat é.jpg", 3)).copy
        assert plain.backend_key == f"photos/cat é.jpg~{plain.copy_id}"
        assert odd.backend_key == f"~/{odd.copy_id}"
        assert (plain.size_bytes, plain.backend_name) == (3, "one")
        ids = {each for c in (plain, odd, again) for each in (c.copy_id, c.part_id)}
        assert len(ids) == 6
        assert set(world.states().values()) == {CopyState.CLAIMED}

    @ensureDeferred
    async def test_a_claim_tells_its_lease(self, world: World) -> None:
        """The writer must know how long it has."""
        world.set_limit("one", 0)
        assert (await claimed(world)).lease_seconds == LEASE_SECONDS

    # Conditions ---

    @pytest.mark.parametrize("at_commit", [False, True])
    @pytest.mark.parametrize(
        ("if_match", "if_none_match", "over_absent", "over_a", "over_b"),
        [
            ((), (), True, True, True),
            (("*",), (), False, True, True),
            (("a",), (), False, True, False),
            (("b", "a"), (), False, True, True),
            (("c",), (), False, False, False),
            ((), ("*",), True, False, False),
            ((), ("a",), True, False, True),
            ((), ("a", "b"), True, False, False),
            (("a",), ("b",), False, True, False),
            (("a",), ("*",), False, False, False),
            (("*",), ("a",), False, False, True),
        ],
    )
    @ensureDeferred
    async def test_conditions(
        self,
        world: World,
        if_match: tuple[str, ...],
        if_none_match: tuple[str, ...],
        over_absent: bool,
        over_a: bool,
        over_b: bool,
        at_commit: bool,
    ) -> None:
        """If-Match and If-None-Match, at the claim and again at the commit."""
        world.set_limit("one", 0)
        conditions = WriteConditions(
            tuple(each if each == "*" else md5_of(each) for each in if_match),
            tuple(each if each == "*" else md5_of(each) for each in if_none_match),
        )
        for etag, allowed in (("", over_absent), ("a", over_a), ("b", over_b)):
            key = f"over-{etag}"
            if etag:
                await put(world, key, etag=etag)
            used = world.used_bytes("one")
            early = ANY if at_commit else conditions
            if allowed:
                claim = await claimed(world, key, conditions=early)
                info = await committed(world, claim, key, "new", conditions)
                assert await world.ledger.head(BUCKET, key) == info
                continue
            # If-Match of what is not there: 404, as S3 has it.
            expected = NoSuchKey if if_match and not etag else PreconditionFailed
            with pytest.raises(expected):
                claim = await claimed(world, key, conditions=early)
                await committed(world, claim, key, "new", conditions)
            now = await world.ledger.head(BUCKET, key)
            assert (now.etag if now else None) == (md5_of(etag) if etag else None)
            if not at_commit:
                assert world.used_bytes("one") == used

    @ensureDeferred
    async def test_refused_commit_abandons_its_claim(self, world: World) -> None:
        """The bytes are there for sure, so they are deleted once and forgotten."""
        world.set_limit("one", 0)
        claim = await claimed(world, size_bytes=7, conditions=ABSENT)
        _, info = await put(world, etag="first")
        new = NewObject(BUCKET, "k", 7, md5_of("b"), None)
        with pytest.raises(PreconditionFailed):
            await world.ledger.commit(claim, new, ABSENT, md5_of("b"), "v7")
        assert world.states()[claim.copy.copy_id] is CopyState.ABANDONED
        assert await world.ledger.head(BUCKET, "k") == info
        (due,) = await world.janitor.collect("one", 10)
        assert (due.copy_id, due.version_id) == (claim.copy.copy_id, "v7")
        assert await world.janitor.collected([due]) == 1
        assert world.used_bytes("one") == 10

    # Several copies at once ---

    @ensureDeferred
    async def test_claims_of_several_copies(self, world: World) -> None:
        """One part, on the first backends with room, all or none."""
        for name, limit in (("one", 10), ("two", 0), ("three", 9), ("four", 10)):
            world.set_limit(name, limit)
        order = ["two", "three", "one", "four"]
        claims = await claimed_copies(world, order, CopyCount(2, 2))
        assert [each.copy.backend_name for each in claims] == ["two", "one"]
        (part_id,) = {each.copy.part_id for each in claims}
        assert len({each.copy.copy_id for each in claims} | {part_id}) == 3
        for each in claims:
            assert each.copy.backend_key == f"k~{each.copy.copy_id}"
        assert [world.used_bytes(name) for name in order] == [10, 0, 10, 0]
        with pytest.raises(InsufficientStorage):
            await claimed_copies(world, order, CopyCount(3, 3))
        assert [world.used_bytes(name) for name in order] == [10, 0, 10, 0]
        claims = await claimed_copies(world, order, CopyCount(2, 3))
        assert [each.copy.backend_name for each in claims] == ["two", "four"]

    @ensureDeferred
    async def test_commit_of_several_copies(self, world: World) -> None:
        """All that are claimed yet become live, if they are enough."""
        names = ["one", "two", "three"]
        for name in names:
            world.set_limit(name, 0)
        for gone in (0, 1, 2):
            key = f"gone-{gone}"
            claims = await claimed_copies(world, names, CopyCount(2, 3), key)
            for each in claims[:gone]:
                await world.ledger.abandon(each, landed=False)
            made = [
                MadeCopy(each, Stored(f"etag-{number}", f"v{number}"))
                for number, each in enumerate(claims)
            ]
            new = NewObject(BUCKET, key, 10, md5_of("a"), None)
            if gone == 2:
                with pytest.raises(ClaimLost):
                    await world.ledger.commit_copies(made, new, ANY, 2)
                assert await world.ledger.head(BUCKET, key) is None
                states = [world.states()[each.copy.copy_id] for each in claims]
                assert states == [CopyState.ABANDONED] * 2 + [CopyState.CLAIMED]
                continue
            info = await world.ledger.commit_copies(made, new, ANY, 2)
            stored = await world.ledger.find(BUCKET, key)
            assert stored is not None
            assert stored.info == info
            (part,) = stored.parts
            copies = sorted(part.copies, key=lambda one: str(one.backend_etag))
            assert [
                (one.backend_name, one.backend_etag, one.version_id) for one in copies
            ] == [
                (name, f"etag-{number}", f"v{number}")
                for number, name in enumerate(names)
            ][gone:]
            assert part.part_id == claims[0].copy.part_id
            await world.ledger.delete(BUCKET, key)
            states = [world.states()[each.copy.copy_id] for each in claims[gone:]]
            assert set(states) == {CopyState.GARBAGE}

    @ensureDeferred
    async def test_refused_commit_of_several_copies(self, world: World) -> None:
        """All of them are to be deleted, each with its version."""
        names = ["one", "two"]
        for name in names:
            world.set_limit(name, 0)
        claims = await claimed_copies(world, names, CopyCount(2, 2))
        await put(world)
        made = [MadeCopy(each, Stored(None, each.copy.backend_name)) for each in claims]
        new = NewObject(BUCKET, "k", 10, md5_of("b"), None)
        with pytest.raises(PreconditionFailed):
            await world.ledger.commit_copies(made, new, ABSENT, 2)
        for name in names:
            (due,) = await world.janitor.collect(name, 10)
            assert due.version_id == name

    @ensureDeferred
    async def test_settling_several_copies(self, world: World) -> None:
        """The commit stands where one of them tells so; else none stays claimed."""
        names = ["one", "two"]
        for name in names:
            world.set_limit(name, 0)
        claims = await claimed_copies(world, names, CopyCount(2, 2))
        assert await world.ledger.settle(*claims) is CopyState.ABANDONED
        assert set(world.states().values()) == {CopyState.ABANDONED}
        claims = await claimed_copies(world, names, CopyCount(1, 2))
        await world.ledger.abandon(claims[0], landed=True)
        made = [MadeCopy(each, Stored(None)) for each in claims]
        new = NewObject(BUCKET, "k", 10, md5_of("b"), None)
        await world.ledger.commit_copies(made, new, ANY, 1)
        assert await world.ledger.settle(*claims) is CopyState.LIVE
        await world.ledger.delete(BUCKET, "k")
        assert await world.ledger.settle(*claims) is CopyState.GARBAGE

    # Commit ---

    @ensureDeferred
    async def test_commit_makes_the_object(self, world: World) -> None:
        """All of it comes back, from find and from head."""
        world.set_limit("one", 0)
        claim = await claimed(world, "é/k", 12)
        assert await world.ledger.head(BUCKET, "é/k") is None
        new = NewObject(
            bucket=BUCKET,
            key="é/k",
            size_bytes=12,
            md5=md5_of("m"),
            content_type="text/plain; charset=utf-8",
            headers={"cache-control": 'max-age="1"', "expires": "\xe9"},
            user_metadata={"name": "caf\xc3\xa9 \\ \"'%s", "empty": ""},
            checksums={"crc32": "AAAAAA=="},
        )
        info = await world.ledger.commit(claim, new, ANY, "other-etag", "v1")
        assert (info.bucket, info.key, info.size_bytes) == (BUCKET, "é/k", 12)
        assert (info.etag, info.content_type) == (new.md5, new.content_type)
        assert info.headers == new.headers
        assert info.user_metadata == new.user_metadata
        assert info.checksums == new.checksums
        assert info.last_modified.utcoffset() == timedelta(0)
        assert info.last_modified.microsecond % 1000 == 0
        assert await world.ledger.head(BUCKET, "é/k") == info
        stored = await world.ledger.find(BUCKET, "é/k")
        assert stored is not None
        assert stored.info == info
        (part,) = stored.parts
        assert (part.part_number, part.offset_bytes) == (1, 0)
        assert (part.part_id, part.size_bytes) == (claim.copy.part_id, 12)
        assert part.md5 == new.md5
        (copy,) = part.copies
        assert copy.copy_id == claim.copy.copy_id
        assert copy.backend_key == claim.copy.backend_key
        assert (copy.backend_name, copy.size_bytes) == ("one", 12)
        assert (copy.backend_etag, copy.version_id) == ("other-etag", "v1")
        assert stored.parts_count == 1
        assert await world.ledger.parts(info.object_id, 0, 12) == (part,)
        assert world.states() == {copy.copy_id: CopyState.LIVE}
        assert world.used_bytes("one") == 12

    @ensureDeferred
    async def test_overwrite_turns_the_old_copy_to_garbage(self, world: World) -> None:
        """Both are charged until the old one is collected; only the new one is seen."""
        world.set_limit("one", 0)
        old, before = await put(world, size_bytes=10, etag="old")
        other, _ = await put(world, "other", size_bytes=1)
        new, after = await put(world, size_bytes=20, etag="new")
        assert after.object_id != before.object_id
        assert after.last_modified >= before.last_modified
        assert world.states() == {
            old.copy.copy_id: CopyState.GARBAGE,
            other.copy.copy_id: CopyState.LIVE,
            new.copy.copy_id: CopyState.LIVE,
        }
        assert world.used_bytes("one") == 31
        stored = await world.ledger.find(BUCKET, "k")
        assert stored is not None
        assert [c.copy_id for p in stored.parts for c in p.copies] == [new.copy.copy_id]
        assert stored.info.etag == md5_of("new")

    @ensureDeferred
    async def test_an_overwrite_forgets_old_properties(self, world: World) -> None:
        """Nothing of the old version shows through the new one."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        new = NewObject(
            BUCKET,
            "k",
            10,
            md5_of("a"),
            "text/plain",
            {"x": "y"},
            {"u": "m"},
            {"c": "v"},
        )
        await world.ledger.commit(claim, new, ANY, None, None)
        _, info = await put(world, etag="b")
        assert (info.content_type, info.headers) == (None, {})
        assert await world.ledger.head(BUCKET, "k") == info
        # And all of the newer one does.
        claim = await claimed(world)
        info = await world.ledger.commit(claim, new, ANY, None, None)
        assert (info.user_metadata, info.checksums) == ({"u": "m"}, {"c": "v"})
        assert await world.ledger.head(BUCKET, "k") == info

    @ensureDeferred
    async def test_a_lost_claim_commits_nothing(self, world: World) -> None:
        """Abandoned, released, reaped or used: the object that is there stays."""
        world.set_limit("one", 0)
        used, info = await put(world, etag="there")
        abandoned, released, reaped = [await claimed(world) for _ in range(3)]
        await world.ledger.abandon(abandoned, landed=False)
        await world.ledger.release(released)
        world.pass_seconds(LEASE_SECONDS + 1)
        assert await world.janitor.reap(10) == 1
        states = world.states()
        for claim in (abandoned, released, reaped, used):
            with pytest.raises(ClaimLost):
                await committed(world, claim, etag="late")
        assert world.states() == states
        assert await world.ledger.head(BUCKET, "k") == info

    @ensureDeferred
    async def test_a_lease_that_is_over_still_commits(self, world: World) -> None:
        """The state decides, not the time: nobody has taken the claim away yet."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        world.pass_seconds(LEASE_SECONDS + 1)
        await committed(world, claim)
        assert await world.janitor.reap(10) == 0
        assert world.states() == {claim.copy.copy_id: CopyState.LIVE}

    @ensureDeferred
    async def test_replace_metadata(self, world: World) -> None:
        """Other headers and a new time; a version that is gone stays gone."""
        world.set_limit("one", 0)
        _, before = await put(world)
        replace = world.ledger.replace_metadata
        with pytest.raises(PreconditionFailed):
            await replace(before, None, {}, {}, ABSENT)
        after = await replace(before, "t/p", {"x": "y"}, {"u": "m"}, PRESENT)
        assert after is not None
        assert after == evolve(
            before,
            content_type="t/p",
            headers={"x": "y"},
            user_metadata={"u": "m"},
            last_modified=after.last_modified,
        )
        assert after.last_modified >= before.last_modified
        assert await world.ledger.head(BUCKET, "k") == after
        _, new = await put(world, etag="new")
        assert await replace(before, None, {}, {}, ANY) is None
        assert await world.ledger.head(BUCKET, "k") == new

    # Tags and attributes ---

    @ensureDeferred
    async def test_tags_go_with_their_object(self, world: World) -> None:
        """They come with the write, and an overwrite takes them away."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        new = NewObject(BUCKET, "k", 10, md5_of("a"), None, tags={"a b": "", "é": "x"})
        info = await world.ledger.commit(claim, new, ANY, None, None)
        assert info.tags == {"a b": "", "é": "x"}
        assert await world.ledger.head(BUCKET, "k") == info
        stored = await world.ledger.find(BUCKET, "k")
        assert stored is not None and stored.info == info
        part = await world.ledger.part_range(BUCKET, "k", 1)
        assert part is not None and part.info == info
        await put(world, etag="b")
        now = await world.ledger.head(BUCKET, "k")
        assert now is not None and now.tags == {}
        claim = await claimed(world)
        await world.ledger.commit(claim, new, ANY, None, None)
        now = await world.ledger.head(BUCKET, "k")
        assert now is not None and now.tags == info.tags

    @ensureDeferred
    async def test_replace_tags(self, world: World) -> None:
        """Nothing else changes, not even the time; an absent key is told of."""
        world.set_limit("one", 0)
        _, before = await put(world)
        for tags in ({"a": "b"}, {"c": "d"}, {}):
            assert await world.ledger.replace_tags(BUCKET, "k", tags)
            after = await world.ledger.head(BUCKET, "k")
            assert after == evolve(before, tags=tags)
        assert not await world.ledger.replace_tags(BUCKET, "other", {"a": "b"})
        assert await world.ledger.head(BUCKET, "other") is None

    @ensureDeferred
    async def test_replace_metadata_leaves_tags_unless_told(self, world: World) -> None:
        """The two directives of a copy to itself."""
        world.set_limit("one", 0)
        _, info = await put(world)
        await world.ledger.replace_tags(BUCKET, "k", {"a": "b"})
        # *info* knows of no tags: those of the row count.
        kept = await world.ledger.replace_metadata(info, None, {}, {}, ANY)
        assert kept is not None and kept.tags == {"a": "b"}
        other = await world.ledger.replace_metadata(info, None, {}, {}, ANY, {"c": ""})
        assert other is not None and other.tags == {"c": ""}
        none = await world.ledger.replace_metadata(info, None, {}, {}, ANY, {})
        assert none is not None and none.tags == {}
        assert await world.ledger.head(BUCKET, "k") == none

    @ensureDeferred
    async def test_attributes_of_a_plain_object(self, world: World) -> None:
        """One part, which is all of it."""
        world.set_limit("one", 0)
        assert await world.ledger.attributes(BUCKET, "k", 0, 1000) is None
        _, info = await put(world)
        found = await world.ledger.attributes(BUCKET, "k", 0, 1000)
        assert found == ObjectAttributes(info, 1, (ObjectPart(1, 10, {}),), None)

    # Deletions ---

    @ensureDeferred
    async def test_delete_on_a_condition(self, world: World) -> None:
        """The ETag decides; an absent key is told from one that does not match."""
        world.set_limit("one", 0)
        delete = world.ledger.delete
        claim, info = await put(world, etag="a")
        assert await delete(BUCKET, "k", [md5_of("b")]) is Deleted.PRECONDITION
        assert await world.ledger.head(BUCKET, "k") == info
        assert world.states() == {claim.copy.copy_id: CopyState.LIVE}
        assert await delete(BUCKET, "k", [md5_of("b"), md5_of("a")]) is Deleted.DELETED
        assert world.states() == {claim.copy.copy_id: CopyState.GARBAGE}
        await put(world)
        assert await delete(BUCKET, "k", ["*"]) is Deleted.DELETED
        for condition in ([md5_of("a")], ["*"], []):
            assert await delete(BUCKET, "k", condition) is Deleted.ABSENT

    @ensureDeferred
    async def test_delete_many(self, world: World) -> None:
        """Each for itself, in whatever order; results stand where they were asked."""
        world.set_limit("one", 0)
        kept, _ = await put(world, "kept", etag="a")
        gone = [await put(world, key, etag="a") for key in ("é", "b", "a", "~")]
        results = await world.ledger.delete_many(
            BUCKET,
            [
                Doomed("é"),
                Doomed("kept", md5_of("b")),
                Doomed("nothing", "*"),
                Doomed("b", md5_of("a")),
                Doomed("a", "*"),
                Doomed("nothing"),
                Doomed("~"),
                Doomed("é"),
            ],
        )
        gone_, refused, absent = Deleted.DELETED, Deleted.PRECONDITION, Deleted.ABSENT
        assert list(results) == [
            *(gone_, refused, absent, gone_, gone_, absent, gone_, absent)
        ]
        assert world.states() == {
            kept.copy.copy_id: CopyState.LIVE,
            **{claim.copy.copy_id: CopyState.GARBAGE for claim, _ in gone},
        }
        # Readers under way have the grace; then the room is free.
        assert await collect_all(world) == 0
        world.pass_seconds(GRACE_SECONDS + 1)
        assert await collect_all(world) == 4
        assert world.used_bytes("one") == 10

    @ensureDeferred
    async def test_delete_many_of_another_bucket(self, world: World) -> None:
        """Nothing of this one goes."""
        world.set_limit("one", 0)
        _, info = await put(world)
        assert await world.ledger.delete_many("other", [Doomed("k")]) == (
            Deleted.ABSENT,
        )
        assert await world.ledger.head(BUCKET, "k") == info

    # Unknown outcomes ---

    @ensureDeferred
    async def test_settle_gives_a_claim_up(self, world: World) -> None:
        """Its body may still land, so it will be deleted twice."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        assert await world.ledger.settle(claim) is CopyState.ABANDONED
        assert await world.ledger.settle(claim) is CopyState.ABANDONED
        with pytest.raises(ClaimLost):
            await committed(world, claim)
        assert await collect_all(world) == 0
        assert world.used_bytes("one") == 10
        world.pass_seconds(LATE_SECONDS + 1)
        assert await collect_all(world) == 1
        assert world.used_bytes("one") == 0

    @ensureDeferred
    async def test_settle_finds_what_became_of_a_claim(self, world: World) -> None:
        """A commit that stands, one that was overwritten since, and none."""
        world.set_limit("one", 0)
        overwritten, _ = await put(world, etag="old")
        live, info = await put(world, etag="new")
        released = await claimed(world)
        await world.ledger.release(released)
        assert await world.ledger.settle(live) is CopyState.LIVE
        assert await world.ledger.settle(overwritten) is CopyState.GARBAGE
        assert await world.ledger.settle(released) is None
        assert await world.ledger.head(BUCKET, "k") == info

    # Leases, giving up ---

    @ensureDeferred
    async def test_extend(self, world: World) -> None:
        """Only claims that are still claimed, and those for a whole lease from now."""
        world.set_limit("one", 0)
        mine, idle, given_up = [await claimed(world) for _ in range(3)]
        live, _ = await put(world, "live")
        await world.ledger.abandon(given_up, landed=False)
        world.pass_seconds(LEASE_SECONDS - 1)
        asked = [each.copy.copy_id for each in (mine, given_up, live)]
        assert await world.ledger.extend([*asked, "nobody"]) == {mine.copy.copy_id}
        assert await world.ledger.extend([]) == set()
        world.pass_seconds(LEASE_SECONDS - 1)
        assert await world.janitor.reap(10) == 1
        assert world.states()[mine.copy.copy_id] is CopyState.CLAIMED
        assert world.states()[idle.copy.copy_id] is CopyState.ABANDONED
        world.pass_seconds(2)
        assert await world.janitor.reap(10) == 1

    @ensureDeferred
    async def test_release_frees_at_once(self, world: World) -> None:
        """Nothing was sent, so nothing needs to be deleted."""
        world.set_limit("one", 10)
        claim = await claimed(world)
        await world.ledger.release(claim)
        await world.ledger.release(claim)
        assert (world.states(), world.used_bytes("one")) == ({}, 0)
        await claimed(world)

    @pytest.mark.parametrize("landed", [False, True])
    @ensureDeferred
    async def test_abandon(self, world: World, landed: bool) -> None:
        """Deleted at once; and again after ``late`` where the body may have landed."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        await world.ledger.abandon(claim, landed=landed)
        await world.ledger.abandon(claim, landed=not landed)
        assert world.states() == {claim.copy.copy_id: CopyState.ABANDONED}
        if landed:
            assert await collect_all(world) == 0
            world.pass_seconds(LATE_SECONDS - 1)
            assert await world.janitor.collect("one", 10) == []
            assert world.used_bytes("one") == 10
            world.pass_seconds(2)
        assert await collect_all(world) == 1
        assert (world.states(), world.used_bytes("one")) == ({}, 0)

    @ensureDeferred
    async def test_an_object_is_no_claim(self, world: World) -> None:
        """Releasing or abandoning what has been committed changes nothing."""
        world.set_limit("one", 0)
        claim, info = await put(world)
        await world.ledger.release(claim)
        await world.ledger.abandon(claim, landed=True)
        assert world.states() == {claim.copy.copy_id: CopyState.LIVE}
        assert await world.ledger.head(BUCKET, "k") == info

    # Delete, find ---

    @ensureDeferred
    async def test_delete(self, world: World) -> None:
        """The object goes at once, its bytes after the grace; again is fine."""
        world.set_limit("one", 0)
        claim, _ = await put(world)
        _, kept = await put(world, "K")
        await world.ledger.delete("elsewhere", "k")
        assert await world.ledger.head(BUCKET, "k") is not None
        for _ in range(2):
            await world.ledger.delete(BUCKET, "k")
            assert await world.ledger.head(BUCKET, "k") is None
            assert await world.ledger.find(BUCKET, "k") is None
        assert world.states()[claim.copy.copy_id] is CopyState.GARBAGE
        assert await world.ledger.head(BUCKET, "K") == kept
        assert world.used_bytes("one") == 20
        assert await collect_all(world) == 0
        world.pass_seconds(GRACE_SECONDS + 1)
        assert await collect_all(world) == 1
        assert world.used_bytes("one") == 10

    @ensureDeferred
    async def test_a_deleted_key_can_be_written_again(self, world: World) -> None:
        """If-None-Match: * holds again, and the garbage stays garbage."""
        world.set_limit("one", 0)
        old, _ = await put(world)
        await world.ledger.delete(BUCKET, "k")
        claim = await claimed(world, conditions=ABSENT)
        await committed(world, claim, conditions=ABSENT)
        assert world.states() == {
            old.copy.copy_id: CopyState.GARBAGE,
            claim.copy.copy_id: CopyState.LIVE,
        }

    @ensureDeferred
    async def test_an_empty_object(self, world: World) -> None:
        """It has a part and a copy like any other."""
        world.set_limit("one", 0)
        claim, info = await put(world, size_bytes=0)
        stored = await world.ledger.find(BUCKET, "k")
        assert stored is not None
        assert stored.info == info
        assert [c.copy_id for c in stored.parts[0].copies] == [claim.copy.copy_id]

    @pytest.mark.parametrize(
        ("start", "end", "count"),
        [(0, 10, 1), (0, 1, 1), (9, 10, 1), (10, 11, 0), (0, 0, 0)],
    )
    @ensureDeferred
    async def test_parts(self, world: World, start: int, end: int, count: int) -> None:
        """Those that hold the bytes asked for; none of a version that is gone."""
        world.set_limit("one", 0)
        _, info = await put(world, size_bytes=10)
        assert len(await world.ledger.parts(info.object_id, start, end)) == count
        await put(world, size_bytes=10, etag="new")
        assert await world.ledger.parts(info.object_id, start, end) == ()

    @ensureDeferred
    async def test_part_range(self, world: World) -> None:
        """A plain object is its own first part, and has no second one."""
        world.set_limit("one", 0)
        assert await world.ledger.part_range(BUCKET, "k", 1) is None
        _, info = await put(world, size_bytes=10)
        first = await world.ledger.part_range(BUCKET, "k", 1)
        assert first == PartRange(info, (0, 10), 1)
        second = await world.ledger.part_range(BUCKET, "k", 2)
        assert second == PartRange(info, None, 1)

    # Listing ---

    @pytest.mark.parametrize(
        ("prefix", "delimiter", "after", "limit", "want", "next_after"),
        [
            ("", "", "", 100, "a a/1 a/2 a/b/3 b b/ b/4 c", None),
            ("", "/", "", 100, "a a// b b// c", None),
            ("a/", "/", "", 100, "a/1 a/2 a/b//", None),
            ("b/", "/", "", 100, "b/ b/4", None),
            ("", "/", "", 2, "a a//", "a/"),
            ("", "/", "a/", 2, "b b//", "b/"),
            # Inside a common prefix: all of that has been passed.
            ("", "/", "a/1", 2, "b b//", "b/"),
            ("", "/", "a/b/3", 1, "b", "b"),
            ("", "/", "a", 1, "a//", "a/"),
            ("", "/", "b/4", 100, "c", None),
            ("a/", "", "a/1", 1, "a/2", "a/2"),
            ("a/", "/", "Z", 100, "a/1 a/2 a/b//", None),
            ("a/", "/", "b", 100, "", None),
            ("", "a/b", "", 100, "a a/1 a/2 a/b/ b b/ b/4 c", None),
            ("zz", "", "", 100, "", None),
            ("", "/", "", 0, "", None),
            ("c", "/", "", 1, "c", None),
        ],
    )
    @ensureDeferred
    async def test_list(
        self,
        world: World,
        prefix: str,
        delimiter: str,
        after: str,
        limit: int,
        want: str,
        next_after: str | None,
    ) -> None:
        """Keys and common prefixes (written with one more ``/``) of one page."""
        world.fill(BUCKET, ["a", "a/1", "a/2", "a/b/3", "b", "b/", "b/4", "c"])
        world.fill("elsewhere", ["a", "x"])
        page = await world.ledger.list_objects(BUCKET, prefix, delimiter, after, limit)
        entries = [(each.key, each.key) for each in page.contents]
        entries += [(each, each + "/") for each in page.common_prefixes]
        assert " ".join(shown for _, shown in sorted(entries)) == want
        assert page.next_after == next_after
        assert page.is_truncated == (next_after is not None)

    @ensureDeferred
    async def test_list_shows_what_clients_need(self, world: World) -> None:
        """ETag, size and time as HEAD gives them."""
        world.set_limit("one", 0)
        _, info = await put(world, "k", 12, "e")
        page = await world.ledger.list_objects(BUCKET, "", "", "", 10)
        assert page.contents == (info,)

    # Reaping ---

    @ensureDeferred
    async def test_reap_takes_only_what_ran_out(self, world: World) -> None:
        """At most *limit* at a time; they come back for a second delete."""
        world.set_limit("one", 0)
        old = [await claimed(world) for _ in range(3)]
        await put(world, "live")
        await world.ledger.delete(BUCKET, "live")
        world.pass_seconds(LEASE_SECONDS - 1)
        young = await claimed(world)
        assert await world.janitor.reap(10) == 0
        world.pass_seconds(2)
        assert await world.janitor.reap(2) == 2
        assert await world.janitor.reap(2) == 1
        assert await world.janitor.reap(2) == 0
        states = world.states()
        assert states[young.copy.copy_id] is CopyState.CLAIMED
        assert {states[each.copy.copy_id] for each in old} == {CopyState.ABANDONED}
        assert world.used_bytes("one") == 50
        assert await collect_all(world) == 1  # the deleted object, past its grace
        world.pass_seconds(LATE_SECONDS + 1)
        assert await collect_all(world) == 3
        assert world.used_bytes("one") == 10

    # Collecting ---

    @ensureDeferred
    async def test_collect_takes_only_what_is_due(self, world: World) -> None:
        """Not live copies, not claims, not within the grace, not another backend's."""
        world.set_limit("one", 0)
        world.set_limit("two", 0)
        await put(world, "live")
        await claimed(world)
        await put(world, "there", backends=["two"])
        await world.ledger.delete(BUCKET, "there")
        gone, _ = await put(world, "gone")
        await world.ledger.delete(BUCKET, "gone")
        world.pass_seconds(GRACE_SECONDS - 1)
        assert await world.janitor.collect("one", 10) == []
        world.pass_seconds(2)
        (due,) = await world.janitor.collect("one", 10)
        assert due.copy_id == gone.copy.copy_id
        assert due.backend_key == gone.copy.backend_key
        assert due.version_id is None
        assert len(await world.janitor.collect("two", 10)) == 1

    @ensureDeferred
    async def test_collect_takes_the_longest_due_first(self, world: World) -> None:
        """At most *limit* at a time."""
        world.set_limit("one", 0)
        want = []
        for key in "cab":
            claim, _ = await put(world, key)
            await world.ledger.delete(BUCKET, key)
            want.append(claim.copy.copy_id)
            world.pass_seconds(1)
        world.pass_seconds(GRACE_SECONDS)
        taken = [await world.janitor.collect("one", 1) for _ in range(4)]
        assert [[each.copy_id for each in page] for page in taken] == [
            *([each] for each in want),
            [],
        ]

    @ensureDeferred
    async def test_taken_garbage_is_held_and_backs_off(self, world: World) -> None:
        """A delete that fails is tried again, twice as late each time, up to 1 hour."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        await world.ledger.abandon(claim, landed=False)
        hold = HOLD_SECONDS
        for attempt in range(1, 12):
            (due,) = await world.janitor.collect("one", 10)
            assert due.attempts == attempt
            world.pass_seconds(hold - 1)
            assert await world.janitor.collect("one", 10) == []
            world.pass_seconds(2)
            hold = min(2 * hold, 3600.0)
        assert hold == 3600.0
        assert await collect_all(world) == 1

    @ensureDeferred
    async def test_a_slow_workers_word_is_void(self, world: World) -> None:
        """Once another worker has taken a row, only that one may report it gone."""
        world.set_limit("one", 0)
        claim = await claimed(world)
        await world.ledger.abandon(claim, landed=True)
        (slow,) = await world.janitor.collect("one", 10)
        world.pass_seconds(HOLD_SECONDS + 1)
        (quick,) = await world.janitor.collect("one", 10)
        assert await world.janitor.collected([slow]) == 0
        # Its word does not count as the first of the two deletes either.
        assert await world.janitor.collected([quick]) == 0
        world.pass_seconds(LATE_SECONDS + 1)
        (last,) = await world.janitor.collect("one", 10)
        assert await world.janitor.collected([slow]) == 0
        assert await world.janitor.collected([quick]) == 0
        assert world.used_bytes("one") == 10
        assert await world.janitor.collected([last]) == 1
        assert await world.janitor.collected([last]) == 0
        assert world.used_bytes("one") == 0

    @ensureDeferred
    async def test_collected_frees_exactly(self, world: World) -> None:
        """Each backend what it held, whatever the mixture."""
        world.set_limit("one", 100)
        world.set_limit("two", 100)
        for number, size in enumerate((1, 20, 30)):
            await put(world, f"k{number}", size, backends=["one"])
            await put(world, f"l{number}", size + 1, backends=["two"])
        for key in ("k0", "k2", "l1"):
            await world.ledger.delete(BUCKET, key)
        world.pass_seconds(GRACE_SECONDS + 1)
        due = await world.janitor.collect("one", 10)
        due += await world.janitor.collect("two", 10)
        assert (world.used_bytes("one"), world.used_bytes("two")) == (51, 54)
        assert await world.janitor.collected(due) == 3
        assert await world.janitor.collected([]) == 0
        assert (world.used_bytes("one"), world.used_bytes("two")) == (20, 33)
        await claimed(world, size_bytes=80)

    # Pins ---

    @ensureDeferred
    async def test_pinned_bytes_stay(self, world: World) -> None:
        """While a read renews its pin, and no longer; other garbage goes."""
        world.set_limit("one", 0)
        read, info = await put(world, "read")
        other, _ = await put(world, "other")
        await world.ledger.delete(BUCKET, "other")
        await world.ledger.pin(info.object_id)
        await put(world, "read", etag="new")
        for _ in range(3):
            world.pass_seconds(GRACE_SECONDS - 1)
            await world.ledger.pin(info.object_id)
            await world.janitor.unpin_expired()
        assert await collect_all(world) == 1
        assert world.states()[read.copy.copy_id] is CopyState.GARBAGE
        assert other.copy.copy_id not in world.states()
        world.pass_seconds(GRACE_SECONDS + 1)
        assert await collect_all(world) == 1
        assert read.copy.copy_id not in world.states()
        await world.janitor.unpin_expired()


@frozen
class Listing:
    """A bucket and a question about it."""

    held: set[str]
    prefix: str
    delimiter: str
    start_after: str
    limit: int


def listings() -> SearchStrategy[Listing]:
    """Buckets and questions full of near misses."""
    few = "ab/é\ud7ff\ue000\U0010ffff"
    return st.builds(
        Listing,
        held=st.sets(
            st.one_of(st.text(few, min_size=1, max_size=6), keys()), max_size=12
        ),
        prefix=st.one_of(st.text(few, max_size=2), texts(max_size=2)),
        delimiter=st.one_of(
            st.sampled_from(["", "/", "a", "/a", "//", "b/a", "\U0010ffff", "\ud7ff"]),
            texts(max_size=2),
        ),
        start_after=st.one_of(st.just(""), st.text(few, max_size=4), texts(max_size=3)),
        limit=st.integers(1, 5),
    )


async def check_pages(world: World, listing: Listing) -> None:
    """The pages of a listing, joined, are what S3 defines a listing to be."""
    world.fill(BUCKET, listing.held)
    found: list[tuple[str, bool]] = []
    after: str | None = listing.start_after
    while after is not None:
        page = await world.ledger.list_objects(
            BUCKET, listing.prefix, listing.delimiter, after, listing.limit
        )
        listed = [each.key for each in page.contents]
        prefixes = list(page.common_prefixes)
        assert (listed, prefixes) == (sorted(listed), sorted(prefixes))
        ours = sorted([(e, False) for e in listed] + [(e, True) for e in prefixes])
        if page.next_after is not None:
            assert len(ours) == listing.limit
            assert page.next_after == ours[-1][0]
        assert len(ours) <= listing.limit
        found += ours
        after = page.next_after
    assert found == naive_list(
        listing.held, listing.prefix, listing.delimiter, listing.start_after
    )


def naive_list(
    held: Collection[str], prefix: str, delimiter: str, after: str
) -> list[tuple[str, bool]]:
    """
    A listing as S3 defines it: entries greater than *after*, in byte order; True marks
    common prefixes.
    """
    entries: set[tuple[str, bool]] = set()
    for key in held:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            head, _, _ = rest.partition(delimiter)
            entries.add((prefix + head + delimiter, True))
        else:
            entries.add((key, False))
    found = [entry for entry in entries if entry[0].encode() > after.encode()]
    return sorted(found, key=lambda entry: entry[0].encode())
