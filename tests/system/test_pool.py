"""
Replication and rebalancing over a real ledger and backends in memory: what they do,
what they refuse, and that a storm of writes and deletes leaves nothing behind.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from io import StringIO
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from s3proxy.backend.breaker import Patience
from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.commands import rebuild
from s3proxy.commands.context import Context
from s3proxy.config import DatabaseConfig
from s3proxy.errors import (
    BackendUnavailable,
    InsufficientStorage,
    S3Error,
    ServiceUnavailable,
    StoreUnavailable,
)
from s3proxy.jobs.collecting import Collector
from s3proxy.jobs.events import (
    RebalanceRound,
    ReplicationRound,
    ScrubRound,
    SweepRound,
)
from s3proxy.jobs.manifesting import Manifester
from s3proxy.jobs.pacing import Pace
from s3proxy.jobs.rebalancing import Rebalancer
from s3proxy.jobs.replicating import NAMED, Replicator
from s3proxy.manager.leases import Leases
from s3proxy.manager.manifesting import Manifests
from s3proxy.manager.objects import Objects
from s3proxy.manager.replicating import Replicas
from s3proxy.manager.routing import Router
from s3proxy.manager.uploads import Uploads
from s3proxy.manager.writing import Writer
from s3proxy.model import CompletedPart, CopyCount
from s3proxy.plan.adoption import Adopted
from s3proxy.plan.placement import Strategy, Target
from s3proxy.plan.rebalance import Balance
from s3proxy.s3.operation import PutObject
from s3proxy.s3.uploads import (
    CompleteMultipartUpload,
    CreateMultipartUpload,
    UploadPart,
)
from s3proxy.store.adoption import Adoption
from s3proxy.store.checks import Checks
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.janitor import Janitor
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.manifests import PostgresManifests
from s3proxy.store.moving import PostgresMoving
from s3proxy.store.pool import Pool
from s3proxy.store.rebuild import Rebuild
from s3proxy.store.replicas import PostgresReplicas
from s3proxy.store.schema import schema_text
from s3proxy.store.statements import statements
from tests.fakes.backend import Kept, MemoryBackend
from tests.manager.conftest import Pieces
from tests.one_copy import PostgresLedger, PostgresUploads
from tests.servers import PostgresServer
from tests.store.conftest import until

SMALL, LARGE = 1000, 2 * 1024 * 1024
NAMES = ("one", "two", "three")


class Told:
    """Keeps what jobs tell of their rounds."""

    def __init__(self) -> None:
        self.replications: list[ReplicationRound] = []
        self.rebalances: list[RebalanceRound] = []
        self.sweeps: list[SweepRound] = []
        self.scrubs: list[ScrubRound] = []

    def replicated(self, done: ReplicationRound) -> None:
        """See :class:`~s3proxy.jobs.events.PoolEvents`."""
        self.replications.append(done)

    def rebalanced(self, done: RebalanceRound) -> None:
        """See :class:`~s3proxy.jobs.events.PoolEvents`."""
        self.rebalances.append(done)

    def swept(self, done: SweepRound) -> None:
        """See :class:`~s3proxy.jobs.events.PoolEvents`."""
        self.sweeps.append(done)

    def scrubbed(self, done: ScrubRound) -> None:
        """See :class:`~s3proxy.jobs.events.PoolEvents`."""
        self.scrubs.append(done)


class Breaking:
    """A ledger that is away once some of its calls were made so often."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.left: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self.left:
            if not self.left[name]:
                raise StoreUnavailable("away")
            self.left[name] -= 1
        return getattr(self._inner, name)


