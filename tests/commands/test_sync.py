"""``sync`` over a real ledger and a real S3 server."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from hashlib import md5
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from s3proxy.commands import check, sync
from s3proxy.errors import (
    BackendRefused,
    BackendUnavailable,
    ConfigError,
    StoreUnavailable,
)
from s3proxy.jobs.collecting import Collector
from s3proxy.manager.ports import NewObject
from s3proxy.model import Copy, FoundObject, ObjectInfo, WriteConditions
from s3proxy.plan.adoption import Adopted, unfit, unfit_key
from s3proxy.plan.description import describe
from tests.commands.conftest import BUCKET, Stage
from tests.contracts.backend import get
from tests.fakes.backend import Kept, MemoryBackend
from tests.store.conftest import pause

ANY = WriteConditions()


async def put_ours(stage: Stage, key: str, data: bytes, *, on: str = "one") -> Copy:
    """An object of the product's own, as its writer stores it."""
    claim = await stage.ledger.claim([on], BUCKET, key, len(data), ANY)
    etag = stage.put(claim.copy.backend_key, data, on=on)
    new = NewObject(BUCKET, key, len(data), md5(data).hexdigest(), None)
    await stage.ledger.commit(claim, new, ANY, etag, None)
    return claim.copy


async def head(stage: Stage, key: str) -> ObjectInfo:
    """What the ledger has of a key."""
    info = await stage.ledger.head(BUCKET, key)
    assert info is not None
    return info


async def assert_clean(stage: Stage) -> None:
    """``check`` finds nothing."""
    out = io.StringIO()
    assert await check.run(stage.context, settled=False, out=out) == 0, out.getvalue()


# What is taken in ---


@ensureDeferred
async def test_an_object_is_taken_in_as_it_is(stage: Stage) -> None:
    """With everything that HEAD and GET show, and its own time; nothing moves."""
    etag = stage.put(
        "photos/a b.jpg",
        b"hello",
        ContentType="image/jpeg",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        ContentLanguage="de",
        Expires="Wed, 21 Oct 2015 07:28:00 GMT",
        Metadata={"who": "me"},
    )
    code, out = await stage.sync()
    assert code == 0, out
    assert "one: imported 1 objects (0 of them as further copies), 5 bytes" in out
    stored = await stage.ledger.find(BUCKET, "photos/a b.jpg")
    assert stored is not None
    info, (part,) = stored.info, stored.parts
    bare = stage.server.client.head_object(
        Bucket=stage.configs["one"].bucket, Key="photos/a b.jpg"
    )
    assert (info.size_bytes, info.etag) == (5, etag)
    assert info.last_modified == bare["LastModified"]
    assert info.content_type == "image/jpeg"
    assert info.user_metadata == {"who": "me"}
    assert info.headers == {
        "cache-control": "no-cache",
        "content-encoding": "gzip",
        "content-language": "de",
        "expires": "Wed, 21 Oct 2015 07:28:00 GMT",
    }
    # boto3 sends one with every PUT.
    assert set(info.checksums) == {"crc32"}
    (copy,) = part.copies
    assert (copy.backend_name, copy.backend_key) == ("one", "photos/a b.jpg")
    assert (part.md5, copy.backend_etag) == (etag, etag)
    assert await get(stage.context.backends["one"], copy) == b"hello"
    assert stage.db.value("SELECT max(bytes_used) FROM backend_quotas") == 5
    await assert_clean(stage)


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "dir/",
        "with space+%25",
        "é/日本.txt",
        "a\x01b",
        "~/x",
        "a~01J00000000000000000000000",
        "x" * 200 + "/" + "y" * 200,
    ],
)
@ensureDeferred
async def test_odd_keys(stage: Stage, key: str) -> None:
    """A key is adopted as it is; one that looks like ours is not ours by that."""
    stage.put(key, b"" if key.endswith("/") else b"hello")
    code, out = await stage.sync()
    assert code == 0, out
    assert (await head(stage, key)).key == key
    await assert_clean(stage)


