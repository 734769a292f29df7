"""Buckets made at run time: whose they are, and races on a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from attrs import frozen
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from s3proxy.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchUpload,
    OperationAborted,
)
from s3proxy.manager.ports import NewObject
from s3proxy.manager.upload_ports import NewUpload
from s3proxy.model import Claim, CompletedPart, ObjectInfo, PartInfo, WriteConditions
from s3proxy.store.buckets import PostgresBuckets
from s3proxy.store.janitor import Janitor
from tests.one_copy import PostgresLedger, PostgresUploads
from tests.store.conftest import Database, MakePool, until
from tests.store.test_races import ANY, Session, at_once, kinds, waits

HOLD_SECONDS = 3600.0
STATES = "SELECT state, count(*) FROM object_locations GROUP BY state ORDER BY state"


@frozen
class Proxy:
    """One proxy process's view."""

    buckets: PostgresBuckets
    ledger: PostgresLedger
    uploads: PostgresUploads
    janitor: Janitor

    async def claim(self, key: str = "k", bucket: str = "made") -> Claim:
        return await self.ledger.claim(("one",), bucket, key, 10, ANY)

    async def commit(self, claim: Claim, key: str = "k") -> ObjectInfo:
        copy = claim.copy
        new = NewObject("made", key, copy.size_bytes, copy.copy_id, None)
        return await self.ledger.commit(claim, new, ANY, copy.copy_id, None)

    async def put(self, key: str) -> ObjectInfo:
        return await self.commit(await self.claim(key), key)

    async def open_upload(self, key: str = "k") -> str:
        return await self.uploads.create(NewUpload("made", key, None, {}, {}))

    async def claim_part(self, upload_id: str, number: int = 1) -> Claim:
        return await self.uploads.claim_part(
            ("one",), upload_id, "made", "k", number, 10
        )

    async def commit_part(self, claim: Claim, upload_id: str, number: int = 1) -> None:
        part = PartInfo(number, "0" * 32, 10, {}, None)  # type: ignore[arg-type]
        await self.uploads.commit_part(claim, upload_id, part, "etag", None)

    async def complete(self, upload_id: str) -> object:
        return await self.uploads.complete(
            upload_id, "made", "k", [CompletedPart(1, "0" * 32)], WriteConditions()
        )


@pytest.fixture
def proxies(db: Database, make_pool: MakePool) -> tuple[Proxy, Proxy]:
    """Two processes."""
    db.add_backend("one")
    pools = [
        make_pool(db.config, max_connections=20, statement_timeout_seconds=60.0)
        for _ in range(2)
    ]
    first, second = (
        Proxy(
            PostgresBuckets(each, HOLD_SECONDS),
            PostgresLedger(each, 600.0, 60.0),
            PostgresUploads(each, 600.0, 60.0),
            Janitor(each, 0.0, 3600.0),
        )
        for each in pools
    )
    return first, second


@pytest.fixture
def proxy(proxies: tuple[Proxy, Proxy]) -> Proxy:
    return proxies[0]


def states(db: Database) -> dict[str, int]:
    """How many copies are in which state."""
    return dict(db.sql(STATES))  # type: ignore[arg-type]


# Whose they are ---


@ensureDeferred
async def test_made_found_and_deleted(proxy: Proxy) -> None:
    buckets = proxy.buckets
    assert await buckets.find("made") is None
    assert await buckets.create("made", "alice")
    found = await buckets.find("made")
    assert found is not None
    assert found.owner == "alice"
    assert await buckets.owned("alice", "", "", 10) == [("made", found.created_at)]
    assert await buckets.owned("bob", "", "", 10) == []
    # Again is the same; another is told that it is there, and no more.
    assert not await buckets.create("made", "alice")
    assert await buckets.find("made") == found
    with pytest.raises(BucketAlreadyExists):
        await buckets.create("made", "bob")
    with pytest.raises(NoSuchBucket):
        await buckets.delete("made", "bob")
    await buckets.delete("made", "alice")
    assert await buckets.find("made") is None
    assert await buckets.owned("alice", "", "", 10) == []
    with pytest.raises(NoSuchBucket):
        await buckets.delete("made", "alice")


@ensureDeferred
async def test_a_configured_bucket_is_nobodys_to_make(
    db: Database, proxy: Proxy
) -> None:
    db.sql("INSERT INTO buckets (bucket) VALUES ('conf')")
    db.fill("orphaned", ["k"])
    for name in ("conf", "orphaned"):
        with pytest.raises(BucketAlreadyExists):
            await proxy.buckets.create(name, "alice")
        with pytest.raises(NoSuchBucket):
            await proxy.buckets.delete(name, "alice")
        assert await proxy.buckets.find(name) is None


