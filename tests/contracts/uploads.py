"""
What ``manager.upload_ports.UploadLedger`` and ``jobs.expiring.Expiry`` promise, and
what ``manager.ports.Ledger`` says of objects that were uploaded in parts.

A subclass gives a fixture ``world``; every test here then runs against it
(``tests/store/test_uploads.py``: in memory, and on a real PostgreSQL).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5
from typing import Any, Protocol

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred

from s3proxy.errors import (
    ClaimLost,
    EntityTooSmall,
    InsufficientStorage,
    InvalidPart,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
)
from s3proxy.jobs.expiring import Expiry
from s3proxy.manager.ports import CopyState, MadeCopy, Stored
from s3proxy.manager.upload_ports import NewUpload, UploadLedger
from s3proxy.model import (
    Claim,
    Completed,
    CompletedPart,
    CopyCount,
    ObjectPart,
    PartInfo,
    PartRange,
    StoredObject,
    UploadPage,
    WriteConditions,
)
from tests.contracts import ledger
from tests.contracts.ledger import (
    ABSENT,
    ANY,
    BUCKET,
    GRACE_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    PRESENT,
    collect_all,
    put,
)

DAY_SECONDS = 24 * 3600.0
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Both(UploadLedger, Expiry, Protocol):
    """``store.uploads.PostgresUploads``, and its fake."""


class World(ledger.World, Protocol):
    """One implementation; time passes for uploads too."""

    @property
    def uploads(self) -> Both: ...


def etag_of(name: str) -> str:
    """A part's MD5."""
    return md5(name.encode()).hexdigest()


def whole_etag(etags: Sequence[str]) -> str:
    """The ETag of an object of such parts, as S3 defines it."""
    digests = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{md5(digests).hexdigest()}-{len(etags)}"


async def create(world: World, key: str = "k", **more: Any) -> str:
    """Open an upload."""
    return await world.uploads.create(NewUpload(BUCKET, key, None, **more))


async def claim_part(
    world: World,
    upload_id: str,
    number: int = 1,
    size_bytes: int = 10,
    key: str = "k",
    backends: Sequence[str] = ("one",),
) -> Claim:
    """Claim a part."""
    return await world.uploads.claim_part(
        backends, upload_id, BUCKET, key, number, size_bytes
    )


async def commit_part(
    world: World, claim: Claim, upload_id: str, number: int = 1, name: str = ""
) -> PartInfo:
    """Commit a part whose MD5 is that of *name*, or of its copy's id."""
    etag = etag_of(name or claim.copy.copy_id)
    part = PartInfo(number, etag, claim.copy.size_bytes, {}, WHEN)
    when = await world.uploads.commit_part(claim, upload_id, part, etag, None)
    return evolve(part, last_modified=when)


async def put_part(
    world: World,
    upload_id: str,
    number: int = 1,
    size_bytes: int = 10,
    key: str = "k",
    name: str = "",
    backends: Sequence[str] = ("one",),
) -> tuple[Claim, PartInfo]:
    """Claim and commit a part."""
    claim = await claim_part(world, upload_id, number, size_bytes, key, backends)
    return claim, await commit_part(world, claim, upload_id, number, name)


def listed(*parts: PartInfo) -> list[CompletedPart]:
    """The list that a client sends."""
    return [CompletedPart(each.part_number, each.etag) for each in parts]


async def complete(
    world: World,
    upload_id: str,
    parts: Sequence[CompletedPart],
    key: str = "k",
    conditions: WriteConditions = ANY,
    *,
    least: int = 0,
    checksums: Mapping[str, str] | None = None,
) -> Completed:
    """Complete; parts may be small."""
    return await world.uploads.complete(
        upload_id,
        BUCKET,
        key,
        parts,
        conditions,
        least_part_bytes=least,
        checksums=checksums,
    )


async def found(world: World, key: str = "k") -> StoredObject:
    """The object, which is there."""
    stored = await world.ledger.find(BUCKET, key)
    assert stored is not None
    return stored


