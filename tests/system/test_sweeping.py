"""
Sweeps over a real ledger and backends in memory: what is whose, what goes and what
never does, and when nothing at all may go.
"""

from __future__ import annotations

from io import StringIO

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.logger import capturedLogs

from s3proxy.commands import sweep
from s3proxy.errors import BackendRefused, BackendUnavailable, ConfigError
from s3proxy.jobs.sweeping import NAME, ScheduledSweep
from s3proxy.manager.ports import BackendKey
from s3proxy.manager.sweeping import Sweeper
from s3proxy.plan.sweeping import Orphan, Swept
from s3proxy.s3.uploads import CreateMultipartUpload, UploadPart
from s3proxy.store.janitor import Janitor
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.status import Status
from s3proxy.store.sweeping import PostgresSweeping
from tests.fakes.backend import Kept, MemoryBackend
from tests.manager.conftest import Pieces
from tests.system.test_pool import NAMES, SMALL, Proxy
from tests.system.test_pool import proxy as proxy  # a fixture

ULID = "01J00000000000000000000000"
OURS = {"x-amz-meta-s3proxy-installation": "installation"}


def ledger(proxy: Proxy) -> PostgresSweeping:
    return PostgresSweeping(proxy.pool, 0.0)


async def swept(
    proxy: Proxy,
    *backends: str,
    delete: bool = False,
    accept: bool = False,
    show_all: bool = False,
) -> tuple[int, str]:
    """Exit code and output."""
    pool = sweep.Pool(ledger(proxy), proxy.backends, "installation", proxy.clock)
    out = StringIO()
    code = await sweep.run(
        pool,
        backends=backends,
        delete=delete,
        accept_restore=accept,
        show_all=show_all,
        out=out,
    )
    return code, out.getvalue()


def put(
    backend: MemoryBackend, key: str, data: bytes, headers: dict[str, str] | None = None
) -> None:
    """Past everything."""
    backend.objects[key] = Kept(data, dict(headers or {}), "etag")


async def fill(proxy: Proxy, count: int = 100) -> None:
    """So many objects that one unknown key is no reason to doubt the ledger."""
    proxy.sql(
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, "
        "bucket, object_key, size_bytes, state, due_at) "
        "SELECT 'c' || n, 'p' || n, 'one', 'k~' || n, 'b', 'k', 0, 'abandoned', now() "
        "FROM generate_series(1, %s) n",
        (count,),
    )
    for number in range(1, count + 1):
        put(proxy.backends["one"], f"k~{number}", b"")


@ensureDeferred
async def test_only_ours_goes_and_only_if_told(proxy: Proxy) -> None:
    """A thousand files of others, and a second installation, stay as they are."""
    one = proxy.backends["one"]
    await fill(proxy)
    await proxy.put("kept", b"x" * SMALL)
    foreign = {f"photos/{n:04}.jpg": b"%d" % n for n in range(1000)}
    foreign |= {f"spelt~{ULID}": b"s", f"~/{ULID}": b"t", "a\0b": b"u"}
    for key, data in foreign.items():
        put(one, key, data)
    theirs = {"x-amz-meta-s3proxy-installation": "another"}
    put(one, f"theirs~{ULID}", b"another's", theirs)
    put(one, f"unsuffixed~{ULID[1:]}", b"like ours", OURS)
    put(one, f"orphan~{ULID}", b"late", {**OURS, "x-amz-meta-s3proxy-bucket": "b"})
    before = {key: (kept.data, kept.headers) for key, kept in one.objects.items()}
    one.page_size = 7

    code, text = await swept(proxy, "one")
    assert code == 1
    assert f"one: ours, unknown: 'orphan~{ULID}'\n" in text
    assert "1,005 foreign (1 of other installations)" in text
    assert "one: foreign: and 905 more (--all shows them)" in text
    assert "--delete would queue 1 keys of ours to be deleted, 4 bytes" in text
    assert before == {key: (k.data, k.headers) for key, k in one.objects.items()}
    assert proxy.copies(live=False) == {}
    used = proxy.sql("SELECT bytes_used FROM backend_quotas WHERE backend_name = 'one'")
    assert used == [(SMALL,)]

    code, text = await swept(proxy, delete=True)
    assert code == 0, text
    assert "one: queued 1 keys to be deleted, 4 bytes" in text
    assert "two: queued 0 keys" in text and "three: queued 0 keys" in text
    # Charged until it is gone; another run finds a row.
    used = proxy.sql("SELECT bytes_used FROM backend_quotas WHERE backend_name = 'one'")
    assert used == [(SMALL + 4,)]
    assert "one: queued 0 keys" in (await swept(proxy, delete=True))[1]
    gone = {f"orphan~{ULID}"} | {f"k~{n}" for n in range(1, 101)}
    strays = {key for key in before if key not in gone and not key.startswith("kept~")}
    await proxy.settle({"one": sorted(strays)})
    after = {key: (kept.data, kept.headers) for key, kept in one.objects.items()}
    assert after == {key: value for key, value in before.items() if key not in gone}
    assert await proxy.get("kept") == b"x" * SMALL
    assert "one: foreign: 'a\\x00b'\n" in (await swept(proxy, show_all=True))[1]


