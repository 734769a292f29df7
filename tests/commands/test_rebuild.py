"""``sync --rebuild`` over a real ledger and real buckets."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from hashlib import md5
from typing import Any

import pytest
from attrs import evolve, frozen
from pytest_twisted import ensureDeferred

from s3proxy.commands import check, rebuild
from s3proxy.errors import ConfigError
from s3proxy.manager.manifesting import ManifestWrite
from s3proxy.manager.ports import NewObject
from s3proxy.manager.upload_ports import NewUpload
from s3proxy.model import CompletedPart, Copy, ObjectInfo, PartInfo, WriteConditions
from s3proxy.plan.description import describe
from s3proxy.plan.manifest import Manifest, encode
from s3proxy.store.manifests import PostgresManifests
from tests.commands.conftest import (
    BUCKET,
    GRACE_SECONDS,
    LEASE_SECONDS,
    Stage,
)
from tests.contracts.backend import get
from tests.one_copy import PostgresUploads

ANY = WriteConditions()

_LEDGER = (
    "read_pins",
    "multipart_parts",
    "multipart_uploads",
    "object_parts",
    "objects",
    "object_locations",
)


class World:
    """What the product stores, by its own ledger's classes, on the real server."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        pool = stage.ledger.pool
        self.uploads = PostgresUploads(pool, LEASE_SECONDS, GRACE_SECONDS)
        self.manifests = PostgresManifests(pool, LEASE_SECONDS, 0.0)

    @property
    def who(self) -> str:
        """The installation."""
        return self.stage.context.installation_id

    def send(self, copy: Copy, data: bytes, headers: Mapping[str, str]) -> str:
        """Store a copy's bytes with what they say of themselves."""
        prefix = "x-amz-meta-"
        metadata = {
            name.removeprefix(prefix): value
            for name, value in headers.items()
            if name.startswith(prefix)
        }
        more = (
            {"ContentType": headers["content-type"]}
            if "content-type" in headers
            else {}
        )
        return self.stage.put(
            copy.backend_key, data, on=copy.backend_name, Metadata=metadata, **more
        )

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        on: str = "one",
        content_type: str | None = None,
        user_metadata: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> ObjectInfo:
        """A plain PUT; with *headers*, a manifest is written."""
        ledger = self.stage.ledger
        claim = await ledger.claim([on], BUCKET, key, len(data), ANY)
        described = describe(
            claim.copy,
            installation_id=self.who,
            bucket=BUCKET,
            key=key,
            part_number=1,
            content_type=content_type,
            user_metadata=user_metadata or {},
        )
        etag = self.send(claim.copy, data, described)
        new = NewObject(
            BUCKET,
            key,
            len(data),
            md5(data).hexdigest(),
            content_type,
            headers or {},
            user_metadata or {},
            needs_manifest=bool(headers),
        )
        info = await ledger.commit(claim, new, ANY, etag, None)
        if headers:
            await self.write_manifests(on)
        return info

    async def put_part(
        self, key: str, upload_id: str, number: int, data: bytes, on: str
    ) -> PartInfo:
        """A part of an upload."""
        claim = await self.uploads.claim_part(
            [on], upload_id, BUCKET, key, number, len(data)
        )
        described = describe(
            claim.copy,
            installation_id=self.who,
            bucket=BUCKET,
            key=key,
            part_number=number,
            content_type=None,
            user_metadata={},
            upload_id=upload_id,
        )
        etag = self.send(claim.copy, data, described)
        info = PartInfo(number, md5(data).hexdigest(), len(data), {}, datetime.now())
        await self.uploads.commit_part(claim, upload_id, info, etag, None)
        return info

    async def upload(
        self, key: str, *bodies: bytes, complete: bool = True, manifest: bool = True
    ) -> str:
        """Parts in turn on one and two; the upload's id."""
        upload_id = await self.uploads.create(
            NewUpload(
                BUCKET, key, "image/png", {"cache-control": "no-cache"}, {"a": "b"}
            )
        )
        parts = [
            await self.put_part(key, upload_id, n, data, ("two", "one")[n % 2])
            for n, data in enumerate(bodies, 1)
        ]
        if complete:
            listed = [CompletedPart(each.part_number, each.etag) for each in parts]
            await self.uploads.complete(
                upload_id,
                BUCKET,
                key,
                listed,
                ANY,
                least_part_bytes=0,
                checksums={"crc32": "AAAAAA=="},
            )
            if manifest:
                await self.write_manifests("two")
        return upload_id

    async def write_manifests(self, on: str) -> None:
        """As the job does."""
        for wanted in await self.manifests.take(100):
            parts = await self.manifests.parts(wanted.info.object_id)
            data = encode(Manifest(self.who, wanted.info, parts))
            write = ManifestWrite(wanted, self.manifests, self.who, len(data))
            claim = await self.manifests.claim([on], wanted, len(data))
            etag = self.send(claim.copy, data, write.headers(claim.copy))
            await self.manifests.commit(claim, wanted, etag, None)

    def lose(self) -> None:
        """The database is gone; a new one has another id."""
        db = self.stage.db
        db.sql("; ".join(f"DELETE FROM {table}" for table in _LEDGER))
        new = db.value(
            "UPDATE installation SET installation_id = gen_random_uuid()::text "
            "RETURNING installation_id"
        )
        self.stage.context = evolve(self.stage.context, installation_id=new)

    async def rebuild(
        self, *backends: str, installations: tuple[str, ...] = (), dry_run: bool = False
    ) -> tuple[int, str]:
        """Exit code and output."""
        out = io.StringIO()
        code = await rebuild.run(
            self.stage.context,
            backends=backends,
            installations=installations,
            dry_run=dry_run,
            out=out,
        )
        id_now = self.stage.db.value("SELECT installation_id FROM installation")
        self.stage.context = evolve(self.stage.context, installation_id=id_now)
        return code, out.getvalue()

    async def snapshot(self) -> dict[str, Any]:
        """Everything that clients can see, bytes too."""
        found = {}
        for key, tags in self.stage.db.sql("SELECT object_key, tags FROM objects"):
            stored = await self.stage.ledger.find(BUCKET, key)
            assert stored is not None
            info = stored.info
            parts = await self.stage.ledger.parts(
                info.object_id, 0, info.size_bytes + 1
            )
            data = b""
            for part in parts or stored.parts:
                for copy in part.copies[:1]:
                    data += await get(
                        self.stage.context.backends[copy.backend_name], copy
                    )
            found[key] = Seen(
                data,
                info.etag,
                info.content_type or "binary/octet-stream",
                dict(info.headers),
                dict(info.user_metadata),
                tags,
                info.last_modified.replace(microsecond=0),
            )
        return found

    async def check(self) -> list[str]:
        """The differences that ``check`` finds."""
        out = io.StringIO()
        await check.run(self.stage.context, settled=False, out=out)
        lines = out.getvalue().splitlines()
        return [line for line in lines if ":" in line]