class Proxy:
    """A process without a front door. Grace and lateness are none."""

    def __init__(self, server: PostgresServer, config: DatabaseConfig) -> None:
        self.connection = server.connect(config.database)
        self.sql(schema_text())
        arguments = connection_arguments(config, statement_timeout_seconds=30.0)
        self.pool = Pool(arguments, reactor)
        self.ledger = PostgresLedger(self.pool, 600.0, 0.0)
        self.backends = {name: MemoryBackend(name) for name in NAMES}
        for name in NAMES:
            self.limit(name, 0)
        self.clock = Clock()
        self.told = Told()
        self.guarded = {
            name: GuardedBackend(each, self.clock, self.clock.seconds)
            for name, each in self.backends.items()
        }
        self.health = Health(self.guarded)
        self.targets = [Target(name) for name in NAMES]
        self.router = Router(self.targets, "pack", self.health)
        leases = Leases(self.ledger, self.clock.seconds)
        self.writer = Writer(
            self.ledger,
            leases,
            self.guarded,
            self.router,
            "installation",
            self.clock.seconds,
            lambda backend: None,
        )
        self.objects = Objects(
            self.ledger, self.guarded, self.writer, self.clock, 0.0, self.health
        )
        self.upload_ledger = PostgresUploads(self.pool, 600.0, 0.0)
        self.uploads = Uploads(self.upload_ledger, self.writer, "installation")
        self.replicas = Replicas(
            PostgresReplicas(self.pool, 600.0, 0.0, 60.0),
            self.guarded,
            self.writer,
            "installation",
            self.health,
        )
        self.collector = Collector(
            Janitor(self.pool, 0.0, 0.0), self.backends, lambda: False
        )

    def replicator(self, factor: int) -> Replicator:
        """A worker."""
        return Replicator(
            self.replicas, factor, 3, lambda: NAMES, self.clock.seconds, self.told
        )

    def rebalancer(
        self,
        strategy: Strategy,
        *,
        threshold: float = 0.1,
        process: str = "me",
        bytes_per_second: int | None = None,
    ) -> Rebalancer:
        """A worker."""
        return Rebalancer(
            PostgresMoving(self.pool),
            self.replicas,
            PostgresJobs(self.pool, process),
            Pace(self.clock, self.clock.seconds, bytes_per_second),
            lambda fills: Balance(
                self.router.targets, fills, strategy, threshold, self.health.of_writes
            ),
            3,
            60.0,
            strategy,
            self.clock.seconds,
            self.told,
        )

    def manifester(self) -> Manifester:
        """A worker."""
        ledger = PostgresManifests(self.pool, 600.0, 60.0)
        return Manifester(Manifests(ledger, self.writer, "installation"))

    def sql(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """One statement, past everything."""
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def limit(self, name: str, limit_bytes: int) -> None:
        """A backend's limit."""
        self.sql(
            "INSERT INTO backend_quotas (backend_name, bytes_limit) VALUES (%s, %s) "
            "ON CONFLICT (backend_name) DO UPDATE SET bytes_limit = %s",
            (name, limit_bytes, limit_bytes),
        )

    def due(self) -> None:
        """What was held back may be taken now."""
        self.sql("UPDATE object_parts SET replica_due_at = now() - interval '1 hour'")

    async def put(self, key: str, data: bytes, **more: Any) -> None:
        """PUT."""
        pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
        op = PutObject("b", key, len(data), **more)
        await self.objects.put(op, Pieces(*pieces), sha256=None)

    @contextmanager
    def quorum(self, least: int, most: int) -> Iterator[None]:
        """Bodies that begin meanwhile go to so many backends at once."""
        before, self.writer._count = self.writer._count, CopyCount(least, most)
        yield
        self.writer._count = before

    async def get(self, key: str) -> bytes:
        """GET."""
        stored = await self.objects.find("b", key)
        reader = await self.objects.open(stored, 0, stored.info.size_bytes)
        data = b""
        while piece := await reader.read():
            data += piece
        return data

    async def put_upload(self, key: str, *bodies: bytes) -> None:
        """A multipart upload, any part of any size."""
        upload_id = await self.uploads.create(CreateMultipartUpload("b", key))
        parts = []
        for number, data in enumerate(bodies, 3):
            op = UploadPart("b", key, upload_id, number, len(data))
            info = await self.uploads.put_part(op, Pieces(data), sha256=None)
            parts.append(CompletedPart(number, info.etag))
        await self.upload_ledger.complete(
            upload_id,
            "b",
            key,
            parts,
            CompleteMultipartUpload("b", key, upload_id).conditions,
            least_part_bytes=0,
        )

    async def rebuild(self) -> str:
        """``sync --rebuild``, which finds nothing wrong; its output."""
        context = Context(
            Checks(self.pool),
            Adoption(self.pool),
            Rebuild(self.pool, 0.0),
            self.backends,
            "installation",
            ("b",),
            self.clock,
        )
        out = StringIO()
        code = await rebuild.run(
            context, backends=(), installations=(), dry_run=False, out=out
        )
        assert code == 0, out.getvalue()
        return out.getvalue()

    def copies(self, *, live: bool = True) -> Counter[str]:
        """Copies on each backend."""
        state = "live" if live else "garbage"
        return Counter(
            str(name)
            for (name,) in self.sql(
                f"SELECT backend_name FROM object_locations WHERE state = '{state}'"
            )
        )

    async def settle(self, leaving: Mapping[str, Sequence[str]] | None = None) -> None:
        """
        Collect all, and look whether ledger and backends agree.

        :param leaving: Keys on backends that are nobody's.
        """
        while self.sql("SELECT 1 FROM object_locations WHERE state <> 'live' LIMIT 1"):
            self.sql(
                "UPDATE object_locations SET due_at = now() - interval '1 hour' "
                "WHERE state <> 'live'"
            )
            await self.collector.round()
        found: dict[str, dict[str, int]] = {name: {} for name in NAMES}
        for name, key, size in self.sql(
            "SELECT backend_name, backend_key, size_bytes FROM object_locations"
        ):
            found[name][key] = size
        assert found == {
            name: {
                key: len(kept.data)
                for key, kept in each.objects.items()
                if key not in (leaving or {}).get(name, ())
            }
            for name, each in self.backends.items()
        }
        for check in ("unreadable_objects", "strays", "miscounted_parts"):
            assert self.sql(statements()[check]) == []
        for name, used, _limit, summed, *_ in self.sql(statements()["sums"]):
            assert used == summed, name


@pytest.fixture
def proxy(postgres: PostgresServer, database: DatabaseConfig) -> Iterator[Proxy]:
    """Fresh."""
    made = Proxy(postgres, database)
    yield made
    made.pool.close()
    made.connection.close()


# Replication ---


@ensureDeferred
async def test_every_part_gets_its_copies(proxy: Proxy) -> None:
    """Plain objects, large ones, parts of uploads; each describes itself."""
    bodies = {"plain": b"x" * SMALL, "large": b"y" * LARGE, "empty": b""}
    for key, data in bodies.items():
        await proxy.put(key, data, content_type="text/plain", user_metadata={"a": "b"})
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * SMALL)
    proxy.limit("three", 10 * SMALL)
    done = await proxy.replicator(2).round()
    assert (done.made, done.failed, done.removed) == (5, 0, 0)
    assert proxy.copies() == {"one": 5, "two": 5}
    one, two = proxy.backends["one"].objects, proxy.backends["two"].objects

    def told(objects: dict[str, Any]) -> list[Any]:
        return sorted(
            (kept.data, sorted(kept.headers.items())) for kept in objects.values()
        )

    assert told(one) == told(two)
    assert not set(one) & set(two)
    assert sorted(key[-6:] for key in two if key.startswith("upload~")) == [
        ".00003",
        ".00004",
    ]
    for name in ("one", "two"):
        for other in NAMES:
            proxy.backends[other].is_down = other != name
        for key, data in bodies.items():
            assert await proxy.get(key) == data
        assert await proxy.get("upload") == b"1" * SMALL + b"2" * SMALL
    for each in proxy.backends.values():
        each.is_down = False
    assert str(await proxy.replicator(2).round()).startswith("0 copies made")
    # More, where there is room; then fewer, from the last backends.
    proxy.clock.advance(Patience().longest_wait_seconds)
    proxy.due()
    done = await proxy.replicator(3).round()
    assert (done.made, done.failed) == (4, 1)
    assert proxy.copies() == {"one": 5, "two": 5, "three": 4}
    done = await proxy.replicator(1).round()
    assert done.removed == 9
    assert proxy.copies() == {"one": 5}
    await proxy.settle()


