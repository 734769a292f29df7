"""
Uploads in the ledger: the contract, in memory and on a real server; whatever is done in
whatever order, the sums are exact; and many at once, of whom one wins.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from s3proxy.errors import (
    ClaimLost,
    EntityTooSmall,
    InsufficientStorage,
    InvalidPart,
    NoSuchUpload,
)
from s3proxy.manager.ports import CopyState
from s3proxy.model import Claim, Completed, CompletedPart, PartInfo
from s3proxy.store.janitor import Janitor
from s3proxy.store.pool import Pool
from tests.blocking import blocking, wait
from tests.contracts.ledger import (
    ANY,
    BUCKET,
    GRACE_SECONDS,
    HOLD_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    put,
)
from tests.contracts.uploads import (
    DAY_SECONDS,
    UploadsContract,
    World,
    claim_part,
    commit_part,
    complete,
    create,
    etag_of,
    listed,
    parts_of,
    put_part,
    whole_etag,
)
from tests.effort import efforts
from tests.fakes.uploads import ManifestLedger, MemoryUploads
from tests.one_copy import PostgresLedger, PostgresUploads
from tests.store.conftest import Database, MakePool
from tests.store.test_ledger_contract import MemoryWorld, PostgresWorld
from tests.store.test_races import at_once, kinds


class MemoryUploadsWorld(MemoryWorld):
    """The fake under its Clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = self.janitor = ManifestLedger(
            self.clock,
            {},
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
            late_seconds=LATE_SECONDS,
            hold_seconds=HOLD_SECONDS,
        )
        self.uploads = MemoryUploads(self.ledger)


