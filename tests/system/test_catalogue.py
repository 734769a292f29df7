"""
Backups and restores over a real ledger and backends in memory: an empty database gets
back what another one held, and what it must not get, or must not believe, stays out.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from s3proxy.commands import backup, restore
from s3proxy.errors import BackendRefused, ConfigError, InsufficientStorage
from s3proxy.jobs.backing_up import NAME, ScheduledBackup
from s3proxy.manager.backing_up import Backups
from s3proxy.model import CopyCount
from s3proxy.plan.catalogue import BUCKET, PREFIX, TABLES, CatalogueError
from s3proxy.s3.uploads import CreateMultipartUpload, UploadPart
from s3proxy.store.catalogue import Catalogues
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.statements import statements
from s3proxy.store.status import Status
from s3proxy.store.sweeping import PostgresSweeping
from tests.manager.conftest import Pieces
from tests.servers import PostgresServer
from tests.system import test_draining as draining
from tests.system.test_pool import LARGE, SMALL, Proxy
from tests.system.test_pool import proxy as made_proxy  # noqa: F401  a fixture

_AN_HOUR_LATER = "UPDATE objects SET last_modified = last_modified - interval '1 hour'"

#: Tables that a catalogue leaves out: what is of the moment, or of one server.
LEFT_OUT = {"installation", "jobs", "read_pins", "rebuild_found", "scrubs", "traffic"}


@pytest.fixture
def proxy(made_proxy: Proxy) -> Proxy:  # noqa: F811
    """Whose backend objects are this ledger's."""
    made_proxy.sql("UPDATE installation SET installation_id = 'installation'")
    return made_proxy


@pytest.fixture
def other(postgres: PostgresServer, proxy: Proxy) -> Iterator[Proxy]:
    """An empty database before the same backends."""
    config = postgres.create_database()
    made = Proxy(postgres, config)
    for name, each in proxy.backends.items():
        made.backends[name].objects = each.objects
    yield made
    made.pool.close()
    made.connection.close()
    postgres.drop_database(config)


def backups(proxy: Proxy, keep: int = 7, wanted: int = 2) -> Backups:
    return Backups(
        Catalogues(proxy.pool),
        proxy.ledger,
        proxy.writer.to(CopyCount(1, wanted)),
        keep,
        wanted,
    )


async def restored(
    proxy: Proxy, *, dry_run: bool = False, **more: str
) -> tuple[int, str]:
    """Exit code and output."""
    pool = restore.Pool(Catalogues(proxy.pool), proxy.backends, proxy.clock)
    out = StringIO()
    code = await restore.run(pool, **more, dry_run=dry_run, out=out)
    return code, out.getvalue()


def rows(proxy: Proxy, *, claimed: bool = False) -> dict[str, list[Any]]:
    """All rows, but for catalogues, and maybe for claims."""
    where = {
        "objects": f"x.bucket <> '{BUCKET}'",
        "object_locations": f"x.bucket <> '{BUCKET}' AND "
        f"({claimed} OR state <> 'claimed')",
        "object_parts": "x.object_id IN (SELECT object_id FROM objects "
        f"WHERE bucket <> '{BUCKET}')",
    }
    return {
        table: proxy.sql(
            "SELECT to_jsonb(x) - 'bytes_used' - 'updated_at' AS row "
            f"FROM {table} x WHERE {where.get(table, 'true')} ORDER BY 1"
        )
        for table in TABLES
    }


async def fill(proxy: Proxy) -> dict[str, bytes]:
    """Something of everything."""
    bodies = {"plain": b"x" * SMALL, "grüße/\n\"'\\": b"y" * LARGE, "empty": b""}
    for key, data in bodies.items():
        await proxy.put(key, data, tags={"a": "b"}, user_metadata={"m": "é\\n"})
    bodies["parts"] = b"1" * SMALL + b"2" * SMALL
    await proxy.put_upload("parts", b"1" * SMALL, b"2" * SMALL)
    await proxy.replicator(2).round()
    await proxy.manifester().round()
    upload = await proxy.uploads.create(CreateMultipartUpload("b", "open"))
    op = UploadPart("b", "open", upload, 1, SMALL)
    await proxy.uploads.put_part(op, Pieces(b"1" * SMALL), sha256=None)
    await proxy.put("gone", b"z" * SMALL)
    await proxy.objects.delete("b", "gone", [])
    proxy.sql("INSERT INTO buckets (bucket, tags, owner) VALUES ('t', '{}', 'o')")
    return bodies