@ensureDeferred
async def test_one_backend_is_dead(proxy: Proxy) -> None:
    """Copies go to the others; with too few of them it is tried until it is back."""
    await proxy.put("k", b"x" * SMALL)
    proxy.backends["two"].is_down = True
    await proxy.replicator(2).round()
    assert proxy.copies() == {"one": 1, "three": 1}
    with capturedLogs():
        done = await proxy.replicator(3).round()
        assert (done.made, done.failed) == (0, 0)  # Its hold is not over.
        proxy.due()
        done = await proxy.replicator(3).round()
    assert (done.made, done.failed) == (0, 1)
    proxy.backends["two"].is_down = False
    proxy.due()
    done = await proxy.replicator(3).round()
    assert (done.made, done.failed) == (1, 0)
    await proxy.settle()


@ensureDeferred
async def test_no_room_for_a_copy(proxy: Proxy) -> None:
    """It is told once, and made when there is."""
    for key in "abc":
        await proxy.put(key, b"x" * SMALL)
    proxy.limit("two", 1)
    proxy.limit("three", 1)
    replicator = proxy.replicator(2)
    with capturedLogs() as log:
        done = await replicator.round()
        assert (done.made, done.failed) == (0, 3)
        proxy.due()
        await replicator.round()
    assert len([event for event in log if "too few copies" in event["log_format"]]) == 1
    proxy.limit("two", 0)
    proxy.due()
    assert (await replicator.round()).made == 3
    await proxy.settle()
    assert proxy.told.replications == [
        ReplicationRound(0.0, True, failed=3, pending=3),
        ReplicationRound(0.0, True, failed=3, pending=3),
        ReplicationRound(0.0, True, made=3, bytes_made=3 * SMALL, pending=0),
    ]