@frozen
class Seen:
    """What a client sees of an object."""

    data: bytes
    etag: str
    content_type: str
    headers: dict[str, str]
    user_metadata: dict[str, str]
    tags: dict[str, str]
    last_modified: datetime


@pytest.fixture
def world(stage: Stage) -> World:
    """On an empty ledger."""
    return World(stage)


@ensureDeferred
async def test_everything_comes_back(world: World) -> None:
    """Byte for byte, with metadata, types, times and tags; then nothing is left."""
    await world.put("plain", b"hello")
    await world.put("guess.txt", b"no type was sent")
    await world.put(
        "typed", b"t", content_type="image/png", user_metadata={"who": "me"}
    )
    await world.put("headers", b"h", headers={"cache-control": "no-cache"}, on="two")
    await world.put("/odd//key", b"odd", user_metadata={"x": "y"})
    await world.put("empty", b"")
    await world.upload("big", b"first", b"second", b"third")
    await world.upload("one-part", b"only")
    await world.upload("a\x01b", b"opaque", b"parts")
    world.stage.db.sql(
        'UPDATE objects SET tags = \'{"t": "v"}\', manifest_wanted_at = now(), '
        "manifest_due_at = now() WHERE object_key = 'big'"
    )
    await world.write_manifests("one")
    world.stage.db.sql("DELETE FROM object_locations WHERE state = 'garbage'")
    for key in world.stage.server.keys(world.stage.configs["two"]):
        if key.startswith("big~") and key.endswith(".manifest"):
            world.stage.delete(key, on="two")  # collected
    before = await world.snapshot()
    old = world.who
    world.lose()
    code, out = await world.rebuild(dry_run=True)
    assert code == 0, out
    assert "would rebuild 9 objects" in out
    assert world.stage.copies() == set()
    assert world.who != old
    code, out = await world.rebuild()
    assert code == 0, out
    assert "rebuilt 9 objects" in out
    assert f"this ledger is installation {old} from now on" in out
    after = await world.snapshot()
    assert after.keys() == before.keys()
    for key, seen in before.items():
        # A plain object's time is the backend's, which was there a moment before.
        assert abs((after[key].last_modified - seen.last_modified).total_seconds()) < 5
        assert evolve(after[key], last_modified=seen.last_modified) == seen
    assert await world.check() == []
    assert world.who == old
    world.stage.db.check()
    code, out = await world.rebuild()
    assert (code, "rebuilt 0 objects" in out) == (0, True)
    assert world.stage.db.value("SELECT count(*) FROM rebuild_found") == 0