@ensureDeferred
async def test_an_object_that_was_uploaded_in_parts(stage: Stage) -> None:
    """Its ETag is no MD5; it is one part here, and check wants no manifest of it."""
    client, bucket = stage.server.client, stage.configs["one"].bucket
    upload = client.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    where = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    pieces = [b"x" * 5 * 1024 * 1024, b"y"]
    parts = [
        {
            "PartNumber": n,
            "ETag": client.upload_part(**where, PartNumber=n, Body=piece)["ETag"],
        }
        for n, piece in enumerate(pieces, 1)
    ]
    done = client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert (await stage.sync())[0] == 0
    stored = await stage.ledger.find(BUCKET, "big")
    assert stored is not None
    assert stored.info.etag == done["ETag"].strip('"')
    assert stored.info.etag.endswith("-2")
    assert (stored.parts_count, stored.parts[0].md5) == (1, "")
    (copy,) = stored.parts[0].copies
    assert await get(stage.context.backends["one"], copy) == b"".join(pieces)
    await assert_clean(stage)


@ensureDeferred
async def test_over_the_quota(stage: Stage) -> None:
    """It is there already, so it is counted, and told; nothing more is placed there."""
    stage.db.add_backend("one", 8)
    stage.put("a", b"hello")
    stage.put("b", b"hello")
    code, out = await stage.sync()
    assert code == 0
    assert "one: holds 10 bytes, over its quota_bytes of 8" in out
    claim = await stage.ledger.claim(["one", "two"], BUCKET, "c", 1, ANY)
    assert claim.copy.backend_name == "two"


@ensureDeferred
async def test_a_prefix(stage: Stage) -> None:
    """Only keys below it."""
    for key in ("a/1", "a/2", "ab", "b"):
        stage.put(key, b"x")
    await stage.sync(prefix="a/")
    assert stage.copies() == {("one", "a/1", "live"), ("one", "a/2", "live")}


@ensureDeferred
async def test_many_pages(stage: Stage) -> None:
    """Whatever the order of the listing and the length of its pages."""
    keys = [f"{d}/{n}" if n % 3 else f"{d}-{n}" for d in "abc" for n in range(8)]
    for key in keys:
        stage.put(key, key.encode())
    paged = Paged(stage.context.backends["one"], 5)
    stage.context = evolve(stage.context, backends={"one": paged})
    code, out = await stage.sync()
    assert code == 0
    assert out.count(" listed, ") == 5
    assert stage.copies() == {("one", key, "live") for key in keys}
    code, out = await stage.sync()
    assert (code, paged.heads) == (0, len(keys))  # the second run needed none
    assert "imported 0 objects (0 of them as further copies), 0 bytes; skip" in out
    assert "; skipped 24, conflicts 0" in out


class Paged:
    """A backend whose pages are short."""

    def __init__(self, backend: Any, size: int) -> None:
        self.name = backend.name
        self.heads = 0
        self._backend, self._size = backend, size

    async def list_page(self, prefix: str, token: str | None) -> Any:
        """A page of the whole."""
        keys, more = await self._backend.list_page(prefix, None)
        assert more is None
        start = int(token or 0)
        end = start + self._size
        return keys[start:end], str(end) if end < len(keys) else None

    async def inspect(self, key: str) -> FoundObject:
        """Counted."""
        self.heads += 1
        found: FoundObject = await self._backend.inspect(key)
        return found


# What is not ---


@ensureDeferred
async def test_ours_and_temporaries_are_passed_over(stage: Stage) -> None:
    """With a row, without one, of another installation, and the seed's parts."""
    await put_ours(stage, "mine", b"hello")
    for number, who in enumerate([stage.context.installation_id, "another"]):
        copy = Copy(f"01J0000000000000000000000{number}", "part", "one", "", 5)
        headers = describe(
            evolve(copy, backend_key=f"k~{copy.copy_id}"),
            installation_id=who,
            bucket=BUCKET,
            key="k",
            part_number=1,
            content_type=None,
            user_metadata={},
        )
        metadata = {
            name.removeprefix("x-amz-meta-"): value for name, value in headers.items()
        }
        metadata.pop("content-type", None)
        stage.put(f"k~{copy.copy_id}", b"hello", Metadata=metadata)
    stage.put("__multipart/id/1", b"x")
    before = stage.copies()
    code, out = await stage.sync()
    assert code == 0
    assert stage.copies() == before
    assert "passed over 1 backend objects of this installation" in out
    assert "passed over 1 of this installation that the ledger does not know" in out
    assert "passed over 1 of other installations" in out
    assert "passed over 1 temporaries (__multipart/…)" in out