@ensureDeferred
async def test_pages(proxy: Proxy) -> None:
    names = ["a-1", "a-2", "a-3", "b-1", "b_".replace("_", "-2")]
    for name in names:
        await proxy.buckets.create(name, "alice")
    await proxy.buckets.create("a-0", "bob")

    async def page(prefix: str, after: str, limit: int) -> list[str]:
        found = await proxy.buckets.owned("alice", prefix, after, limit)
        return [name for name, _ in found]

    assert await page("", "", 100) == names
    assert await page("", "", 2) == names[:2]
    assert await page("", "a-2", 2) == names[2:4]
    assert await page("a-", "", 100) == names[:3]
    assert await page("a-", "a-1", 100) == names[1:3]
    assert await page("b-2", "", 100) == ["b-2"]
    assert await page("c", "", 100) == []


@ensureDeferred
async def test_a_name_waits_for_another_owner(db: Database, proxy: Proxy) -> None:
    """What was begun for the old owner must not meet the new one's bucket."""
    await proxy.buckets.create("made", "alice")
    db.sql('UPDATE buckets SET tags = \'{"a": "b"}\'')
    await proxy.buckets.delete("made", "alice")
    with pytest.raises(OperationAborted, match="by another owner"):
        await proxy.buckets.create("made", "bob")
    assert await proxy.buckets.create("made", "alice")
    await proxy.buckets.delete("made", "alice")
    db.sql(
        "UPDATE buckets SET deleted_at = deleted_at - %s * interval '1 s'",
        (HOLD_SECONDS,),
    )
    assert await proxy.buckets.create("made", "bob")
    found = await proxy.buckets.find("made")
    assert found is not None
    assert found.owner == "bob"
    assert db.value("SELECT tags FROM buckets") is None
    with pytest.raises(BucketAlreadyExists):
        await proxy.buckets.create("made", "alice")


@ensureDeferred
async def test_objects_keep_a_bucket(db: Database, proxy: Proxy) -> None:
    await proxy.buckets.create("made", "alice")
    await proxy.put("k")
    with pytest.raises(BucketNotEmpty):
        await proxy.buckets.delete("made", "alice")
    assert states(db) == {"live": 1}
    await proxy.ledger.delete("made", "k")
    await proxy.buckets.delete("made", "alice")


@ensureDeferred
async def test_open_uploads_do_not_and_are_aborted(db: Database, proxy: Proxy) -> None:
    """No byte is orphaned: parts are garbage, claims are abandoned."""
    await proxy.buckets.create("made", "alice")
    upload_id = await proxy.open_upload()
    await proxy.commit_part(await proxy.claim_part(upload_id), upload_id)
    under_way = await proxy.claim_part(upload_id, 2)
    elsewhere = await proxy.claim(bucket="unified")
    await proxy.buckets.delete("made", "alice")
    rows = dict(db.sql("SELECT copy_id, state FROM object_locations"))
    assert rows.pop(elsewhere.copy.copy_id) == "claimed"
    assert rows.pop(under_way.copy.copy_id) == "abandoned"
    assert list(rows.values()) == ["garbage"]
    assert db.value("SELECT state FROM multipart_uploads") == "aborted"
    # Nothing of it comes back with the name.
    await proxy.buckets.create("made", "alice")
    work: list[Coroutine[Any, Any, Any]] = [
        proxy.commit_part(under_way, upload_id, 2),
        proxy.claim_part(upload_id, 3),
        proxy.complete(upload_id),
    ]
    assert kinds(await at_once(*work)) == {"ClaimLost": 1, "NoSuchUpload": 2}


@ensureDeferred
async def test_nothing_is_written_into_a_deleted_bucket(
    db: Database, proxy: Proxy
) -> None:
    await proxy.buckets.create("made", "alice")
    claim = await proxy.claim()
    await proxy.buckets.delete("made", "alice")
    work = [proxy.claim(), proxy.open_upload(), proxy.commit(claim)]
    assert kinds(await at_once(*work)) == {"NoSuchBucket": 3}
    assert states(db) == {"abandoned": 1}
    # A body that was under way commits nowhere, though the name is there again.
    await proxy.buckets.create("made", "alice")
    assert kinds(await at_once(proxy.commit(claim))) == {"ClaimLost": 1}
    assert await proxy.ledger.head("made", "k") is None
    # It may still land, so it is deleted twice.
    assert db.value("SELECT delete_twice FROM object_locations")