@ensureDeferred
async def test_a_round_that_breaks_off(proxy: Proxy) -> None:
    """What it did before is told; how much is left, nobody knows."""
    for key in "abcd":
        await proxy.put(key, b"x" * SMALL)

    ledger = proxy.replicas._ledger = Breaking(proxy.replicas._ledger)
    ledger.left["take"] = 1
    with pytest.raises(StoreUnavailable):
        await proxy.replicator(2).round()
    assert proxy.told.replications == [
        ReplicationRound(0.0, False, made=3, bytes_made=3 * SMALL)
    ]
    proxy.router.targets = [Target(name) for name in reversed(NAMES)]
    ledger.left["find"] = 0
    with pytest.raises(StoreUnavailable):
        await proxy.rebalancer("pack").round()
    assert proxy.told.rebalances == [RebalanceRound(0.0, False, "pack")]


@ensureDeferred
async def test_what_cannot_be_copied_does_not_hold_up_the_rest(proxy: Proxy) -> None:
    """Many older parts are on a dead backend alone; and the log is not flooded."""
    for number in range(2 * NAMED):
        await proxy.put(f"old{number}", b"x" * SMALL)
    proxy.backends["one"].is_down = True
    for key in "ab":
        await proxy.put(key, b"y" * SMALL)
    assert proxy.copies() == {"one": 2 * NAMED, "two": 2}
    with capturedLogs() as log:
        done = await proxy.replicator(2).round()
    assert (done.made, done.failed) == (2, 2 * NAMED)
    assert proxy.copies() == {"one": 2 * NAMED, "two": 2, "three": 2}
    said = [
        event["log_format"] for event in log if "no copy made" in event["log_format"]
    ]
    assert len(said) == NAMED


@ensureDeferred
async def test_a_source_with_other_bytes(proxy: Proxy) -> None:
    """R3: nothing of it is committed, and another copy is not taken for it."""
    await proxy.put("k", b"x" * SMALL)
    (kept,) = proxy.backends["one"].objects.values()
    kept.data = b"y" * SMALL
    with capturedLogs() as log:
        done = await proxy.replicator(2).round()
    assert (done.made, done.failed) == (0, 1)
    assert any("no copy made" in event["log_format"] for event in log)
    assert proxy.copies() == {"one": 1}
    assert not proxy.backends["two"].objects
    kept.data = b"x" * SMALL
    await proxy.settle()


@pytest.mark.parametrize("size", [SMALL, LARGE])
@ensureDeferred
async def test_overwritten_while_it_is_copied(proxy: Proxy, size: int) -> None:
    """R1: the copy is given up, not the object; the new one gets its own."""
    await proxy.put("k", b"x" * size)
    go_on = proxy.backends["two"].hold("finish")
    reached = proxy.backends["two"].reached("finish")
    work = Deferred.fromCoroutine(proxy.replicator(2).round())
    await reached
    await proxy.put("k", b"y" * size)
    go_on()
    assert (await work).made == 1
    await proxy.settle()
    assert proxy.copies() == {"one": 1, "two": 1}
    for each in proxy.backends.values():
        assert all(kept.data == b"y" * size for kept in each.objects.values())