@ensureDeferred
async def test_known_keys_are_skipped(stage: Stage) -> None:
    """A second run changes nothing, a dry run says so."""
    stage.put("a", b"hello")
    await stage.sync()
    before = stage.db.sql("SELECT * FROM object_locations NATURAL JOIN objects")
    stage.put("b", b"hi")
    code, out = await stage.sync(dry_run=True)
    assert code == 0
    assert "would import 1 objects (0 of them as further copies), 2 bytes" in out
    assert "; skipped 1," in out
    assert stage.db.sql("SELECT * FROM object_locations NATURAL JOIN objects") == before
    await stage.sync()
    assert len(stage.copies()) == 2


@ensureDeferred
async def test_deleted_bytes_do_not_come_back(stage: Stage) -> None:
    """S2: deleted here, on the backend for a while, then gone, then a tombstone."""
    stage.put("a", b"hello")
    copy = await put_ours(stage, "b", b"hello")
    await stage.sync()
    await stage.ledger.delete(BUCKET, "a")
    await stage.ledger.delete(BUCKET, "b")
    code, out = await stage.sync()
    assert (code, await stage.ledger.head(BUCKET, "a")) == (0, None)
    assert "passed over 1 that are deleted here and not yet collected" in out
    stage.pass_time()
    await collector(stage).round()
    assert stage.server.keys(stage.configs["one"]) == {}
    assert stage.copies() == {("one", "a", "abandoned")}
    assert stage.db.value("SELECT max(bytes_used) FROM backend_quotas") == 0
    # Somebody stores the like: our DELETE may still land, so it has to wait.
    stage.put("a", b"hello")
    await stage.sync()
    assert await stage.ledger.head(BUCKET, "a") is None
    await assert_clean(stage)
    stage.pass_time()
    await collector(stage).round()
    assert stage.copies() == set()
    assert stage.server.keys(stage.configs["one"]) == {"a": 5}
    await stage.sync()
    assert (await head(stage, "a")).size_bytes == 5
    assert copy.backend_key not in stage.server.keys(stage.configs["one"])


def collector(stage: Stage) -> Collector[Any]:
    """What deletes, over the real backends."""
    return Collector(stage.janitor, stage.context.backends, lambda: False)


@ensureDeferred
async def test_what_has_changed_is_not_deleted(stage: Stage) -> None:
    """A delete goes to the bytes that were taken in, and to no others."""
    for key in ("changed", "same", "gone", "overwritten"):
        stage.put(key, b"hello")
    await stage.sync()
    for key in ("changed", "same", "gone"):
        await stage.ledger.delete(BUCKET, key)
    new = await put_ours(stage, "overwritten", b"new")
    stage.put("changed", b"hallo")
    stage.delete("gone")
    stage.pass_time()
    assert await collector(stage).round() == 3
    assert stage.server.keys(stage.configs["one"]) == {"changed": 5, new.backend_key: 3}
    assert {state for _, key, state in stage.copies() if key == "changed"} == set()
    assert stage.db.value("SELECT sum(bytes_used) FROM backend_quotas") == 3
    # It is nobody's now, and can be taken in.
    code, out = await stage.sync()
    assert code == 0, out
    assert (await head(stage, "changed")).etag == md5(b"hallo").hexdigest()


# Conflicts ---