@ensureDeferred
async def test_what_the_ulid_tells_is_known_under_any_spelling(proxy: Proxy) -> None:
    """A backend that spells keys in its own way, and one that has a copy of another."""
    await proxy.put("é", b"x" * SMALL)
    one, two = proxy.backends["one"], proxy.backends["two"]
    [(key, kept)] = one.objects.items()
    one.objects = {"e\u0301" + key[1:]: kept}
    two.objects = {key: kept}
    code, text = await swept(proxy, delete=True)
    assert code == 1
    assert "one: ours, and its copy is on one, as" in text
    assert "two: ours, and its copy is on one, as" in text
    assert "one: MISSING" in text and "1 copies without bytes are THE ONLY ONES" in text
    assert proxy.copies() == {"one": 1} and len(one.objects) == len(two.objects) == 1


@ensureDeferred
async def test_a_key_that_is_written_or_deleted_meanwhile(proxy: Proxy) -> None:
    """Its row was there before it was listed, or it is gone when it is asked."""
    one = proxy.backends["one"]
    await proxy.put("k", b"x" * SMALL)
    list_page = one.list_page

    async def listed(prefix: str, token: str | None) -> tuple[list[BackendKey], None]:
        page, _ = await list_page(prefix, token)
        await proxy.put("new", b"n")
        await proxy.objects.delete("b", "k", [])
        proxy.sql("DELETE FROM object_locations WHERE state = 'garbage'")
        del one.objects[next(key for key in one.objects if key.startswith("k~"))]
        return page, None

    one.list_page = listed  # type: ignore[method-assign]
    code, text = await swept(proxy, "one", delete=True)
    assert code == 0 and "0 ours and unknown" in text
    assert await proxy.get("new") == b"n"
    await proxy.settle()


@ensureDeferred
async def test_bytes_that_are_gone_are_made_anew_from_another_copy(
    proxy: Proxy,
) -> None:
    await proxy.put("two copies", b"x" * SMALL)
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * SMALL)
    await proxy.manifester().round()
    await proxy.replicator(2).round()
    await proxy.put("only", b"y" * SMALL)
    upload = await proxy.uploads.create(CreateMultipartUpload("b", "open"))
    op = UploadPart("b", "open", upload, 1, SMALL)
    await proxy.uploads.put_part(op, Pieces(b"p" * SMALL), sha256=None)
    changed = proxy.backends["two"].objects
    key = next(key for key in changed if key.startswith("two copies~"))
    changed[key] = evolve(changed[key], etag="other")
    proxy.backends["one"].objects.clear()

    code, text = await swept(proxy)
    assert code == 1 and "6 live copies missing, 0 changed" in text
    assert "two: CHANGED: 'two copies~" in text
    assert proxy.copies() == {"one": 6, "two": 3}
    code, text = await swept(proxy, delete=True)
    assert code == 1
    assert "one: 3 copies without bytes count no more" in text
    assert "one: 1 manifest copies are written anew" in text
    assert "one: 1 copies without bytes are THE ONLY ONES" in text
    assert "one: 1 parts of open uploads are gone" in text
    changed[key] = evolve(changed[key], etag=_etag(proxy, key))
    proxy.due()
    await proxy.replicator(2).round()
    await proxy.manifester().round()
    assert await proxy.get("two copies") == b"x" * SMALL
    assert await proxy.get("upload") == b"1" * SMALL + b"2" * SMALL
    code, text = await swept(proxy, delete=True)
    assert "one: 3 keys" not in text and "2 live copies missing, 0 changed" in text
    await proxy.objects.delete("b", "only", [])
    await proxy.upload_ledger.abort(upload, "b", "open")
    await proxy.settle()
    assert (await swept(proxy))[0] == 0