@ensureDeferred
async def test_the_newest_wins(world: World) -> None:
    """What was overwritten and not yet collected is garbage, and counted."""
    await world.put("k", b"old")
    await world.upload("k", b"older than", b"the last")
    await world.put("k", b"newest", on="two")
    await world.put("u", b"plain before")
    await world.upload("u", b"first", b"second")
    await world.put("u2", b"x")
    world.lose()
    code, out = await world.rebuild()
    assert code == 0, out
    seen = await world.snapshot()
    assert {key: each.data for key, each in seen.items()} == {
        "k": b"newest",
        "u": b"firstsecond",
        "u2": b"x",
    }
    states = [state for _, _, state in world.stage.copies()]
    # The old "k", its two parts and their manifest, the old "u".
    assert states.count("garbage") == 5
    assert await world.check() == []
    world.stage.db.check()


@ensureDeferred
async def test_an_upload_without_a_manifest(world: World) -> None:
    """Kept as an open upload that does not expire: it can be completed."""
    upload_id = await world.upload("big", b"first", b"second", complete=False)
    await world.put_part("big", upload_id, 1, b"first again", "one")
    world.lose()
    code, out = await world.rebuild()
    assert code == 1
    assert f"unfinished: upload {upload_id} has 2 parts of 17 bytes" in out
    assert await world.stage.ledger.head(BUCKET, "big") is None
    assert await world.check() == []
    world.stage.db.sql("UPDATE multipart_uploads SET created_at = '2000-01-01'")
    assert await world.uploads.expire(86400.0, 100) == 0
    parts, _ = await world.uploads.list_parts(upload_id, 0, 10)
    listed = [CompletedPart(each.part_number, each.etag) for each in parts]
    await world.uploads.complete(
        upload_id, BUCKET, "big", listed, ANY, least_part_bytes=0, checksums={}
    )
    assert (await world.snapshot())["big"].data == b"first againsecond"
    # And aborted, its parts would have become garbage.
    states = [state for _, _, state in world.stage.copies()]
    assert states.count("garbage") == 1