@ensureDeferred
async def test_a_copy_on_another_backend(stage: Stage) -> None:
    """The same size and ETag make one more copy, which reads fall back to."""
    stage.put("a", b"hello")
    stage.put("a", b"hello", on="two")
    await put_ours(stage, "b", b"hello")
    stage.put("b", b"hello", on="two")
    assert (await stage.sync())[0] == 0
    code, out = await stage.sync(backend="two")
    assert code == 0, out
    assert "two: imported 2 objects (2 of them as further copies), 10 bytes" in out
    for key in ("a", "b"):
        stored = await stage.ledger.find(BUCKET, key)
        assert stored is not None
        assert {each.backend_name for each in stored.parts[0].copies} == {"one", "two"}
        for copy in stored.parts[0].copies:
            backend = stage.context.backends[copy.backend_name]
            assert await get(backend, copy) == b"hello"
    await assert_clean(stage)


@ensureDeferred
async def test_conflicts(stage: Stage) -> None:
    """Nothing is replaced, each is told with what to do, and the exit code is 1."""
    stage.put("other", b"hello")
    stage.put("changed", b"hello")
    stage.put("fine", b"hello")
    await stage.sync()
    stage.put("other", b"hallo", on="two")
    stage.put("changed", b"hello again")
    stage.put("twice", b"hello")
    await put_ours(stage, "twice", b"hello")
    before = stage.copies()
    code, out = await stage.sync()
    assert code == 1
    assert "one: conflict: 'changed': it was taken in before and has changed" in out
    assert "one: conflict: 'twice': the bucket has this object, and on this" in out
    assert "conflicts 2, not taken in 0" in out
    code, out = await stage.sync(backend="two")
    assert code == 1
    assert "two: conflict: 'other': the bucket has another object of this key" in out
    assert stage.copies() == before


@ensureDeferred
async def test_an_object_in_parts_has_no_whole_copy(stage: Stage) -> None:
    """Even where size and ETag agree."""
    stage.put("a", b"hello")
    await stage.sync()
    stage.db.sql(
        "INSERT INTO object_parts SELECT object_id, 2, 'p2', 5, 0, md5 "
        "FROM object_parts; INSERT INTO object_locations (copy_id, part_id, "
        "backend_name, backend_key, bucket, object_key, size_bytes, state) "
        "VALUES ('c2', 'p2', 'one', 'p2', 'unified', 'a', 0, 'live')"
    )
    stage.put("a", b"hello", on="two")
    code, out = await stage.sync(backend="two")
    assert code == 1
    assert "two: conflict: 'a': the bucket has an object of this key that is" in out


@ensureDeferred
async def test_two_buckets_of_ours(stage: Stage) -> None:
    """A backend's object is in one of them, the first that took it in."""
    stage.context = evolve(stage.context, buckets={BUCKET, "other"})
    stage.put("a", b"hello")
    assert (await stage.sync(bucket="other"))[0] == 0
    code, out = await stage.sync()
    assert (code, await stage.ledger.head(BUCKET, "a")) == (0, None)
    assert await stage.ledger.head("other", "a") is not None
    assert "skipped 1," in out


@ensureDeferred
async def test_names_that_are_not_there(stage: Stage) -> None:
    """What is wanted instead is told."""
    with pytest.raises(ConfigError, match=r"--backend three: .* one of one, two"):
        await stage.sync(backend="three")
    with pytest.raises(ConfigError, match=r"--bucket none: .* want one of unified"):
        await stage.sync(bucket="none")


# Races ---


@ensureDeferred
async def test_adopting_twice_at_once(stage: Stage) -> None:
    """One of them does it, the other finds it done; of two buckets, one has it."""
    for number in range(20):
        stage.put(f"k{number}", b"hello")
    stage.context = evolve(stage.context, buckets={BUCKET, "other"})
    await gatherResults(
        [
            Deferred.fromCoroutine(stage.sync(bucket=bucket))
            for bucket in (BUCKET, "other", BUCKET)
        ]
    )
    assert len(stage.copies()) == 20
    assert stage.db.value("SELECT count(*) FROM objects") == 20
    await assert_clean(stage)