@ensureDeferred
async def test_a_large_copy_fails_and_is_made_later(proxy: Proxy) -> None:
    """What was sent is deleted."""
    await proxy.put("k", b"x" * LARGE)
    proxy.backends["two"].fail("finish", BackendUnavailable("two", "reset"))
    with capturedLogs():
        done = await proxy.replicator(2).round()
    assert (done.made, done.failed) == (0, 1)
    proxy.due()
    assert (await proxy.replicator(2).round()).made == 1
    await proxy.settle()
    assert proxy.copies().total() == 2


@ensureDeferred
async def test_a_write_that_waits_for_its_copies(proxy: Proxy) -> None:
    """There is nothing left to do for the job; each backend alone has everything."""
    with proxy.quorum(2, 2):
        await proxy.put("small", b"x" * SMALL)
        await proxy.put("large", b"y" * LARGE)
        await proxy.put_upload("upload", b"1" * SMALL, b"2" * SMALL)
        await proxy.put("small", b"z" * SMALL)
        proxy.backends["two"].fail("write", BackendUnavailable("two", "reset"))
        with capturedLogs(), pytest.raises(ServiceUnavailable):
            await proxy.put("large", b"w" * LARGE)
    assert proxy.copies() == {"one": 4, "two": 4}
    assert str(await proxy.replicator(2).round()).startswith("0 copies made")
    await proxy.settle()
    for dead in ("one", "two"):
        proxy.backends[dead].is_down = True
        assert await proxy.get("small") == b"z" * SMALL
        assert await proxy.get("large") == b"y" * LARGE
        assert await proxy.get("upload") == b"1" * SMALL + b"2" * SMALL
        proxy.backends[dead].is_down = False
        proxy.clock.advance(Patience().longest_wait_seconds)


@ensureDeferred
async def test_one_of_three_is_lost(proxy: Proxy) -> None:
    """The write is done with two of them, and the job makes the third copy."""
    with proxy.quorum(2, 3), capturedLogs():
        proxy.backends["two"].fail("finish", BackendUnavailable("two", "reset"))
        await proxy.put("k", b"x" * LARGE)
    assert proxy.copies() == {"one": 1, "three": 1}
    assert (await proxy.replicator(3).round()).made == 1
    await proxy.settle()
    assert proxy.copies() == {"one": 1, "two": 1, "three": 1}


# Rebalancing ---


@ensureDeferred
async def test_spread(proxy: Proxy) -> None:
    """Until the difference is small; every object reads all the while."""
    for name in NAMES:
        proxy.limit(name, 20 * SMALL)
    for number in range(12):
        await proxy.put(f"k{number}", bytes([number]) * SMALL)
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * SMALL)
    assert proxy.copies() == {"one": 14}
    done = await proxy.rebalancer("spread").round()
    assert str(done) == "8 copies moved, 8000 bytes"
    assert proxy.copies() == {"one": 6, "two": 4, "three": 4}
    await proxy.settle()
    for number in range(12):
        assert await proxy.get(f"k{number}") == bytes([number]) * SMALL
    assert await proxy.get("upload") == b"1" * SMALL + b"2" * SMALL
    assert str(await proxy.rebalancer("spread").round()) == "0 copies moved, 0 bytes"
    for number in range(12):
        await proxy.objects.delete("b", f"k{number}")
    await proxy.objects.delete("b", "upload")
    await proxy.settle()
    # To move it would make the other backend the fuller one.
    await proxy.put("large", b"l" * 10 * SMALL)
    await proxy.rebalancer("spread").round()
    assert [
        (each.moved, each.bytes_moved, each.failed, each.skipped)
        for each in proxy.told.rebalances
    ] == [(8, 8 * SMALL, 0, None), (0, 0, 0, "threshold"), (0, 0, 0, "empty_plan")]


@ensureDeferred
async def test_pack(proxy: Proxy) -> None:
    """The first is filled, but for a tenth; no backend gets a second copy of a part."""
    proxy.limit("one", 1)
    for number in range(6):
        await proxy.put(f"k{number}", bytes([number]) * SMALL)
    await proxy.replicator(2).round()
    assert proxy.copies() == {"two": 6, "three": 6}
    proxy.limit("one", 5 * SMALL)
    await proxy.rebalancer("pack").round()
    await proxy.settle()
    assert proxy.copies()["one"] == 4
    assert proxy.sql(
        "SELECT count(*), min(live_copies), max(live_copies) FROM object_parts"
    ) == [(6, 2, 2)]