def _etag(proxy: Proxy, key: str) -> str:
    rows = proxy.sql(
        "SELECT backend_etag FROM object_locations WHERE backend_key = %s", (key,)
    )
    return str(rows[0][0])


@ensureDeferred
async def test_a_404_that_passes_is_none(proxy: Proxy) -> None:
    """A HEAD's 404 may be the bucket's; and each is looked at twice."""
    await proxy.put("k", b"x" * SMALL)
    one = proxy.backends["one"]
    [(key, kept)] = one.objects.items()
    one.objects.clear()
    one.fail("open_get", BackendRefused("one", "404 NoSuchBucket"))
    code, text = await swept(proxy, delete=True)
    assert code == 1 and "one: could not be read: " in text and "NoSuchBucket" in text
    inspect, looks = one.inspect, []

    async def late(backend_key: str) -> object:
        looks.append(backend_key)
        if len(looks) == 2:
            one.objects[key] = kept
        return await inspect(backend_key)

    one.inspect = late  # type: ignore[method-assign, assignment]
    code, text = await swept(proxy, delete=True)
    assert (code, looks) == (0, [key, key]) and "0 live copies missing" in text
    assert proxy.copies() == {"one": 1}


@ensureDeferred
async def test_too_many_unknown_keys_hold_up_everything(proxy: Proxy) -> None:
    """More than one in a hundred: the ledger is doubted, by collectors too."""
    one = proxy.backends["one"]
    await fill(proxy, 197)
    for number in range(3):
        put(one, f"o{number}~{ULID}", b"acknowledged", OURS)
    await proxy.put("k", b"x" * SMALL)
    await proxy.objects.delete("b", "k", [])
    code, text = await swept(proxy, delete=True)
    assert code == 1 and "NOTHING IS DELETED, here or by any daemon: a sweep" in text
    assert "3 keys of ours on one that the ledger does not know, beside 198" in text
    assert proxy.copies(live=False) == {"one": 1}
    with capturedLogs() as logs:
        assert await proxy.collector.round() == 0
        assert "NOTHING IS DELETED: a sweep" in str(
            await proxy.collector.collect("one")
        )
    assert [e["log_level"].name for e in logs if "advice" in e] == ["error"]
    assert len(one.objects) == 201
    assert "a sweep found" in str(await Status(proxy.pool).held())
    # Also where everything is known again: somebody has to say so.
    for number in range(3):
        del one.objects[f"o{number}~{ULID}"]
    assert (await swept(proxy, delete=True))[0] == 1
    put(one, f"o~{ULID}", b"now", OURS)
    assert (await swept(proxy, delete=True, accept=True))[0] == 0
    assert proxy.copies(live=False) == {"one": 2}
    assert await Status(proxy.pool).held() is None
    await proxy.settle()


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@ensureDeferred
async def test_a_database_that_is_elsewhere(proxy: Proxy, place: int) -> None:
    """Server, timeline, database, table: any of them may be another one than before."""
    one = proxy.backends["one"]
    await fill(proxy)
    put(one, f"orphan~{ULID}", b"late", OURS)
    [(text,)] = proxy.sql("SELECT server_identity FROM installation")
    parts = text.split("/")
    assert len(parts) == 4 and "untold" not in parts
    parts[place] += "0"
    proxy.sql("UPDATE installation SET server_identity = %s", ("/".join(parts),))
    assert await proxy.collector.round() == 0
    assert len(one.objects) == 101
    code, said = await swept(proxy, delete=True)
    assert code == 1 and "a backup was restored, or a standby has taken over" in said
    assert proxy.copies(live=False) == {}
    assert (await swept(proxy, accept=True, delete=True))[0] == 0
    await proxy.settle()
    assert one.objects == {}