@ensureDeferred
async def test_one_backend_after_the_other(world: World) -> None:
    """What one lacks the next one brings; nothing old goes before the new is whole."""
    await world.put("k", b"old", on="two")
    await world.upload("k", b"first", b"second")
    await world.upload("m", b"third", b"fourth")
    world.lose()
    # The parts of odd numbers are on one; the manifests are on two.
    code, out = await world.rebuild("one")
    assert code == 1
    assert out.count("and no manifest") == 2
    code, out = await world.rebuild("two")
    assert code == 0, out
    seen = await world.snapshot()
    assert {key: each.data for key, each in seen.items()} == {
        "k": b"firstsecond",
        "m": b"thirdfourth",
    }
    assert await world.check() == []
    world.stage.db.check()
    assert (
        world.stage.db.value(
            "SELECT count(*) FROM multipart_uploads WHERE state = 'open'"
        )
        == 0
    )


@ensureDeferred
async def test_a_part_that_is_missing(world: World) -> None:
    """The object is there and known to be broken; what is older is not touched."""
    await world.put("k", b"old", on="two")
    await world.upload("k", b"first", b"second")
    world.lose()
    code, out = await world.rebuild("two")
    assert code == 1
    assert "'k': unfinished: 1 of its 2 parts (1) are on no backend" in out
    old = [
        key
        for key in world.stage.server.keys(world.stage.configs["two"])
        if "." not in key
    ]
    assert old[0] not in {key for _, key, _ in world.stage.copies()}
    assert any("a part is missing" in line for line in await world.check())
    code, out = await world.rebuild()
    assert code == 0, out
    assert (await world.snapshot())["k"].data == b"firstsecond"
    states = [state for _, _, state in world.stage.copies()]
    assert (states.count("live"), states.count("garbage")) == (3, 1)
    assert await world.check() == []


@ensureDeferred
async def test_into_a_ledger_that_has_something(world: World) -> None:
    """A daemon wrote meanwhile: its objects stand, the others come back beside them."""
    await world.put("a", b"old a")
    await world.put("b", b"old b")
    old = world.who
    world.lose()
    await world.put("a", b"new a")
    with pytest.raises(
        ConfigError, match=rf"--installation which .* of {old} \(2 objects\)"
    ):
        await world.rebuild()
    code, out = await world.rebuild(installations=(old,))
    assert code == 0, out
    assert world.who != old
    seen = await world.snapshot()
    assert {key: each.data for key, each in seen.items()} == {
        "a": b"new a",
        "b": b"old b",
    }
    assert await world.check() == []
    # The next loss finds objects of both.
    new = world.who
    world.lose()
    with pytest.raises(ConfigError, match="--installation which to take in"):
        await world.rebuild()
    code, out = await world.rebuild(installations=(new, old))
    assert code == 0, out
    assert (world.who, set(await world.snapshot())) == (new, {"a", "b"})


@ensureDeferred
async def test_another_installation_in_the_bucket(world: World) -> None:
    """Only what was asked for."""
    await world.put("theirs", b"1")
    theirs = world.who
    world.lose()
    await world.put("mine", b"2")
    mine = world.who
    world.lose()
    with pytest.raises(ConfigError):
        await world.rebuild()
    code, _out = await world.rebuild(installations=(mine,))
    assert code == 0
    assert set(await world.snapshot()) == {"mine"}
    assert not any(theirs in line for line in await world.check())