@ensureDeferred
async def test_a_move_that_fails_goes_on_with_the_next(proxy: Proxy) -> None:
    """And nothing is lost."""
    for number in range(4):
        await proxy.put(f"k{number}", bytes([number]) * SMALL)
    proxy.router.targets = proxy.targets = [Target("two"), Target("one")]
    proxy.backends["two"].fail("open_put", BackendUnavailable("two", "x"), None, None)
    with capturedLogs():
        done = await proxy.rebalancer("pack").round()
    assert str(done) == "3 copies moved, 3000 bytes, 1 failed"
    await proxy.settle()
    for number in range(4):
        assert await proxy.get(f"k{number}") == bytes([number]) * SMALL


@ensureDeferred
async def test_moves_keep_to_their_pace(proxy: Proxy) -> None:
    """A copy is not committed before its bytes may have gone."""
    await proxy.put("k", b"x" * SMALL)
    proxy.router.targets = [Target("two"), Target("one")]
    rebalancer = proxy.rebalancer("pack", bytes_per_second=SMALL // 2)
    work = Deferred.fromCoroutine(rebalancer.round())
    await until(lambda: bool(proxy.clock.getDelayedCalls()))
    proxy.clock.advance(1.9)
    assert (proxy.copies(), work.called) == ({"one": 1}, False)
    proxy.clock.advance(0.1)
    assert str(await work) == "1 copies moved, 1000 bytes"
    assert proxy.told.rebalances == [
        RebalanceRound(2.0, True, "pack", moved=1, bytes_moved=SMALL)
    ]


@ensureDeferred
async def test_one_process_at_a_time(proxy: Proxy) -> None:
    """The other says so; one that died is no hindrance for long."""
    await proxy.put("k", b"x" * SMALL)
    proxy.router.targets = [Target("two"), Target("one")]
    go_on = proxy.backends["two"].hold("finish")
    reached = proxy.backends["two"].reached("finish")
    first = Deferred.fromCoroutine(proxy.rebalancer("pack", process="first").round())
    await reached
    second = proxy.rebalancer("pack", process="second")
    assert str(await second.round()) == "another process is at it"
    go_on()
    assert str(await first) == "1 copies moved, 1000 bytes"
    proxy.sql("UPDATE jobs SET taken_by = 'dead', taken_until = now()")
    assert str(await second.round()) == "0 copies moved, 0 bytes"


# What sync took in ---


async def adopt(proxy: Proxy, key: str, data: bytes, etag: str | None = None) -> None:
    """It was on ``one`` before; with *etag*, in several parts."""
    backend = proxy.backends["one"]
    made = etag or md5(data).hexdigest()
    backend.objects[key] = Kept(data, {"content-type": "text/x"}, made)
    found = await backend.inspect(key)
    outcome = await Adoption(proxy.pool).adopt("one", "b", [found])
    assert outcome == {key: Adopted.IMPORTED}


def wishes(proxy: Proxy) -> list[str]:
    """Keys whose manifest is to be written."""
    return [
        str(key)
        for (key,) in proxy.sql(
            "SELECT object_key FROM objects WHERE manifest_wanted_at IS NOT NULL "
            "ORDER BY 1"
        )
    ]


@ensureDeferred
async def test_copies_of_what_was_taken_in(proxy: Proxy) -> None:
    """Without an MD5 of the whole, too; but not of what has changed there since."""
    await adopt(proxy, "plain", b"x" * SMALL)
    await adopt(proxy, "parts", b"y" * SMALL, "0123-2")
    await adopt(proxy, "changed", b"z" * SMALL, "4567-2")
    proxy.backends["one"].objects["changed"].etag = "89ab-2"
    with capturedLogs():
        done = await proxy.replicator(2).round()
    assert (done.made, done.failed) == (2, 1)
    assert proxy.copies() == {"one": 3, "two": 2}
    # A copy of ours has an MD5 for an ETag, so that nothing else tells this one.
    assert wishes(proxy) == ["parts"]
    proxy.backends["one"].is_down = True
    for key, data in (("plain", b"x"), ("parts", b"y")):
        assert await proxy.get(key) == data * SMALL
        assert (await proxy.objects.head("b", key)).content_type == "text/x"
    proxy.backends["one"].is_down = False
    # What surplus goes first is the last backend's: the client's own keys stay.
    assert (await proxy.replicator(1).round()).removed == 2
    await proxy.objects.delete("b", "changed")
    await proxy.settle(leaving={"one": ["changed"]})
    assert sorted(proxy.backends["one"].objects) == ["changed", "parts", "plain"]


@ensureDeferred
async def test_moved_and_then_the_ledger_is_lost(proxy: Proxy) -> None:
    """The client's key goes; what the ledger knew of it a rebuild finds."""
    await adopt(proxy, "plain", b"x" * SMALL)
    await adopt(proxy, "parts", b"y" * SMALL, "0123-2")
    proxy.router.targets = proxy.targets = [Target("two"), Target("one")]
    assert str(await proxy.rebalancer("pack").round()) == "2 copies moved, 2000 bytes"
    assert wishes(proxy) == ["parts"]
    assert await proxy.manifester().round() == 1
    assert await proxy.manifester().round() == 0
    await proxy.settle()
    assert not proxy.backends["one"].objects
    before = {key: await proxy.objects.head("b", key) for key in ("parts", "plain")}
    assert before["parts"].etag == "0123-2"
    assert (await proxy.replicator(2).round()).made == 2
    assert wishes(proxy) == []
    proxy.sql("DELETE FROM objects; DELETE FROM object_parts")
    proxy.sql("DELETE FROM object_locations")
    await proxy.rebuild()
    assert await proxy.get("plain") == b"x" * SMALL
    assert await proxy.get("parts") == b"y" * SMALL
    for key, info in before.items():
        now = await proxy.objects.head("b", key)
        assert (now.etag, now.content_type) == (info.etag, info.content_type)
    assert proxy.sql("SELECT DISTINCT live_copies FROM object_parts") == [(2,)]
    await proxy.settle()


# A storm ---


@ensureDeferred
async def test_a_storm(proxy: Proxy) -> None:
    """
    Overwrites, deletes and uploads while two replicators and two rebalancers work at
    once: what was acknowledged is there, and in the end each part has its copies.
    """
    chosen = random.Random(5)
    keys = [f"k{number}" for number in range(6)]
    held: dict[str, bytes | None] = dict.fromkeys(keys)
    over = False

    async def write(key: str) -> None:
        for number in range(12):
            what = chosen.choice(("put", "put", "large", "upload", "delete"))
            data = bytes([number]) * chosen.choice((0, 1, SMALL))
            try:
                if what == "delete":
                    await proxy.objects.delete("b", key)
                    held[key] = None
                elif what == "upload":
                    await proxy.put_upload(key, data, b"more")
                    held[key] = data + b"more"
                else:
                    data = data if what == "put" else bytes([number]) * LARGE
                    # Some wait for two copies, some for none but their own.
                    with proxy.quorum(*chosen.choice(((1, 1), (2, 2), (2, 3)))):
                        putting = Deferred.fromCoroutine(proxy.put(key, data))
                    await putting
                    held[key] = data
            except InsufficientStorage:
                pass
            expected = held[key]
            if expected is not None:
                assert await proxy.get(key) == expected

    async def work(worker: Any) -> None:
        while not over:
            proxy.due()
            await worker.round()
            await proxy.collector.round()

    proxy.limit("one", 6 * LARGE)
    with capturedLogs():
        workers = [
            Deferred.fromCoroutine(work(worker))
            for worker in (
                proxy.replicator(2),
                proxy.replicator(2),
                proxy.rebalancer("spread", threshold=0.05, process="a"),
                proxy.rebalancer("pack", process="a"),
            )
        ]
        outcomes = await DeferredList(
            [Deferred.fromCoroutine(write(key)) for key in keys], consumeErrors=True
        )
        over = True
        outcomes += await DeferredList(workers, consumeErrors=True)
        for good, outcome in outcomes:
            if not good:
                outcome.raiseException()
        await proxy.settle()
        proxy.due()
        await proxy.replicator(2).round()
    await proxy.settle()
    for key, data in held.items():
        if data is None:
            with pytest.raises(S3Error):
                await proxy.get(key)
        else:
            assert await proxy.get(key) == data
    assert {
        count for (count,) in proxy.sql("SELECT DISTINCT live_copies FROM object_parts")
    } <= {2}
    # Any one of them may die now.
    for dead in NAMES:
        proxy.backends[dead].is_down = True
        for key, data in held.items():
            if data is not None:
                assert await proxy.get(key) == data
        proxy.backends[dead].is_down = False
        proxy.clock.advance(Patience().longest_wait_seconds)