# Races ---


@ensureDeferred
async def test_many_make_one_bucket(db: Database, proxies: tuple[Proxy, Proxy]) -> None:
    """One owner wins; the winner's repeats are the same bucket."""
    results = await at_once(
        *(
            proxies[number % 2].buckets.create("made", f"owner{number % 5}")
            for number in range(40)
        )
    )
    owner = db.value("SELECT owner FROM buckets")
    for number, result in enumerate(results):
        if f"owner{number % 5}" == owner:
            assert isinstance(result, bool)
        else:
            assert isinstance(result, BucketAlreadyExists)
    assert results.count(True) == 1


@ensureDeferred
async def test_many_make_and_delete(db: Database, proxies: tuple[Proxy, Proxy]) -> None:
    """Every answer is one of S3's, and the table says what the last one said."""
    work: list[Coroutine[Any, Any, Any]] = []
    for number in range(30):
        buckets = proxies[number % 2].buckets
        work.append(buckets.create("made", "alice"))
        work.append(buckets.delete("made", "alice"))
    results = await at_once(*work)
    counts = Counter(str(each) if each is not None else "deleted" for each in results)
    made, deleted = counts["True"], counts["deleted"]
    assert made - deleted == (await proxies[0].buckets.find("made") is not None)
    assert set(kinds(results)) <= {"bool", "NoneType", "NoSuchBucket"}