async def parts_of(world: World, upload_id: str) -> list[PartInfo]:
    """All of an upload's parts."""
    parts, more = await world.uploads.list_parts(upload_id, 0, 10_000)
    assert not more
    return parts


class UploadsContract:
    """The promises; see the module."""

    # Create ---

    @ensureDeferred
    async def test_an_upload_is_bound_to_bucket_and_key(self, world: World) -> None:
        """Nothing else can be done with it, and nothing of it is an object yet."""
        world.set_limit("one", 0)
        first, second = await create(world), await create(world)
        assert first != second
        _, part = await put_part(world, first)
        assert await world.ledger.head(BUCKET, "k") is None
        uploads = world.uploads
        for id_, bucket, key in (
            (first, BUCKET, "other"),
            (first, "other", "k"),
            ("unknown", BUCKET, "k"),
            ("", BUCKET, "k"),
        ):
            with pytest.raises(NoSuchUpload):
                await uploads.find(id_, bucket, key)
            with pytest.raises(NoSuchUpload):
                await uploads.claim_part(["one"], id_, bucket, key, 1, 1)
            with pytest.raises(NoSuchUpload):
                await uploads.complete(id_, bucket, key, listed(part), ANY)
            with pytest.raises(NoSuchUpload):
                await uploads.abort(id_, bucket, key)
        info = await uploads.find(first, BUCKET, "k")
        assert (info.upload_id, info.key) == (first, "k")
        assert await parts_of(world, first) == [part]
        assert await parts_of(world, second) == []
        assert world.used_bytes("one") == 10

    @ensureDeferred
    async def test_what_create_announced(self, world: World) -> None:
        """It comes back with the upload."""
        upload_id = await create(
            world, checksum_algorithm="CRC32", checksum_type="COMPOSITE"
        )
        info = await world.uploads.find(upload_id, BUCKET, "k")
        assert (info.checksum_algorithm, info.checksum_type) == ("CRC32", "COMPOSITE")
        assert info.initiated.tzinfo is not None

    # Parts ---

    @ensureDeferred
    async def test_a_part_is_placed_like_an_object(self, world: World) -> None:
        """The first backend with room, to the last byte; a name with its number."""
        world.set_limit("one", 25)
        world.set_limit("two", 10)
        upload_id = await create(world)
        both = ("two", "one")
        placed = [
            (await claim_part(world, upload_id, number, 10, backends=both)).copy
            for number in (7, 10_000, 8)
        ]
        assert [each.backend_name for each in placed] == ["two", "one", "one"]
        for copy, number in zip(placed, ("00007", "10000", "00008"), strict=True):
            assert copy.backend_key == f"k~{copy.copy_id}.{number}"
        with pytest.raises(InsufficientStorage):
            await claim_part(world, upload_id, 9, 6, backends=both)
        assert (world.used_bytes("one"), world.used_bytes("two")) == (20, 10)
        odd = await create(world, "a//b")
        copy = (await claim_part(world, odd, 3, 5, "a//b", both)).copy
        assert copy.backend_key == f"~/{copy.copy_id}.00003"

    @ensureDeferred
    async def test_a_part_of_several_copies(self, world: World) -> None:
        """Claimed, committed and completed together; a lost one is left out."""
        names = ["one", "two", "three"]
        for name in names:
            world.set_limit(name, 0)
        upload_id = await create(world)

        async def claims_of(count: CopyCount) -> tuple[Claim, ...]:
            return await world.uploads.claim_part_copies(
                names, upload_id, BUCKET, "k", 7, 10, count
            )

        async def commit(claims: Sequence[Claim], least: int) -> PartInfo:
            part = PartInfo(7, etag_of("p"), 10, {}, WHEN)
            made = [MadeCopy(each, Stored(each.copy.backend_name)) for each in claims]
            await world.uploads.commit_part_copies(made, upload_id, part, least)
            return part

        claims = await claims_of(CopyCount(2, 2))
        assert [each.copy.backend_name for each in claims] == names[:2]
        for each in claims:
            assert each.copy.backend_key == f"k~{each.copy.copy_id}.00007"
        await commit(claims, 2)
        again = await claims_of(CopyCount(2, 3))
        await world.ledger.abandon(again[0], landed=False)
        with pytest.raises(ClaimLost):
            await commit(again, 3)
        part = await commit(again, 2)
        states = [world.states()[each.copy.copy_id] for each in claims]
        assert states == [CopyState.GARBAGE] * 2
        world.set_limit("one", 1)
        world.set_limit("two", 1)
        with pytest.raises(InsufficientStorage):
            await claims_of(CopyCount(2, 2))
        await complete(world, upload_id, listed(part))
        (held,) = (await found(world)).parts
        assert {each.backend_etag for each in held.copies} == {"two", "three"}

    @ensureDeferred
    async def test_a_part_sent_again(self, world: World) -> None:
        """The later commit counts; the earlier part's bytes can be had back at once."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        first = await claim_part(world, upload_id, 3, 10)
        second = await claim_part(world, upload_id, 3, 20)
        assert first.copy.part_id != second.copy.part_id
        later = await commit_part(world, second, upload_id, 3)
        assert await parts_of(world, upload_id) == [later]
        last = await commit_part(world, first, upload_id, 3)
        assert await parts_of(world, upload_id) == [last]
        assert world.states() == {
            first.copy.copy_id: CopyState.LIVE,
            second.copy.copy_id: CopyState.GARBAGE,
        }
        assert world.used_bytes("one") == 30
        assert await collect_all(world) == 1
        assert world.used_bytes("one") == 10

    @ensureDeferred
    async def test_a_part_carries_its_checksums(self, world: World) -> None:
        """And a time in whole milliseconds."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        claim = await claim_part(world, upload_id)
        part = PartInfo(1, etag_of("x"), 10, {"crc32": "AAAAAA=="}, WHEN)
        when = await world.uploads.commit_part(claim, upload_id, part, None, None)
        assert await parts_of(world, upload_id) == [evolve(part, last_modified=when)]
        assert when.microsecond % 1000 == 0

    @ensureDeferred
    async def test_a_lost_claim_is_no_part(self, world: World) -> None:
        """Abandoned, released, reaped or used."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        used, part = await put_part(world, upload_id)
        abandoned, released, reaped = [
            await claim_part(world, upload_id) for _ in range(3)
        ]
        await world.ledger.abandon(abandoned, landed=False)
        await world.ledger.release(released)
        world.pass_seconds(LEASE_SECONDS + 1)
        assert await world.janitor.reap(10) == 1
        for claim in (used, abandoned, released, reaped):
            with pytest.raises(ClaimLost):
                await commit_part(world, claim, upload_id)
        assert await parts_of(world, upload_id) == [part]

    @ensureDeferred
    async def test_settling_a_part(self, world: World) -> None:
        """Live when it was committed, garbage when replaced; else it is given up."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        replaced, _ = await put_part(world, upload_id)
        stands, part = await put_part(world, upload_id)
        unsaid = await claim_part(world, upload_id)
        assert await world.ledger.settle(replaced) is CopyState.GARBAGE
        assert await world.ledger.settle(stands) is CopyState.LIVE
        assert await world.ledger.settle(unsaid) is CopyState.ABANDONED
        assert await parts_of(world, upload_id) == [part]

    @pytest.mark.parametrize("how", ["abort", "complete", "expire", "purge"])
    @ensureDeferred
    async def test_a_late_part(self, world: World, how: str) -> None:
        """It finds the upload gone; its bytes are deleted once and forgotten."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        _, part = await put_part(world, upload_id, 1, 7)
        late = await claim_part(world, upload_id, 2)
        if how == "abort":
            await world.uploads.abort(upload_id, BUCKET, "k")
        elif how == "complete":
            await complete(world, upload_id, listed(part))
        else:
            world.pass_seconds(2)
            assert await world.uploads.expire(1, 10) == 1
            if how == "purge":
                world.pass_seconds(DAY_SECONDS + 1)
                assert await world.uploads.expire(1, 10) == 0
        with pytest.raises(NoSuchUpload):
            await commit_part(world, late, upload_id, 2)
        assert world.states()[late.copy.copy_id] is CopyState.ABANDONED
        kept = 7 if how == "complete" else 0
        while await collect_all(world):
            pass
        assert world.used_bytes("one") == kept
        with pytest.raises(NoSuchUpload):
            await claim_part(world, upload_id, 2)

    # Complete ---

    @ensureDeferred
    async def test_complete_makes_the_object(self, world: World) -> None:
        """Bytes, ETag, offsets, and all that Create said."""
        world.set_limit("one", 25)
        world.set_limit("two", 0)
        new = NewUpload(
            BUCKET,
            "é/k",
            "text/plain",
            {"cache-control": "no-cache"},
            {"name": "caf\xc3\xa9"},
        )
        upload_id = await world.uploads.create(new)
        claims, parts = [], []
        for number, size in ((10_000, 3), (2, 20), (9, 10)):
            claim, part = await put_part(
                world, upload_id, number, size, "é/k", backends=("one", "two")
            )
            claims.append(claim)
            parts.append(part)
        order = [parts[1], parts[2], parts[0]]
        done = await complete(
            world, upload_id, listed(*order), "é/k", checksums={"crc32": "AAAA"}
        )
        etag = whole_etag([each.etag for each in order])
        assert done == Completed(etag, {"crc32": "AAAA"})
        info = await world.ledger.head(BUCKET, "é/k")
        assert info is not None
        assert (info.etag, info.size_bytes) == (etag, 33)
        assert (info.content_type, info.headers) == (new.content_type, new.headers)
        assert (info.user_metadata, info.checksums) == (
            new.user_metadata,
            {"crc32": "AAAA"},
        )
        assert info.last_modified.microsecond % 1000 == 0
        manifest = await world.ledger.parts(info.object_id, 0, 33)
        assert [
            (p.part_number, p.offset_bytes, p.size_bytes, p.md5) for p in manifest
        ] == [
            (2, 0, 20, order[0].etag),
            (9, 20, 10, order[1].etag),
            (10_000, 30, 3, order[2].etag),
        ]
        copies = [copy for part in manifest for copy in part.copies]
        assert [copy.copy_id for copy in copies] == [
            claims[1].copy.copy_id,
            claims[2].copy.copy_id,
            claims[0].copy.copy_id,
        ]
        assert [copy.backend_name for copy in copies] == ["one", "two", "one"]
        assert set(world.states().values()) == {CopyState.LIVE}
        assert (world.used_bytes("one"), world.used_bytes("two")) == (23, 10)
        with pytest.raises(NoSuchUpload):
            await world.uploads.find(upload_id, BUCKET, "é/k")
        assert await world.uploads.list_uploads(BUCKET, "", "", "", "", 9) == (
            UploadPage((), ())
        )

    @ensureDeferred
    async def test_unlisted_parts_are_garbage(self, world: World) -> None:
        """At once: nobody can be reading them. Small ones do no harm either."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = [
            (await put_part(world, upload_id, number, 10 * number))[1]
            for number in (1, 2, 3, 4)
        ]
        await complete(world, upload_id, listed(parts[1], parts[3]), least=20)
        assert sorted(state.value for state in world.states().values()) == [
            *("garbage", "garbage", "live", "live")
        ]
        assert world.used_bytes("one") == 100
        assert await collect_all(world) == 2
        assert world.used_bytes("one") == 60
        stored = await found(world)
        assert stored.info.etag == whole_etag([parts[1].etag, parts[3].etag])
        assert (stored.info.size_bytes, stored.parts_count) == (60, 2)

    @pytest.mark.parametrize(
        ("wanted", "named"),
        [
            ("1 2x 3", "2"),
            ("1 2 4", "4"),
            ("1x 2x", "1"),
            ("5", "5"),
            ("2 3x 4", "3"),
        ],
    )
    @ensureDeferred
    async def test_a_part_that_is_not_there(
        self, world: World, wanted: str, named: str
    ) -> None:
        """The first wrong one is named, and nothing has changed."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = {
            number: (await put_part(world, upload_id, number))[1]
            for number in (1, 2, 3)
        }
        chosen = [
            CompletedPart(
                int(each.rstrip("x")),
                etag_of("wrong")
                if each.endswith("x") or int(each) > 3
                else parts[int(each)].etag,
            )
            for each in wanted.split()
        ]
        with pytest.raises(InvalidPart) as caught:
            await complete(world, upload_id, chosen)
        assert caught.value.fields["PartNumber"] == named
        assert await parts_of(world, upload_id) == list(parts.values())
        assert await world.ledger.head(BUCKET, "k") is None
        await complete(world, upload_id, listed(*parts.values()))

    @pytest.mark.parametrize(
        ("sizes", "named"),
        [((20, 19, 20), "2"), ((19, 1, 20), "1"), ((19, 20), "1"), ((0, 0), "1")],
    )
    @ensureDeferred
    async def test_a_part_that_is_too_small(
        self, world: World, sizes: Sequence[int], named: str
    ) -> None:
        """Any but the last; the first of them is named, and nothing has changed."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = [
            (await put_part(world, upload_id, number, size))[1]
            for number, size in enumerate(sizes, 1)
        ]
        with pytest.raises(EntityTooSmall) as caught:
            await complete(world, upload_id, listed(*parts), least=20)
        assert caught.value.fields["PartNumber"] == named
        assert caught.value.fields["MinSizeAllowed"] == "20"
        assert await parts_of(world, upload_id) == parts
        await complete(world, upload_id, listed(*parts), least=0)

    @pytest.mark.parametrize("size", [0, 1, 20])
    @ensureDeferred
    async def test_the_last_part_may_be_small(self, world: World, size: int) -> None:
        """And so may the only one."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        _, first = await put_part(world, upload_id, 1, 20)
        _, last = await put_part(world, upload_id, 2, size)
        await complete(world, upload_id, listed(first, last), least=20)
        upload_id = await create(world, "only")
        _, only = await put_part(world, upload_id, 5, size, "only")
        done = await complete(world, upload_id, listed(only), "only", least=20)
        assert done.etag == whole_etag([only.etag])
        info = await world.ledger.head(BUCKET, "only")
        assert info is not None
        assert info.size_bytes == size

    @ensureDeferred
    async def test_the_least_size_is_that_of_s3(self, world: World) -> None:
        """5 MiB, where nothing else is said."""
        world.set_limit("one", 0)
        mib = 1024 * 1024
        for size, allowed in ((5 * mib - 1, False), (5 * mib, True)):
            upload_id = await create(world)
            parts = [
                (await put_part(world, upload_id, number, each))[1]
                for number, each in ((1, size), (2, 1))
            ]
            work = world.uploads.complete(upload_id, BUCKET, "k", listed(*parts), ANY)
            if allowed:
                await work
            else:
                with pytest.raises(EntityTooSmall):
                    await work

    @ensureDeferred
    async def test_complete_over_an_object(self, world: World) -> None:
        """The old bytes stay for readers under way, whatever they were uploaded as."""
        world.set_limit("one", 0)
        await put(world, size_bytes=1)
        for size in (20, 30):
            before = await found(world)
            upload_id = await create(world)
            parts = [
                (await put_part(world, upload_id, number, size))[1] for number in (1, 2)
            ]
            await complete(world, upload_id, listed(*parts))
            stored = await found(world)
            assert stored.info.object_id != before.info.object_id
            assert await world.ledger.parts(before.info.object_id, 0, 99) == ()
        states = [state.value for state in world.states().values()]
        assert sorted(states) == ["garbage"] * 3 + ["live"] * 2
        assert await collect_all(world) == 0
        world.pass_seconds(GRACE_SECONDS + 1)
        assert await collect_all(world) == 3
        assert world.used_bytes("one") == 60
        # And back: a plain PUT, and a DELETE of an object of many parts.
        await put(world, size_bytes=5)
        assert (await found(world)).parts_count == 1
        world.pass_seconds(GRACE_SECONDS + 1)
        assert await collect_all(world) == 2
        await world.ledger.delete(BUCKET, "k")
        world.pass_seconds(GRACE_SECONDS + 1)
        assert await collect_all(world) == 1
        assert (world.used_bytes("one"), world.states()) == (0, {})

    @ensureDeferred
    async def test_deleting_an_object_of_many_parts(self, world: World) -> None:
        """All of them; pinned, they stay."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = [(await put_part(world, upload_id, n))[1] for n in (1, 2, 3)]
        await complete(world, upload_id, listed(*parts))
        info = (await found(world)).info
        await world.ledger.pin(info.object_id)
        await world.ledger.delete(BUCKET, "k")
        world.pass_seconds(GRACE_SECONDS - 1)
        await world.ledger.pin(info.object_id)
        world.pass_seconds(2)
        assert await collect_all(world) == 0
        world.pass_seconds(GRACE_SECONDS)
        assert await collect_all(world) == 3
        assert world.used_bytes("one") == 0

    @ensureDeferred
    async def test_conditions_at_complete(self, world: World) -> None:
        """They are tested there; a refused upload stays open, and can be completed."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        _, part = await put_part(world, upload_id)
        other = WriteConditions(if_match=(etag_of("other"),))
        for conditions in (PRESENT, other):
            with pytest.raises(NoSuchKey):
                await complete(world, upload_id, listed(part), conditions=conditions)
        _, old = await put(world)
        for conditions in (ABSENT, other, WriteConditions((), (old.etag,))):
            with pytest.raises(PreconditionFailed):
                await complete(world, upload_id, listed(part), conditions=conditions)
        assert await world.ledger.head(BUCKET, "k") == old
        assert await parts_of(world, upload_id) == [part]
        same = WriteConditions(if_match=(old.etag,))
        done = await complete(world, upload_id, listed(part), conditions=same)
        # A repeat is not held to them: its own first time may have broken them.
        again = await complete(world, upload_id, listed(part), conditions=same)
        assert again == done

    @ensureDeferred
    async def test_a_repeat_gets_the_first_answer(self, world: World) -> None:
        """For a day: whatever it lists, whatever has become of the object since."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        _, part = await put_part(world, upload_id)
        done = await complete(world, upload_id, listed(part), checksums={"crc32": "A"})
        first = (await found(world)).info
        assert await complete(world, upload_id, listed(part)) == done
        assert (await found(world)).info == first
        _, over = await put(world)
        wrong = [CompletedPart(7, etag_of("?"))]
        assert await complete(world, upload_id, wrong) == done
        assert (await found(world)).info == over
        await world.ledger.delete(BUCKET, "k")
        assert await complete(world, upload_id, listed(part)) == done
        assert await world.ledger.head(BUCKET, "k") is None
        with pytest.raises(NoSuchUpload):
            await complete(world, upload_id, listed(part), "other")
        with pytest.raises(NoSuchUpload):
            await world.uploads.abort(upload_id, BUCKET, "k")
        world.pass_seconds(DAY_SECONDS - 60)
        await world.uploads.expire(1, 10)
        assert await complete(world, upload_id, listed(part)) == done
        world.pass_seconds(61)
        await world.uploads.expire(1, 10)
        with pytest.raises(NoSuchUpload):
            await complete(world, upload_id, listed(part))

    @ensureDeferred
    async def test_forgetting_an_upload_leaves_its_object(self, world: World) -> None:
        """The parts are the object's by then."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = [(await put_part(world, upload_id, n))[1] for n in (1, 2)]
        await complete(world, upload_id, listed(*parts))
        stored = await found(world)
        manifest = await world.ledger.parts(stored.info.object_id, 0, 20)
        world.pass_seconds(DAY_SECONDS + 1)
        await world.uploads.expire(1, 10)
        assert await found(world) == stored
        assert await world.ledger.parts(stored.info.object_id, 0, 20) == manifest
        assert await collect_all(world) == 0
        assert world.used_bytes("one") == 20

    # Abort and expiry ---

    @ensureDeferred
    async def test_abort(self, world: World) -> None:
        """Not a byte is left; a second one is told that it is gone."""
        world.set_limit("one", 0)
        upload_id, other = await create(world), await create(world)
        _, part = await put_part(world, upload_id, 1)
        await put_part(world, upload_id, 2)
        _, kept = await put_part(world, other, 1)
        await world.uploads.abort(upload_id, BUCKET, "k")
        assert await collect_all(world) == 2
        assert world.used_bytes("one") == 10
        assert await parts_of(world, other) == [kept]
        assert await parts_of(world, upload_id) == []
        with pytest.raises(NoSuchUpload):
            await world.uploads.abort(upload_id, BUCKET, "k")
        with pytest.raises(NoSuchUpload):
            await complete(world, upload_id, listed(part))
        with pytest.raises(NoSuchUpload):
            await world.uploads.find(upload_id, BUCKET, "k")

    @ensureDeferred
    async def test_expiry(self, world: World) -> None:
        """The oldest first, so many at a time, and none that is young."""
        world.set_limit("one", 0)
        old = []
        for number in range(3):
            old.append(await create(world, f"old{number}"))
            await put_part(world, old[-1], 1, 10, f"old{number}")
            world.pass_seconds(10)
        world.pass_seconds(DAY_SECONDS)
        young = await create(world)
        _, part = await put_part(world, young)
        assert await world.uploads.expire(DAY_SECONDS + 15, 10) == 2
        assert [
            each.upload_id
            for each in (
                await world.uploads.list_uploads(BUCKET, "", "", "", "", 9)
            ).uploads
        ] == [young, old[2]]
        assert await world.uploads.expire(DAY_SECONDS, 10) == 1
        assert await world.uploads.expire(DAY_SECONDS, 10) == 0
        assert await collect_all(world) == 3
        assert world.used_bytes("one") == 10
        await complete(world, young, listed(part))

    @ensureDeferred
    async def test_expiry_takes_a_batch(self, world: World) -> None:
        """The oldest of them."""
        world.set_limit("one", 0)
        made = []
        for number in range(5):
            made.append(await create(world, f"k{number}"))
            world.pass_seconds(1)
        assert [await world.uploads.expire(0.5, 2) for _ in range(4)] == [2, 2, 1, 0]
        for number, upload_id in enumerate(made):
            with pytest.raises(NoSuchUpload):
                await world.uploads.find(upload_id, BUCKET, f"k{number}")

    # Reading ---

    @ensureDeferred
    async def test_find_gives_the_first_part(self, world: World) -> None:
        """With how many there are: a long manifest is not read for a small range."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = [(await put_part(world, upload_id, n))[1] for n in (3, 5, 8)]
        await complete(world, upload_id, listed(*parts))
        stored = await found(world)
        (first,) = stored.parts
        assert (first.part_number, first.offset_bytes, stored.parts_count) == (3, 0, 3)
        object_id = stored.info.object_id
        for start, end, numbers in (
            (0, 30, [3, 5, 8]),
            (0, 1, [3]),
            (9, 10, [3]),
            (9, 11, [3, 5]),
            (10, 20, [5]),
            (10, 21, [5, 8]),
            (29, 30, [8]),
            (30, 40, []),
            (5, 5, [3]),
        ):
            window = await world.ledger.parts(object_id, start, end)
            assert [each.part_number for each in window] == numbers, (start, end)
        assert await world.ledger.parts("another", 0, 30) == ()

    @ensureDeferred
    async def test_part_range(self, world: World) -> None:
        """Parts are counted from 1 as the object has them, whatever their numbers."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = [
            (await put_part(world, upload_id, number, size))[1]
            for number, size in ((3, 10), (5, 20), (8, 0))
        ]
        await complete(world, upload_id, listed(*parts))
        info = (await found(world)).info
        for number, run in (
            (1, (0, 10)),
            (2, (10, 30)),
            (3, (30, 30)),
            (4, None),
            (10_000, None),
        ):
            answer = await world.ledger.part_range(BUCKET, "k", number)
            assert answer == PartRange(info, run, 3)
        assert await world.ledger.part_range(BUCKET, "other", 1) is None

    @ensureDeferred
    async def test_tags_come_with_the_upload(self, world: World) -> None:
        """What Create said is the object's."""
        world.set_limit("one", 0)
        upload_id = await create(world, tags={"b": "", "a": "é"})
        _, part = await put_part(world, upload_id)
        await complete(world, upload_id, listed(part))
        assert (await found(world)).info.tags == {"a": "é", "b": ""}

    @ensureDeferred
    async def test_attributes_page_through_the_parts(self, world: World) -> None:
        """Under their own numbers, with the checksums that they were sent with."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        parts = []
        for number in (2, 3, 7):
            claim = await claim_part(world, upload_id, number, 10 * number)
            checksums = {"crc32": f"{number}"} if number != 3 else {}
            etag = etag_of(claim.copy.copy_id)
            part = PartInfo(number, etag, 10 * number, checksums, WHEN)
            await world.uploads.commit_part(claim, upload_id, part, etag, None)
            parts.append(part)
        await complete(world, upload_id, listed(*parts))
        told = [
            ObjectPart(part.part_number, part.size_bytes, part.checksums)
            for part in parts
        ]
        for after, limit, expected, more in [
            (0, 1000, told, None),
            (0, 3, told, None),
            (0, 2, told[:2], 3),
            (2, 1, told[1:2], 3),
            (3, 10, told[2:], None),
            (7, 10, [], None),
            (0, 0, [], None),
        ]:
            page = await world.ledger.attributes(BUCKET, "k", after, limit)
            assert page is not None
            assert page.info == await world.ledger.head(BUCKET, "k")
            assert page.parts_count == 3
            assert (list(page.parts), page.next_marker) == (expected, more)

    @ensureDeferred
    async def test_replace_metadata(self, world: World) -> None:
        """Other headers and a new time; bytes, parts and ETag stay."""
        world.set_limit("one", 0)
        upload_id = await create(world, user_metadata={"a": "b"})
        parts = [(await put_part(world, upload_id, n))[1] for n in (1, 2)]
        await complete(world, upload_id, listed(*parts), checksums={"crc32": "A"})
        before = await found(world)
        replace = world.ledger.replace_metadata
        headers, metadata = {"expires": "0"}, {"x": "y"}
        wrong = WriteConditions(if_match=(etag_of("?"),))
        with pytest.raises(PreconditionFailed):
            await replace(before.info, "image/png", headers, metadata, wrong)
        right = WriteConditions(if_match=(before.info.etag,))
        after = await replace(before.info, "image/png", headers, metadata, right)
        assert after == await world.ledger.head(BUCKET, "k")
        assert after is not None
        assert after.last_modified >= before.info.last_modified
        assert after == evolve(
            before.info,
            content_type="image/png",
            headers=headers,
            user_metadata=metadata,
            last_modified=after.last_modified,
        )
        assert (await found(world)).parts == before.parts
        await put(world)
        now = await world.ledger.head(BUCKET, "k")
        assert await replace(before.info, None, {}, {}, ANY) is None
        assert await world.ledger.head(BUCKET, "k") == now
        await world.ledger.delete(BUCKET, "k")
        assert await replace(before.info, None, {}, {}, ANY) is None

    @ensureDeferred
    async def test_claims_of_parts_run_out(self, world: World) -> None:
        """Those of a writer that died are reaped; its upload goes on."""
        world.set_limit("one", 0)
        upload_id = await create(world)
        claim = await claim_part(world, upload_id)
        assert await world.ledger.extend([claim.copy.copy_id]) == {claim.copy.copy_id}
        world.pass_seconds(LEASE_SECONDS + 1)
        assert await world.janitor.reap(10) == 1
        assert await collect_all(world) == 0
        world.pass_seconds(LATE_SECONDS + 1)
        assert await collect_all(world) == 1
        assert world.used_bytes("one") == 0
        _, part = await put_part(world, upload_id)
        await complete(world, upload_id, listed(part))