@define(frozen=True)
class PostgresUploadsWorld(PostgresWorld):
    """The real one, where an upload's times move back as well."""

    uploads: PostgresUploads

    def pass_seconds(self, seconds: float) -> None:
        super().pass_seconds(seconds)
        self.db.sql(
            "UPDATE multipart_uploads"
            " SET created_at = created_at - make_interval(secs => %(s)s),"
            " ended_at = ended_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )


def postgres_world(db: Database, pool: Pool) -> PostgresUploadsWorld:
    """One process's view."""
    return PostgresUploadsWorld(
        db,
        PostgresLedger(pool, LEASE_SECONDS, GRACE_SECONDS),
        Janitor(pool, 0.0, LATE_SECONDS, HOLD_SECONDS),
        PostgresUploads(pool, LEASE_SECONDS, GRACE_SECONDS),
    )


class TestMemoryUploads(UploadsContract):
    """``tests.fakes.uploads``."""

    @pytest.fixture
    def world(self) -> World:
        """What the contract asks for."""
        return MemoryUploadsWorld()


class TestPostgresUploads(UploadsContract):
    """``s3proxy.store.uploads``."""

    @pytest.fixture
    def world(self, db: Database, pool: Pool) -> World:
        """What the contract asks for."""
        return postgres_world(db, pool)


# Whatever is done, in whatever order ---

KEYS = ("k", "l/m")
SIZES = st.integers(0, 40)
LEAST = 10
LIMITS = {"one": 150, "two": 100, "three": 0}


@define
class ModelUpload:
    """An open upload as a client knows it: parts by number, with ETag and size."""

    key: str
    parts: dict[int, tuple[str, int]]
    done: Completed | None = None
    is_open: bool = True


class Ledger(RuleBasedStateMachine):
    """The ledger against two dicts."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        if isinstance(self.world, PostgresUploadsWorld):
            self.world.db.clear()
        for name, limit in LIMITS.items():
            self.world.set_limit(name, limit)
        self.objects: dict[str, tuple[str, list[tuple[str, int]]]] = {}
        self.uploads: dict[str, ModelUpload] = {}
        self.claims: list[tuple[Claim, str, int]] = []
        self.names = iter(range(10**6))
        self.passed_seconds = 0.0

    def pass_seconds(self, seconds: float) -> None:
        """Time goes by. Rules stop before a day of it has: uploads stay young."""
        self.passed_seconds += seconds
        self.world.pass_seconds(seconds)

    # Uploads.

    @rule(key=st.sampled_from(KEYS))
    def create(self, key: str) -> None:
        upload_id = wait(create(self.world, key))
        assert upload_id not in self.uploads
        self.uploads[upload_id] = ModelUpload(key, {})

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), number=st.integers(1, 4), size=SIZES)
    def claim(self, data: DataObject, number: int, size: int) -> None:
        upload_id, upload = self.draw_upload(data)
        order = data.draw(st.permutations(list(LIMITS)))
        count = data.draw(st.integers(1, 3))
        work = claim_part(
            self.world, upload_id, number, size, upload.key, order[:count]
        )
        if not upload.is_open:
            with pytest.raises(NoSuchUpload):
                wait(work)
            return
        try:
            self.claims.append((wait(work), upload_id, number))
        except InsufficientStorage:
            for name in order[:count]:
                assert 0 < LIMITS[name] < self.world.used_bytes(name) + size

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def commit(self, data: DataObject) -> None:
        claim, upload_id, number = self.draw_claim(data)
        upload = self.uploads[upload_id]
        state = self.world.states().get(claim.copy.copy_id)
        name = f"part {next(self.names)}"
        work = commit_part(self.world, claim, upload_id, number, name)
        if state is not CopyState.CLAIMED:
            with pytest.raises(ClaimLost):
                wait(work)
        elif not upload.is_open:
            with pytest.raises(NoSuchUpload):
                wait(work)
            assert self.world.states()[claim.copy.copy_id] is CopyState.ABANDONED
        else:
            part = wait(work)
            upload.parts[number] = part.etag, part.size_bytes

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["release", "abandon", "late", "settle"]))
    def give_up(self, data: DataObject, how: str) -> None:
        claim, _, _ = self.draw_claim(data)
        ledger = self.world.ledger
        if how == "release":
            wait(ledger.release(claim))
        elif how == "settle":
            wait(ledger.settle(claim))
        else:
            wait(ledger.abandon(claim, landed=how == "late"))

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def complete(self, data: DataObject) -> None:
        upload_id, upload = self.draw_upload(data)
        there = list(upload.parts)
        numbers = data.draw(
            st.lists(
                st.sampled_from(there or [1]) | st.integers(1, 4),
                unique=True,
                min_size=1,
                max_size=4,
            ).map(sorted)
        )
        wrong = data.draw(st.integers(0, 12))
        chosen = [
            CompletedPart(
                number,
                upload.parts[number][0]
                if number in upload.parts and wrong != index
                else etag_of("wrong"),
            )
            for index, number in enumerate(numbers)
        ]
        work = complete(self.world, upload_id, chosen, upload.key, least=LEAST)
        if upload.done is not None:
            assert wait(work) == upload.done
            return
        if not upload.is_open:
            with pytest.raises(NoSuchUpload):
                wait(work)
            return
        bad = [
            part.part_number
            for part in chosen
            if upload.parts.get(part.part_number, ("", 0))[0] != part.etag
        ]
        small = [n for n in numbers[:-1] if n not in bad and upload.parts[n][1] < LEAST]
        if bad or small:
            with pytest.raises(InvalidPart if bad else EntityTooSmall) as caught:
                wait(work)
            assert caught.value.fields["PartNumber"] == str(min(bad or small))
            return
        upload.done = wait(work)
        upload.is_open = False
        manifest = [upload.parts[number] for number in numbers]
        assert upload.done.etag == whole_etag([etag for etag, _ in manifest])
        self.objects[upload.key] = upload.done.etag, manifest
        upload.parts = {}

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def abort(self, data: DataObject) -> None:
        upload_id, upload = self.draw_upload(data)
        work = self.world.uploads.abort(upload_id, BUCKET, upload.key)
        if upload.is_open:
            wait(work)
            upload.is_open, upload.parts = False, {}
        else:
            with pytest.raises(NoSuchUpload):
                wait(work)

    @rule(old=st.booleans())
    def expire(self, old: bool) -> None:
        open_ones = [each for each in self.uploads.values() if each.is_open]
        if not old:
            assert wait(self.world.uploads.expire(DAY_SECONDS, 100)) == 0
            return
        self.pass_seconds(2)
        assert wait(self.world.uploads.expire(1, 100)) == len(open_ones)
        for each in open_ones:
            each.is_open, each.parts = False, {}

    # Plain objects and recovery.

    @rule(key=st.sampled_from(KEYS), size=SIZES)
    def put(self, key: str, size: int) -> None:
        backends = list(LIMITS)
        _, info = wait(put(self.world, key, size, f"{next(self.names)}", backends))
        self.objects[key] = info.etag, [(info.etag, size)]

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        wait(self.world.ledger.delete(BUCKET, key))
        self.objects.pop(key, None)

    @precondition(lambda self: self.passed_seconds < DAY_SECONDS / 2)
    @rule(seconds=st.sampled_from([GRACE_SECONDS, LEASE_SECONDS, LATE_SECONDS]))
    def pass_time(self, seconds: float) -> None:
        self.pass_seconds(seconds + 1)

    @rule()
    def reap(self) -> None:
        wait(self.world.janitor.reap(100))

    @rule(backend=st.sampled_from(list(LIMITS)))
    def collect(self, backend: str) -> None:
        wait(collect(self.world, backend))

    # What is true at every moment, and in the end.

    @invariant()
    def sums_are_exact(self) -> None:
        if isinstance(self.world, PostgresUploadsWorld):
            self.world.db.check()

    @invariant()
    def what_clients_see(self) -> None:
        for key in KEYS:
            held = wait(self.world.ledger.find(BUCKET, key))
            if key not in self.objects:
                assert held is None
                continue
            etag, manifest = self.objects[key]
            assert held is not None
            assert held.info.etag == etag
            assert held.info.size_bytes == sum(size for _, size in manifest)
            assert held.parts_count == len(manifest)
            # Every part that is not empty, each with its bytes.
            parts = wait(self.world.ledger.parts(held.info.object_id, 0, 10**9))
            assert [(part.md5, part.size_bytes) for part in parts] == [
                (etag, size) for etag, size in manifest if size
            ]
            offset = 0
            for part in parts:
                assert part.offset_bytes == offset
                assert len(part.copies) == 1
                offset += part.size_bytes
        for upload_id, upload in self.uploads.items():
            parts_now = wait(parts_of(self.world, upload_id))
            assert {p.part_number: (p.etag, p.size_bytes) for p in parts_now} == (
                upload.parts
            )

    @precondition(lambda self: self.passed_seconds < DAY_SECONDS / 2)
    @rule()
    def settle(self) -> None:
        """With all claims over, rows are live objects' and open uploads' parts."""
        world = self.world
        self.pass_seconds(LEASE_SECONDS + 1)
        wait(world.janitor.reap(1000))
        for _ in range(2):
            self.pass_seconds(2 * LATE_SECONDS)
            for name in LIMITS:
                wait(collect(world, name))
        held = [size for _, manifest in self.objects.values() for _, size in manifest]
        held += [
            size for each in self.uploads.values() for _, size in each.parts.values()
        ]
        states = world.states()
        assert set(states.values()) <= {CopyState.LIVE}
        assert len(states) == len(held)
        assert sum(map(world.used_bytes, LIMITS)) == sum(held)

    def teardown(self) -> None:
        self.settle()

    # Within.

    def draw_upload(self, data: DataObject) -> tuple[str, ModelUpload]:
        # Mostly open ones.
        ids = [each for each, upload in self.uploads.items() if upload.is_open]
        if not ids or data.draw(st.integers(0, 5)) == 0:
            ids = list(self.uploads)
        upload_id = data.draw(st.sampled_from(ids))
        return upload_id, self.uploads[upload_id]

    def draw_claim(self, data: DataObject) -> tuple[Claim, str, int]:
        return data.draw(st.sampled_from(self.claims))


async def collect(world: World, backend: str) -> int:
    """One round of the collector, with a backend that confirms every delete."""
    return await world.janitor.collected(await world.janitor.collect(backend, 1000))


async def run_machine(make_world: Callable[[], World], examples: int) -> None:
    """Random sequences of everything above."""

    class Here(Ledger):
        @property
        def world(self) -> World:  # type: ignore[override]
            if not hasattr(self, "_world"):
                self._world: World = make_world()
            return self._world

    how = settings(max_examples=examples, stateful_step_count=40)
    await blocking(lambda: run_state_machine_as_test(Here, settings=how))


@efforts(few=15, many=200)
@ensureDeferred
async def test_any_sequence_in_postgres(db: Database, pool: Pool, effort: int) -> None:
    """I3, at every step; and nothing is left over in the end."""
    await run_machine(lambda: postgres_world(db, pool), effort)


@ensureDeferred
async def test_any_sequence_in_memory() -> None:
    """The fake is no more forgiving."""
    await run_machine(MemoryUploadsWorld, 50)


# Many at once ---


@pytest.fixture
def worlds(db: Database, make_pool: MakePool) -> tuple[World, World]:
    """Two processes, with 20 connections each."""
    first, second = (
        postgres_world(
            db, make_pool(db.config, max_connections=20, statement_timeout_seconds=60.0)
        )
        for _ in range(2)
    )
    first.set_limit("one", 0)
    return first, second


@ensureDeferred
async def test_the_same_part_many_times_at_once(
    db: Database, worlds: tuple[World, World]
) -> None:
    """M1: all are told 200, one is the part, the others are garbage."""
    upload_id = await create(worlds[0])
    claims = [await claim_part(worlds[0], upload_id) for _ in range(30)]
    parts = await at_once(
        *(
            commit_part(worlds[n % 2], claim, upload_id)
            for n, claim in enumerate(claims)
        )
    )
    assert kinds(parts) == {"PartInfo": 30}
    (left,) = await parts_of(worlds[0], upload_id)
    assert left in parts
    states = worlds[0].states()
    assert Counter(states.values()) == {CopyState.LIVE: 1, CopyState.GARBAGE: 29}
    (live,) = (each for each, state in states.items() if state is CopyState.LIVE)
    assert etag_of(live) == left.etag
    db.check()


@ensureDeferred
async def test_complete_at_once(db: Database, worlds: tuple[World, World]) -> None:
    """Each is answered alike, and one object was made."""
    upload_id = await create(worlds[0])
    _, part = await put_part(worlds[0], upload_id)
    answers = await at_once(
        *(complete(worlds[n % 2], upload_id, listed(part)) for n in range(20))
    )
    assert answers == [Completed(whole_etag([part.etag]))] * 20
    assert list(worlds[0].states().values()) == [CopyState.LIVE]


@ensureDeferred
async def test_complete_abort_upload_and_expiry(
    db: Database, worlds: tuple[World, World]
) -> None:
    """M3: over and over, one wins; the others find no upload; a late part goes."""
    outcomes: Counter[str] = Counter()
    for number in range(40):
        key = f"k{number}"
        upload_id = await create(worlds[0], key)
        _, part = await put_part(worlds[0], upload_id, 1, 10, key)
        late = await claim_part(worlds[0], upload_id, 1, 20, key)
        worlds[0].pass_seconds(10)
        work = {
            "complete": complete(worlds[number % 2], upload_id, listed(part), key),
            "abort": worlds[1].uploads.abort(upload_id, BUCKET, key),
            "part": commit_part(worlds[number % 2], late, upload_id),
            "expire": worlds[1].uploads.expire(5, 10),
        }
        # Whoever is sent first has the better chance.
        names = list(work)[number % 4 :] + list(work)[: number % 4]
        told = dict(zip(names, await at_once(*(work[n] for n in names)), strict=True))
        won = [
            name
            for name in ("complete", "abort", "expire")
            if not isinstance(told[name], Exception) and told[name] != 0
        ]
        info = await worlds[0].ledger.head(BUCKET, key)
        if isinstance(told["complete"], InvalidPart):
            # The part was replaced first.
            assert isinstance(told["part"], PartInfo)
        for name in ("abort", "complete"):
            if isinstance(told[name], Exception):
                assert isinstance(told[name], NoSuchUpload | InvalidPart), told
        assert len(won) <= 1, told
        assert (info is not None) == (won == ["complete"])
        if isinstance(told["part"], Exception):
            assert isinstance(told["part"], NoSuchUpload)
            assert worlds[0].states()[late.copy.copy_id] is CopyState.ABANDONED
        outcomes.update(won)
        outcomes["late" if isinstance(told["part"], Exception) else "in time"] += 1
        await worlds[0].uploads.expire(5, 10)
        db.check()
    print(dict(outcomes))  # noqa: T201
    assert outcomes["complete"] and outcomes["late"] and outcomes["in time"]
    while await collect(worlds[0], "one"):
        pass
    assert worlds[0].used_bytes("one") == 10 * outcomes["complete"]


@ensureDeferred
async def test_completes_puts_and_deletes_of_one_key(
    db: Database, worlds: tuple[World, World]
) -> None:
    """Nobody waits for ever, and what is left is one whole version, or none."""
    for _ in range(2):
        work: list[Coroutine[Any, Any, Any]] = []
        for number in range(10):
            world = worlds[number % 2]
            upload_id = await create(world)
            parts = [(await put_part(world, upload_id, n))[1] for n in (1, 2)]
            # Twice: the second one may come while the first holds its locks.
            work += [complete(w, upload_id, listed(*parts)) for w in worlds]
            work.append(put(world, etag=f"{number}"))
            work.append(world.ledger.delete(BUCKET, "k"))
        results = await at_once(*work)
        assert kinds(results) == {"Completed": 20, "tuple": 10, "Deleted": 10}
        db.check()
        stored = await worlds[0].ledger.find(BUCKET, "k")
        live = [s for s in worlds[0].states().values() if s is CopyState.LIVE]
        assert len(live) == (stored.parts_count if stored else 0)


@ensureDeferred
async def test_expiry_by_two_processes(
    db: Database, worlds: tuple[World, World]
) -> None:
    """Each upload is aborted once, whoever takes it."""
    for number in range(60):
        upload_id = await create(worlds[0], f"k{number}")
        await put_part(worlds[0], upload_id, 1, 10, f"k{number}")
    worlds[0].pass_seconds(10)
    counts = await at_once(*(worlds[n % 2].uploads.expire(5, 7) for n in range(12)))
    assert sum(counts) + await worlds[0].uploads.expire(5, 100) == 60
    assert await collect(worlds[0], "one") == 60
    assert worlds[0].used_bytes("one") == 0


# Size ---


@ensureDeferred
async def test_ten_thousand_parts(db: Database, pool: Pool) -> None:
    """Complete takes no time to speak of, again and again on one connection."""
    world = postgres_world(db, pool)
    world.set_limit("one", 0)
    times = []
    # The second one also turns the first one's parts to garbage.
    for _ in range(2):
        upload_id = await create(world)
        parts = fill_upload(db, upload_id, 10_000, 5 * 1024**3)
        begin = time.monotonic()
        done = await world.uploads.complete(upload_id, BUCKET, "k", parts, ANY)
        times.append(time.monotonic() - begin)
        assert done.etag == whole_etag([each.etag for each in parts])
    print(" ".join(f"{each:.2f}" for each in times), "s")  # noqa: T201
    assert max(times) < 10
    info = await world.ledger.head(BUCKET, "k")
    assert info is not None
    assert info.size_bytes == 10_000 * 5 * 1024**3
    window = await world.ledger.parts(info.object_id, 5 * 1024**4, 5 * 1024**4 + 1)
    assert [each.part_number for each in window] == [1025]


@pytest.mark.parametrize("how", ["complete", "abort", "delete", "put"])
@ensureDeferred
async def test_a_large_one_after_many_small_ones(
    db: Database, make_pool: MakePool, how: str
) -> None:
    """What PostgreSQL has planned for few parts is not what it does with many."""
    world = postgres_world(db, make_pool(db.config, max_connections=1))
    world.set_limit("one", 0)
    tables = "multipart_parts, object_parts, object_locations"
    db.sql(f"ANALYZE {tables}")
    for count in [5] * 12 + [10_000]:
        upload_id = await create(world)
        parts = fill_upload(db, upload_id, count, 5 * 1024**2)
        begin = time.monotonic()
        if how == "abort":
            await world.uploads.abort(upload_id, BUCKET, "k")
        else:
            await complete(world, upload_id, parts)
            if how != "complete":
                begin = time.monotonic()
            if how == "delete":
                await world.ledger.delete(BUCKET, "k")
            elif how == "put":
                await put(world)
    took = time.monotonic() - begin
    # Or the checks at the end would take as long as what is tested here.
    db.sql(f"ANALYZE {tables}")
    print(f"{took:.2f} s")  # noqa: T201
    assert took < 5


def fill_upload(
    db: Database, upload_id: str, count: int, size_bytes: int
) -> list[CompletedPart]:
    """Parts 1 to *count*, as UploadPart would have left them."""
    db.sql(
        """
        WITH new AS MATERIALIZED (
            SELECT n, gen_random_uuid()::text AS id
              FROM generate_series(1, %(count)s) AS n),
        parts AS (
            INSERT INTO multipart_parts (upload_id, part_number, part_id, etag,
                                         size_bytes)
            SELECT %(upload_id)s, n, id, md5(n::text), %(size)s FROM new)
        INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,
                                      bucket, object_key, size_bytes, state)
        SELECT id, id, 'one', id, %(bucket)s, 'k', %(size)s, 'live' FROM new
        """,
        {"upload_id": upload_id, "count": count, "size": size_bytes, "bucket": BUCKET},
    )
    return [CompletedPart(n, etag_of(str(n))) for n in range(1, count + 1)]