@ensureDeferred
async def test_no_row_is_lost_or_made_while_it_is_held(proxy: Proxy) -> None:
    """The ledger's functions refuse by themselves, whoever calls them."""
    await proxy.put("k", b"x" * SMALL)
    await proxy.replicator(2).round()
    proxy.sql("UPDATE installation SET suspicion = 'a reason'")
    [(copy_id,), _] = proxy.sql("SELECT copy_id FROM object_locations ORDER BY 1")
    assert await ledger(proxy).lose(copy_id) == "gone"
    orphan = Orphan(f"orphan~{ULID}", 4, "etag", None, ULID)
    assert await ledger(proxy).queue("one", [orphan]) == []
    await proxy.put("deleted", b"d")
    await proxy.objects.delete("b", "deleted", [])
    janitor = Janitor(proxy.pool, 0.0, 0.0)
    assert await janitor.collect("one", 10) == []
    proxy.sql("UPDATE installation SET suspicion = NULL")
    assert len(await janitor.collect("one", 10)) == 1
    assert await ledger(proxy).lose(copy_id) == "lost"
    assert await ledger(proxy).lose(copy_id) == "gone"


@ensureDeferred
async def test_a_key_with_a_row_is_not_queued(proxy: Proxy) -> None:
    """Whatever was looked up before: by its key, or by the ULID in it."""
    await proxy.put("k", b"x" * SMALL)
    [(copy_id, key)] = proxy.sql("SELECT copy_id, backend_key FROM object_locations")
    for known in (key, f"other~{copy_id}"):
        orphan = Orphan(known, SMALL, "etag", None, copy_id)
        assert await ledger(proxy).queue("one", [orphan]) == []
    await proxy.settle()


@ensureDeferred
async def test_what_a_rebuild_has_noted_is_left_to_it(proxy: Proxy) -> None:
    await fill(proxy)
    put(proxy.backends["one"], f"orphan~{ULID}", b"late", OURS)
    proxy.sql(
        "INSERT INTO rebuild_found VALUES ('one', %s, 'installation', 'b', 'k', '{}')",
        (f"orphan~{ULID}",),
    )
    code, text = await swept(proxy, delete=True)
    assert code == 1 and "1 keys of ours are left" in text
    assert proxy.copies(live=False) == {}
    proxy.sql("DELETE FROM rebuild_found")
    assert (await swept(proxy, delete=True))[0] == 0


def scheduled(proxy: Proxy, process: str = "me") -> ScheduledSweep:
    return ScheduledSweep(
        ledger(proxy),
        Sweeper(ledger(proxy), proxy.backends, "installation"),
        NAMES,
        PostgresJobs(proxy.pool, process),
        3600.0,
        60.0,
        proxy.told,
    )


@ensureDeferred
async def test_a_scheduled_sweep_reports_and_changes_nothing(proxy: Proxy) -> None:
    one = proxy.backends["one"]
    await fill(proxy)
    put(one, f"orphan~{ULID}", b"late", OURS)
    put(one, "foreign", b"f")
    proxy.backends["three"].fail("list_page", BackendUnavailable("three", "away"))
    jobs = PostgresJobs(proxy.pool, "other")
    assert await jobs.take(NAME, 60.0)
    assert await scheduled(proxy).round() == "another process is at it"
    await jobs.leave(NAME)
    with capturedLogs() as logs:
        text = await scheduled(proxy).round()
    assert text == (
        "one: 1 unknown, 0 missing, 0 changed, 1 foreign; two: 0 unknown, 0 missing, "
        "0 changed, 0 foreign; three: could not be read"
    )
    assert len(logs) == 2
    told = [(e.backend, e.unknown, e.foreign) for e in proxy.told.sweeps]
    assert told == [("one", 1, 1), ("two", 0, 0)]
    # Not again before its time, by anybody.
    assert await scheduled(proxy, "other").round() == text
    assert len(proxy.told.sweeps) == 2
    assert proxy.copies(live=False) == {} and len(one.objects) == 102
    proxy.sql("UPDATE installation SET swept_at = swept_at - interval '1 hour'")
    put(one, f"another~{ULID}", b"late", OURS)
    await scheduled(proxy).round()
    assert "2 keys of ours on one" in str(await Status(proxy.pool).held())


@ensureDeferred
async def test_there_is_no_such_backend(proxy: Proxy) -> None:
    with pytest.raises(ConfigError, match="want one of one, two, three"):
        await swept(proxy, "four")


@pytest.mark.parametrize(
    ("known", "orphans", "is_suspicious"),
    [(99, 1, False), (98, 1, True), (0, 0, False), (0, 1, True), (9900, 100, False)],
)
def test_more_than_one_in_a_hundred(
    known: int, orphans: int, *, is_suspicious: bool
) -> None:
    found = Swept("b", known=known, orphan_count=orphans)
    assert found.is_suspicious is is_suspicious