@ensureDeferred
async def test_written_while_it_is_looked_at(stage: Stage) -> None:
    """Between the look and the transaction somebody stores the key: that stands."""
    stage.put("a", b"hello")
    found = await stage.context.backends["one"].inspect("a")
    preview = await stage.context.adoption.preview("one", BUCKET, [found])
    assert preview == {"a": Adopted.IMPORTED}
    await put_ours(stage, "a", b"new")
    adopted = await stage.context.adoption.adopt("one", BUCKET, [found])
    assert adopted == {"a": Adopted.DIFFERS}
    assert (await head(stage, "a")).size_bytes == 3


# Faults, over a backend in memory ---


class Faulty:
    """A real ledger, and a backend in memory; time stands still."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.backend = MemoryBackend("one")
        self.clock = Clock()
        stage.context = evolve(
            stage.context, backends={"one": self.backend}, clock=self.clock
        )

    def keep(self, key: str, **headers: str) -> None:
        """Store."""
        self.backend.objects[key] = Kept(b"hello", dict(headers), "e")


@pytest.fixture
def faulty(stage: Stage) -> Faulty:
    """On an empty ledger."""
    return Faulty(stage)


@pytest.mark.parametrize("call", ["list_page", "inspect"])
@ensureDeferred
async def test_a_short_outage(faulty: Faulty, call: str) -> None:
    """Is waited for."""
    faulty.keep("a")
    away = BackendUnavailable("one", "503")
    faulty.backend.fail(call, away, away, away)
    running = Deferred.fromCoroutine(faulty.stage.sync())
    for _ in range(7):
        await pause_until(lambda: bool(faulty.clock.getDelayedCalls()))
        faulty.clock.advance(1)
    code, _out = await running
    assert code == 0
    assert faulty.backend.calls[call] == 4


async def pause_until(condition: Callable[[], bool]) -> None:
    """Let the ledger answer."""
    for _ in range(300):
        if condition():
            return
        await pause()


@pytest.mark.parametrize("call", ["list_page", "inspect"])
@ensureDeferred
async def test_an_outage_ends_the_run(faulty: Faulty, call: str) -> None:
    """What was taken in stays, and the next run goes on."""
    faulty.backend.page_size = 1
    for key in "abc":
        faulty.keep(key)
    refused = BackendRefused("one", "403 AccessDenied")
    if call == "list_page":
        faulty.backend.fail(call, None, None, refused)
        with pytest.raises(BackendRefused):
            await faulty.stage.sync()
    else:
        faulty.stage.context = evolve(faulty.stage.context, clock=Impatient())
        faulty.backend.fail(call, None, None, *[BackendUnavailable("one", "503")] * 5)
        with pytest.raises(BackendUnavailable):
            await faulty.stage.sync()
    assert len(faulty.stage.copies()) == 2
    assert (await faulty.stage.sync())[0] == 0
    assert len(faulty.stage.copies()) == 3


class Impatient(Clock):
    """A clock on which every wait is over at once."""

    def callLater(self, delay: float, call: Any, *args: Any, **kwargs: Any) -> Any:
        """Call."""
        made = super().callLater(delay, call, *args, **kwargs)
        self.advance(delay)
        return made


@ensureDeferred
async def test_what_cannot_be_taken_in(faulty: Faulty) -> None:
    """Each is told with the reason; the others are taken in; the exit code is 1."""
    faulty.keep("fine")
    faulty.keep("\ufffdgone")
    faulty.keep("long" * 300)
    faulty.keep("nul\0key")
    faulty.keep("refused")
    faulty.keep("nul-value", **{"x-amz-meta-a": "x\0"})
    inspect = faulty.backend.inspect

    async def refusing(key: str) -> FoundObject:
        if key == "refused":
            raise BackendRefused("one", "400")
        if key.startswith("\ufffd"):
            faulty.backend.objects.pop(key, None)
        return await inspect(key)

    faulty.backend.inspect = refusing  # type: ignore[method-assign]
    code, out = await faulty.stage.sync()
    assert code == 1
    assert faulty.stage.copies() == {("one", "fine", "live")}
    assert "'\ufffdgone': its key seems to be no UTF-8" in out
    assert "its key has 1200 bytes, and 1024 is the most" in out
    assert "'nul\\x00key': its key holds a NUL" in out
    assert "'refused': it cannot be read: backend one: 400" in out
    assert "'nul-value': a header of it holds a NUL" in out
    assert "not taken in 5" in out


@ensureDeferred
async def test_gone_before_it_is_looked_at(faulty: Faulty) -> None:
    """That is no problem."""
    faulty.keep("a")
    inspect = faulty.backend.inspect

    async def late(key: str) -> FoundObject:
        faulty.backend.objects.clear()
        return await inspect(key)

    faulty.backend.inspect = late  # type: ignore[method-assign]
    code, out = await faulty.stage.sync()
    assert code == 0
    assert "passed over 1 that were gone when they were looked at" in out


@ensureDeferred
async def test_a_listing_that_is_older_than_the_row(faulty: Faulty) -> None:
    """A tracked key is looked at again before it is called a conflict."""
    faulty.keep("a")
    await faulty.stage.sync()
    stale, none = await faulty.backend.list_page("", None)
    faulty.backend.objects["a"].etag = "e"

    async def listing(prefix: str, token: str | None) -> Any:
        return [evolve(stale[0], etag="older")], none

    faulty.backend.list_page = listing  # type: ignore[method-assign]
    code, out = await faulty.stage.sync()
    assert code == 0, out
    assert "skipped 1," in out


@ensureDeferred
async def test_without_the_database(faulty: Faulty) -> None:
    """The runner tells it."""
    faulty.keep("a")
    broken = Broken(faulty.stage.context.adoption)
    faulty.stage.context = evolve(faulty.stage.context, adoption=broken)
    with pytest.raises(StoreUnavailable):
        await faulty.stage.sync()
    assert faulty.stage.copies() == set()


class Broken:
    """Adoption while the database is away."""

    def __init__(self, inner: Any) -> None:
        self.preview = inner.preview

    async def adopt(self, *_: object) -> Mapping[str, Adopted]:
        """Fail."""
        raise StoreUnavailable("away")


@ensureDeferred
async def test_a_terminal_sees_a_bar(faulty: Faulty) -> None:
    """One line that moves; problems and the summary stay."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    faulty.backend.page_size = 1
    for key in ("a", "b", "long" * 300):
        faulty.keep(key)
    out = Terminal()
    await sync.run(
        faulty.stage.context,
        backend="one",
        bucket=BUCKET,
        prefix="",
        dry_run=False,
        out=out,
    )
    text = out.getvalue()
    assert text.count("\n") == 2
    assert text.count("\r\x1b[K[") == 3
    assert "\r\x1b[Kone: not taken in: " in text
    assert text.endswith("not taken in 1\n")