@ensureDeferred
async def test_every_table_is_in_it_or_left_out(proxy: Proxy) -> None:
    """Whoever adds a table decides whether a restore needs it."""
    found = {
        name
        for (name,) in proxy.sql(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
    }
    assert found == {*TABLES, *LEFT_OUT}


@ensureDeferred
async def test_there_and_back(proxy: Proxy, other: Proxy) -> None:
    """
    Row by row, on two backends; what came after comes back, and nothing is deleted
    before somebody says so.
    """
    bodies = await fill(proxy)
    # A PUT that is under way: had its claim gone along, a rebuild would pass over it.
    reached = proxy.backends["one"].reached("finish")
    go_on = proxy.backends["one"].hold("finish")
    racing = Deferred.fromCoroutine(proxy.put("racing", b"r" * SMALL))
    await reached
    before = rows(proxy)
    made = await backups(proxy).make()
    assert made.backends == ("one", "two") and made.key.startswith(PREFIX)
    assert made.rows == sum(map(len, before.values()))
    assert rows(proxy) == before
    go_on()
    await racing
    await proxy.put("after", b"a" * SMALL)
    await proxy.put("plain", b"p" * SMALL)
    bodies |= {"after": b"a" * SMALL, "plain": b"p" * SMALL, "racing": b"r" * SMALL}

    code, text = await restored(other, dry_run=True)
    assert code == 0 and f"would restore {made.key}, from one: " in text
    assert rows(other)["objects"] == []
    await PostgresJobs(other.pool, "d").record("j", 1.0, "", 1.0, good=True)
    code, text = await restored(other)
    assert code == 1 and "daemon d was at work" in text
    other.sql("UPDATE jobs SET started_at = started_at - interval '2 minutes'")
    code, text = await restored(other)
    assert code == 0 and " 4 objects, " in text and "sync --rebuild" in text
    assert rows(other) == before
    for name, used, _limit, summed, *_ in other.sql(statements()["sums"]):
        assert used == summed, name
    assert "restored from s3proxy-catalogue/" in str(await Status(other.pool).held())
    assert await other.collector.round() == 0
    # Once more is refused, in words, and changes nothing.
    code, text = await restored(other)
    assert (code, rows(other)) == (1, before) and "the ledger is not empty" in text
    assert (await restored(other, dry_run=True))[0] == 0
    with pytest.raises(CatalogueError, match="not empty"):
        await Catalogues(other.pool).load(BytesIO(catalogue(other, "one")))

    text = await other.rebuild()
    assert f"bucket {BUCKET}: 1 objects\n" in text
    for key, data in bodies.items():
        assert await other.get(key) == data, key
    # No backup of a ledger that nobody vouches for: it would be the newest.
    out = StringIO()
    assert await backup.run(backups(other), dry_run=False, out=out) == 1
    assert "no backup is made: the ledger was restored" in out.getvalue()
    await PostgresSweeping(other.pool, 0.0).accept_restore()
    assert await Status(other.pool).held() is None
    await other.objects.delete("b", "gone", [])
    await other.settle()
    assert [key for (key,) in names(other)] == [made.key]


def names(proxy: Proxy) -> list[tuple[Any, ...]]:
    return proxy.sql(
        f"SELECT object_key FROM objects WHERE bucket = '{BUCKET}' ORDER BY 1"
    )


def keys(proxy: Proxy, backend: str) -> list[str]:
    """Of the catalogues on a backend, the oldest first."""
    return sorted(k for k in proxy.backends[backend].objects if k.startswith(PREFIX))


def catalogue(proxy: Proxy, backend: str) -> bytes:
    """The newest one's bytes."""
    return proxy.backends[backend].objects[keys(proxy, backend)[-1]].data


@ensureDeferred
async def test_what_is_cut_off_or_changed_is_not_used(
    proxy: Proxy, other: Proxy
) -> None:
    """Another copy is, then an older catalogue; with none, nothing is restored."""
    await proxy.put("k", b"x" * SMALL)
    first = await backups(proxy).make()
    await proxy.put("later", b"x" * SMALL)
    last = await backups(proxy).make()
    one, two = proxy.backends["one"].objects, proxy.backends["two"].objects
    # A client's object may be called like that; it says whose it is.
    await proxy.put(last.key.replace("2", "8", 1), b"x")
    first_key, cut = keys(proxy, "one")[:2]
    one[cut] = evolve(one[cut], data=one[cut].data[:-20])
    code, text = await restored(other, dry_run=True)
    assert code == 0 and f"would restore {last.key}, from two: " in text
    assert f"{last.key} on one: refused: it cannot be unpacked" in text
    assert text.count("found s3proxy-catalogue/") == 4
    code, text = await restored(other, dry_run=True, backup=first.key)
    assert code == 0 and f"would restore {first.key}, from one: " in text
    code, text = await restored(other, backup="other")
    assert code == 1 and "0 catalogues, and none can be used" in text
    flipped = keys(proxy, "two")[-1]
    data = bytearray(two[flipped].data)
    data[len(data) // 2] ^= 1
    two[flipped] = evolve(two[flipped], data=bytes(data))
    # One that is whole, but of another time than its name says.
    one[first_key.replace("2", "9", 1)] = one[first_key]
    other.backends["three"].fail("list_page", *[BackendRefused("three", "away")] * 9)
    other.clock.callLater = lambda seconds, call, *a: call(*a)  # type: ignore[method-assign]
    code, text = await restored(other)
    del other.clock.callLater
    assert code == 0 and f"restoring {first.key}, from one: " in text, text
    assert f"{last.key} on two: refused: " in text
    assert f"on one: refused: it holds {first.key} of another" in text
    assert "WARNING: three: could not be searched: " in text
    assert other.sql("SELECT object_key FROM objects") == [("k",)]
    other.sql("TRUNCATE objects, object_parts, object_locations")
    for objects in (one, two):
        for key in [key for key in objects if key.startswith(PREFIX)]:
            objects[key] = evolve(objects[key], data=b"\x1f\x8b")
    code, text = await restored(other)
    assert code == 1 and "catalogues, and none can be used" in text
    assert rows(other)["objects"] == []


@ensureDeferred
async def test_whose_it_is_must_be_said(proxy: Proxy, other: Proxy) -> None:
    """Where there are those of several installations; and of a newer schema none is."""
    await proxy.put("k", b"x" * SMALL)
    await backups(proxy).make()
    for each in (proxy.backends["one"], proxy.backends["two"]):
        for key in [key for key in each.objects if key.startswith(PREFIX)]:
            kept = each.objects[key]
            headers = {**kept.headers, "x-amz-meta-s3proxy-installation": "another"}
            each.objects[key[:-1] + "Z"] = evolve(kept, headers=headers)
    with pytest.raises(ConfigError, match=r"another \(newest: .*--installation ID"):
        await restored(other)
    code, text = await restored(other, installation="another")
    assert code == 1 and "refused: it holds" in text
    proxy.sql("UPDATE installation SET schema_version = 9")
    await backups(proxy).make()
    other.sql("ALTER TABLE objects DROP COLUMN manifest_due_at")
    with pytest.raises(CatalogueError, match=r"due_at, schema version 9: not known"):
        await restored(other, installation="installation")
    assert rows(other)["backend_quotas"] != [] and rows(other)["objects"] == []


@ensureDeferred
async def test_of_an_earlier_schema(proxy: Proxy, other: Proxy) -> None:
    """Rows name their columns; those that have come since have their defaults."""
    await proxy.put("k", b"x" * SMALL)
    proxy.sql("INSERT INTO buckets (bucket) VALUES ('t')")
    proxy.sql("ALTER TABLE buckets DROP COLUMN cors")
    proxy.sql("ALTER TABLE object_parts DROP COLUMN checksums")
    await backups(proxy).make()
    assert (await restored(other))[0] == 0
    assert other.sql("SELECT bucket, cors FROM buckets") == [("t", None)]
    assert other.sql("SELECT checksums FROM object_parts") == [({},)]
    assert await other.get("k") == b"x" * SMALL


def scheduled(proxy: Proxy, process: str = "me", keep: int = 2) -> ScheduledBackup:
    return ScheduledBackup(
        Catalogues(proxy.pool),
        backups(proxy, keep),
        PostgresJobs(proxy.pool, process),
        3600.0,
        60.0,
    )


@ensureDeferred
async def test_on_a_schedule(proxy: Proxy) -> None:
    """One process makes it, when it is due; the older go, and are collected."""
    assert await scheduled(proxy).round() == (
        "none is made: the ledger is empty; see docs/sweeping.md"
    )
    await proxy.put("k", b"x" * SMALL)
    jobs = PostgresJobs(proxy.pool, "other")
    assert await jobs.take(NAME, 60.0)
    assert await scheduled(proxy).round() == "another process is at it"
    await jobs.leave(NAME)
    # Two at the same moment: the second one finds that it is done, or under way.
    with capturedLogs():
        both = [Deferred.fromCoroutine(scheduled(proxy, name).round()) for name in "ab"]
        texts = [await each for each in both]
    assert len([text for text in texts if "on one, two; " in text]) == 1
    assert len(names(proxy)) == 1
    proxy.sql(_AN_HOUR_LATER)
    for count in (2, 2, 2):
        with capturedLogs():
            text = await scheduled(proxy).round()
        assert "on one, two; " in text
        assert len(names(proxy)) == count
        [*_, (last,)] = names(proxy)
        # Not again before its time, by anybody.
        assert await scheduled(proxy, "other").round() == f"the last one is {last}"
        proxy.sql(_AN_HOUR_LATER)
    await proxy.settle()
    assert len(keys(proxy, "one")) == len(keys(proxy, "two")) == 2


@ensureDeferred
async def test_one_backend_or_none_takes_it(proxy: Proxy) -> None:
    """On one only is better than none, and told; the older ones stay without a new."""
    await proxy.put("k", b"x" * SMALL)
    for name in ("two", "three"):
        proxy.limit(name, 1)
    out = StringIO()
    with capturedLogs() as logs:
        assert await backup.run(backups(proxy), dry_run=False, out=out) == 1
    assert "on one; 0 older removed" in out.getvalue() and len(logs) == 1
    proxy.limit("one", 1)
    with pytest.raises(InsufficientStorage):
        await backups(proxy, keep=1).make()
    with capturedLogs():
        proxy.sql(_AN_HOUR_LATER)
        with pytest.raises(CatalogueError, match="no backup was made: No backend has"):
            await scheduled(proxy, keep=1).round()
    assert len(names(proxy)) == 1
    await proxy.settle()
    assert await backup.run(backups(proxy), dry_run=True, out=out) == 0
    assert "would store s3proxy-catalogue/" in out.getvalue()
    assert len(names(proxy)) == 1


@ensureDeferred
async def test_replication_leaves_them_on_two(proxy: Proxy) -> None:
    """Also where one copy of each object is enough."""
    await proxy.put("k", b"x" * SMALL)
    await backups(proxy).make()
    await proxy.replicator(2).round()
    assert (await proxy.replicator(1).round()).removed == 1
    assert proxy.copies() == {"one": 2, "two": 1}
    await proxy.settle()


@ensureDeferred
async def test_one_that_was_moved_is_restored_from(proxy: Proxy, other: Proxy) -> None:
    """A drain takes it along like any object, and it says of itself what it did."""
    await proxy.put("k", b"x" * SMALL)
    made = await backups(proxy).make()
    for name in ("one", "two"):
        assert await draining.ledger(proxy).start(name)
    # One copy of two goes, the other one moves; the next backup is on two again.
    await draining.drainer(proxy).round()
    await proxy.settle()
    assert proxy.copies() == {"three": 2}
    code, text = await restored(other)
    assert code == 0 and f"restoring {made.key}, from three: " in text
    assert other.sql("SELECT object_key FROM objects") == [("k",)]