@ensureDeferred
async def test_writes_against_a_delete(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """
    Either the bucket is kept with what was acknowledged, or it is gone and nothing was:
    no object is in a bucket that is not there, and no byte is without its row.
    """
    kept = gone = 0
    for turn in range(12):
        name = "made"
        await proxies[0].buckets.create(name, "alice")
        claims = [await proxies[0].claim(f"k{n}") for n in range(4)]
        work: list[Coroutine[Any, Any, Any]] = [
            proxies[n % 2].commit(claim, f"k{n}") for n, claim in enumerate(claims)
        ]
        work += [proxies[n % 2].put(f"new{n}") for n in range(2)]
        place = turn % (len(work) + 1) if turn % 2 else 0
        work.insert(place, proxies[1].buckets.delete(name, "alice"))
        results = await at_once(*work)
        deleted = results.pop(place)
        stored = db.value("SELECT count(*) FROM objects WHERE bucket = 'made'")
        if deleted is None:
            gone += 1
            assert stored == 0
            assert set(kinds(results)) == {"NoSuchBucket"}
            assert set(states(db)) <= {"abandoned"}
        else:
            kept += 1
            assert isinstance(deleted, BucketNotEmpty)
            assert stored == 6
            assert kinds(results) == {"ObjectInfo": 6}
        for (key,) in db.sql("SELECT object_key FROM objects"):
            await proxies[0].ledger.delete(name, key)
        db.sql("DELETE FROM object_locations")
        db.sql("UPDATE buckets SET deleted_at = now()")
    assert gone + kept == 12


@ensureDeferred
async def test_uploads_against_a_delete(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """Parts, Complete and the deletion at once: parts live or go with the bucket."""
    first, second = proxies
    for turn in range(12):
        await first.buckets.create("made", "alice")
        upload_id = await first.open_upload()
        await first.commit_part(await first.claim_part(upload_id), upload_id)
        under_way = await first.claim_part(upload_id, 2)
        work: list[Coroutine[Any, Any, Any]] = [
            second.complete(upload_id),
            first.commit_part(under_way, upload_id, 2),
            second.open_upload("other"),
        ]
        work.insert(turn % 4, second.buckets.delete("made", "alice"))
        results = await at_once(*work)
        deleted = results.pop(turn % 4)
        live = db.value("SELECT count(*) FROM object_locations WHERE state = 'live'")
        if deleted is None:
            assert live == 0
            assert db.value("SELECT count(*) FROM objects") == 0
            still_open = "SELECT count(*) FROM multipart_uploads WHERE state = 'open'"
            assert db.value(still_open) == 0
            assert set(kinds(results)) <= {
                *("NoSuchUpload", "NoSuchBucket", "ClaimLost"),
                # Before it, and then aborted with the others.
                *("str", "NoneType"),
            }
            assert isinstance(results[0], NoSuchUpload)
        else:
            assert isinstance(deleted, BucketNotEmpty)
            assert db.value("SELECT count(*) FROM objects") == 1
        db.check()
        await first.ledger.delete("made", "k")
        await at_once(first.buckets.delete("made", "alice"))
        db.sql("DELETE FROM object_locations")


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
@ensureDeferred
async def test_a_commit_waits_for_a_deletion(
    db: Database, proxy: Proxy, how: str
) -> None:
    await proxy.buckets.create("made", "alice")
    claim = await proxy.claim()
    other = Session(db)
    assert other.sql("SELECT ledger_delete_bucket('made', 'alice')") == [("deleted",)]
    commit = Deferred.fromCoroutine(proxy.commit(claim))
    begun = Deferred.fromCoroutine(proxy.claim("new"))
    opened = Deferred.fromCoroutine(proxy.open_upload())
    await until(lambda: waiting(db) == 3)
    other.end(how)
    results = await at_once(_result(commit), _result(begun), _result(opened))
    if how == "COMMIT":
        assert kinds(results) == {"NoSuchBucket": 3}
        assert states(db) == {"abandoned": 1}
    else:
        assert kinds(results) == {"ObjectInfo": 1, "Claim": 1, "str": 1}


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
@ensureDeferred
async def test_a_deletion_waits_for_a_commit(
    db: Database, proxy: Proxy, how: str
) -> None:
    await proxy.buckets.create("made", "alice")
    claim = await proxy.claim()
    other = Session(db)
    assert other.sql(
        "SELECT outcome FROM ledger_commit(%s, 'made', 'k', 10, 'm', NULL, '{}', '{}',"
        " '{}', NULL, NULL, '{}', '{}', '60 s')",
        claim.copy.copy_id,
    ) == [("committed",)]
    deletion = Deferred.fromCoroutine(proxy.buckets.delete("made", "alice"))
    await until(lambda: waits(db))
    assert not deletion.called
    other.end(how)
    (result,) = await at_once(_result(deletion))
    if how == "COMMIT":
        assert isinstance(result, BucketNotEmpty)
        assert await proxy.ledger.head("made", "k") is not None
    else:
        assert result is None
        assert states(db) == {"abandoned": 1}


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
@ensureDeferred
async def test_a_deletion_waits_for_a_complete(
    db: Database, proxy: Proxy, how: str
) -> None:
    await proxy.buckets.create("made", "alice")
    upload_id = await proxy.open_upload()
    await proxy.commit_part(await proxy.claim_part(upload_id), upload_id)
    other = Session(db)
    assert other.sql(
        "SELECT outcome FROM ledger_complete(%s, 'made', 'k', '{1}', %s, 0, '{}',"
        " '{}', '{}', '60 s')",
        upload_id,
        ["0" * 32],
    ) == [("completed",)]
    deletion = Deferred.fromCoroutine(proxy.buckets.delete("made", "alice"))
    await until(lambda: waits(db))
    other.end(how)
    (result,) = await at_once(_result(deletion))
    if how == "COMMIT":
        assert isinstance(result, BucketNotEmpty)
        assert states(db) == {"live": 1}
    else:
        assert result is None
        assert states(db) == {"garbage": 1}


@ensureDeferred
async def test_a_claim_that_was_begun_is_seen_by_the_deletion(
    db: Database, proxy: Proxy
) -> None:
    """It waits for the claim, and abandons it."""
    await proxy.buckets.create("made", "alice")
    other = Session(db)
    other.sql(
        "SELECT outcome FROM ledger_claim('{one}', 'made', 'k', false, 10, '60 s',"
        " '{}', '{}')"
    )
    deletion = Deferred.fromCoroutine(proxy.buckets.delete("made", "alice"))
    await until(lambda: waits(db))
    other.end("COMMIT")
    await deletion
    assert states(db) == {"abandoned": 1}


@ensureDeferred
async def test_configured_buckets_hold_nobody_up(db: Database, proxy: Proxy) -> None:
    """Their rows are not locked by writes."""
    db.sql("INSERT INTO buckets (bucket) VALUES ('conf')")
    other = Session(db)
    other.sql("SELECT 1 FROM buckets WHERE bucket = 'conf' FOR UPDATE")
    await proxy.claim(bucket="conf")
    other.end("ROLLBACK")


def waiting(db: Database) -> int:
    """How many wait for a row's lock."""
    found: int = db.value(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    return found


async def _result(work: Deferred[Any]) -> Any:
    return await work