# Pure ---


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"etag": None}, "no ETag"),
        ({"last_modified": None}, "no Last-Modified"),
        ({"is_archived": True}, "restore it"),
        ({"content_type": "a\0"}, "NUL"),
        ({"headers": {"expires": "a\0"}}, "NUL"),
    ],
)
def test_unfit(changed: dict[str, Any], reason: str | None) -> None:
    """Only what can be watched and read is taken in."""
    found = FoundObject("k", 5, "e", None, MemoryBackend.modified)
    told = unfit(evolve(found, **changed))
    assert told is None if reason is None else reason in (told or "")


def test_unfit_keys() -> None:
    """Bytes of UTF-8 count."""
    assert unfit_key("é" * 512) is None
    assert unfit_key("é" * 512 + "a") == "its key has 1025 bytes, and 1024 is the most"


@ensureDeferred
async def test_a_bucket_that_is_deleted_meanwhile_gets_nothing(stage: Stage) -> None:
    """Nobody could see, or delete, what is put there (rule 33)."""
    stage.put("k", b"hello")
    stage.lose_bucket("made")
    stage.context = evolve(stage.context, buckets={BUCKET, "made"})
    code, out = await stage.sync(bucket="made")
    assert (code, stage.copies()) == (1, set())
    assert "conflict: 'k': the bucket has been deleted" in out
    assert stage.db.value("SELECT count(*) FROM objects") == 0