@ensureDeferred
async def test_copies_on_several_backends(world: World) -> None:
    """A replica is a copy, not a version of its own."""
    info = await world.put("k", b"hello")
    stored = await world.stage.ledger.find(BUCKET, "k")
    assert stored is not None
    (first,) = stored.parts[0].copies
    replica = evolve(
        first,
        copy_id="7" + first.copy_id[1:],
        backend_name="two",
        backend_key=f"k~7{first.copy_id[1:]}",
    )
    described = describe(
        replica,
        installation_id=world.who,
        bucket=BUCKET,
        key="k",
        part_number=1,
        content_type=None,
        user_metadata={},
    )
    world.send(replica, b"hello", described)
    # A person copied the backend object, with all it says.
    world.send(evolve(first, backend_name="two"), b"hello", described)
    world.lose()
    code, out = await world.rebuild()
    assert code == 0, out
    stored = await world.stage.ledger.find(BUCKET, "k")
    assert stored is not None
    assert stored.info.etag == info.etag
    assert {each.backend_name for each in stored.parts[0].copies} == {"one", "two"}
    states = sorted(state for _, _, state in world.stage.copies())
    assert states == ["garbage", "live", "live"]
    assert await world.check() == []


@ensureDeferred
async def test_beside_what_sync_took_in(world: World) -> None:
    """ULIDs say nothing of a natural key: both are kept, and it is told."""
    await world.put("k", b"ours")
    world.lose()
    world.stage.put("k", b"natural")
    await world.stage.sync()
    code, out = await world.rebuild(installations=tuple(await found(world)))
    assert code == 1
    assert "another object there, which sync took in" in out
    assert (await world.snapshot())["k"].data == b"natural"
    assert len(world.stage.copies()) == 1


async def found(world: World) -> set[str]:
    """Installations that objects tell of."""
    ids = set()
    for name, backend in world.stage.context.backends.items():
        for key in world.stage.server.keys(world.stage.configs[name]):
            told = (await backend.inspect(key)).user_metadata
            ids |= (
                {told["s3proxy-installation"]}
                if "s3proxy-installation" in told
                else set()
            )
    return ids


@ensureDeferred
async def test_adopted_objects_come_back_by_sync(world: World) -> None:
    """Those with other metadata too: a manifest tells them."""
    world.stage.put("k", b"natural", Metadata={"was": "so"})
    await world.stage.sync()
    info = await world.stage.ledger.head(BUCKET, "k")
    assert info is not None
    await world.stage.ledger.replace_metadata(info, "image/png", {}, {"is": "so"}, ANY)
    await world.write_manifests("two")
    before = await world.snapshot()
    world.lose()
    code, out = await world.rebuild()
    assert code == 1
    assert "'k': unfinished: 1 of its 1 parts" in out
    code, out = await world.stage.sync()
    assert code == 0, out
    assert await world.snapshot() == before
    assert await world.check() == []


@ensureDeferred
async def test_a_manifest_that_is_none(world: World) -> None:
    """Told, and left; the parts are kept."""
    await world.upload("k", b"first", b"second")
    (key,) = [
        key
        for key in world.stage.server.keys(world.stage.configs["two"])
        if key.endswith(".manifest")
    ]
    told = await world.stage.context.backends["two"].inspect(key)
    world.stage.put(key, b"{}", on="two", Metadata=dict(told.user_metadata))
    world.lose()
    code, out = await world.rebuild()
    assert code == 1
    assert "it cannot be read: version: want int" in out
    assert "has 2 parts of 11 bytes and no manifest" in out


@ensureDeferred
async def test_nothing_there(world: World) -> None:
    """An empty bucket is no error; a backend that is not there is."""
    code, out = await world.rebuild()
    assert (code, "rebuilt 0 objects" in out) == (0, True)
    with pytest.raises(ConfigError, match=r"--backend x: not configured"):
        await world.rebuild("x")


@ensureDeferred
async def test_a_bucket_that_was_deleted_gets_nothing(world: World) -> None:
    """Nobody could see, or delete, what is put there (rule 33)."""
    await world.put("k", b"hello")
    world.lose()
    world.stage.lose_bucket(BUCKET)
    code, out = await world.rebuild()
    assert (code, world.stage.copies()) == (1, set())
    assert f"{BUCKET}/'k': its bucket has been deleted" in out
    assert world.stage.db.value("SELECT count(*) FROM objects") == 0
