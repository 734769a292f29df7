"""``explain`` and ``what-if`` over a real ledger and backends in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from io import StringIO

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from s3proxy.commands import explain
from s3proxy.commands.progress import Progress
from s3proxy.errors import ConfigError
from s3proxy.store.whereabouts import Whereabouts
from tests.system.test_pool import NAMES, SMALL, Proxy
from tests.system.test_pool import proxy as proxy  # a fixture


def pool(
    proxy: Proxy,
    *,
    configured: Sequence[str] = NAMES,
    draining: Collection[str] = (),
    factor: int = 1,
) -> explain.Pool:
    return explain.Pool(
        Whereabouts(proxy.pool), configured, NAMES, draining, {"b", "c"}, factor
    )


async def explained(asked: explain.Pool, key: str, bucket: str = "b") -> list[str]:
    """The exit code, and the lines."""
    out = StringIO()
    code = await explain.explain(asked, key, bucket=bucket, out=out)
    return [str(code), *out.getvalue().splitlines()]


async def asked(
    asked: explain.Pool, *without: str, bucket: str | None = None, page: int = 1000
) -> list[str]:
    """The exit code, and the lines."""
    out = StringIO()
    code = await explain.what_if(
        asked,
        without,
        bucket=bucket,
        progress=Progress(out, Clock()),
        out=out,
        page=page,
    )
    return [str(code), *out.getvalue().splitlines()]


async def fill(proxy: Proxy) -> None:
    """One object in one place, one in two, an upload of which one part is in two."""
    await proxy.put("alone", b"a" * SMALL)
    proxy.limit("one", SMALL + 10)
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * (SMALL - 1))
    proxy.limit("one", 0)
    with proxy.quorum(2, 2):
        await proxy.put("twice", b"t" * SMALL)
    await proxy.manifester().round()
    [(part,)] = proxy.sql(
        "SELECT part_id FROM object_parts p JOIN objects o USING (object_id) "
        "WHERE o.object_key = 'upload' AND part_number = 4"
    )
    proxy.sql("UPDATE object_parts SET replica_due_at = 'infinity'")
    proxy.sql(
        "UPDATE object_parts SET replica_due_at = now() WHERE part_id = %s", (part,)
    )
    await proxy.replicator(2).round()


@ensureDeferred
async def test_where_an_object_is(proxy: Proxy) -> None:
    """Every part and copy, the manifest copy, and what each backend's death costs."""
    await fill(proxy)
    (key_3, key_4, key_5) = (
        key
        for (key,) in proxy.sql(
            "SELECT backend_key FROM object_locations WHERE object_key = 'upload' "
            "AND NOT is_manifest ORDER BY part_id, backend_name = 'one'"
        )
    )
    [(manifest, size)] = proxy.sql(
        "SELECT backend_key, size_bytes FROM object_locations WHERE is_manifest"
    )
    [(etag, time)] = proxy.sql(
        "SELECT etag, to_char(last_modified AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD HH24:MI:SS') FROM objects WHERE object_key = 'upload'"
    )
    assert await explained(pool(proxy, draining={"two"}), "upload") == [
        "0",
        f"b: 'upload': 2.0 KiB (1,999 bytes), ETag {etag}, of {time} UTC",
        "  part 3: bytes 0 to 999",
        f"    live, 1000 bytes, on two (being drained): {key_3!r}",
        "  part 4: bytes 1,000 to 1,998",
        f"    live, 999 bytes, on two (being drained): {key_4!r}",
        f"    live, 999 bytes, on one: {key_5!r}",
        "  manifest copy:",
        f"    live, {size} bytes, on one: {manifest!r}",
        "  if one backend dies:",
        "    one: nothing is lost; the manifest copy goes with it",
        "    two: LOST: 1 of 2 parts, 1000 bytes of 2.0 KiB; ranges of the rest can be "
        "read",
        "    three: nothing is lost",
    ]


@ensureDeferred
async def test_what_cannot_be_read_now(proxy: Proxy) -> None:
    """A copy on a backend that is not configured is of no use."""
    await fill(proxy)
    lines = await explained(pool(proxy, configured=["one"]), "upload")
    assert lines[0] == "1"
    assert "on two (NOT CONFIGURED: cannot be read): " in lines[3]
    assert lines[-3:] == [
        "  NOT READABLE NOW: 1 of 2 parts, 1000 bytes of 2.0 KiB",
        "  if one backend dies:",
        "    one: LOST: 1 of 2 parts, 999 bytes of 2.0 KiB; the manifest copy goes "
        "with it",
    ]
    lines = await explained(pool(proxy, configured=["two"]), "alone")
    assert lines[0] == "1" and lines[-3:] == [
        "  NOT READABLE NOW: the whole object",
        "  if one backend dies:",
        "    two: nothing is lost",
    ]


@ensureDeferred
async def test_there_is_none(proxy: Proxy) -> None:
    """A key, a bucket, a backend that are not there are told by name."""
    assert await explained(pool(proxy), "no\nne") == [
        "1",
        "b: there is no object 'no\\nne'",
    ]
    with pytest.raises(ConfigError, match="--bucket x: there is none, want one of b, "):
        await explained(pool(proxy), "k", bucket="x")
    with pytest.raises(ConfigError, match="--without x: there is none, want one of on"):
        await asked(pool(proxy), "one", "x")


@ensureDeferred
async def test_an_empty_object_and_a_claim(proxy: Proxy) -> None:
    """A copy under way does not count as one that can be read."""
    await proxy.put("empty", b"")
    proxy.sql(
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, "
        "bucket, object_key, size_bytes, state, due_at) SELECT '0', part_id, 'two', "
        "'kk', 'b', 'empty', 0, 'claimed', now() FROM object_parts"
    )
    lines = await explained(pool(proxy), "empty")
    assert lines[2:4] == [
        "  part 1: empty",
        "    claimed, 0 bytes, on two: 'kk'",
    ]
    assert "    one: LOST: the whole object" in lines


@ensureDeferred
async def test_what_would_be_left(proxy: Proxy) -> None:
    """Page by page the same as all at once."""
    await fill(proxy)
    whole = await asked(pool(proxy, factor=2), "two")
    assert whole == [
        "1",
        "without two, with one, three:",
        "  all:      3 objects, 3.9 KiB",
        "  readable: 2 objects whole; 2.9 KiB in all",
        "  LOST:     1 objects, of which 1000 bytes are gone",
        "  too few:  2 of the readable objects, 2.0 KiB, have fewer than 2 copies",
    ]
    for page in (1, 2):
        assert await asked(pool(proxy, factor=2), "two", page=page) == whole
    assert (await asked(pool(proxy), "one"))[1:] == [
        "without one, with two, three:",
        "  all:      3 objects, 3.9 KiB",
        "  readable: 2 objects whole; 2.9 KiB in all",
        "  LOST:     1 objects, of which 1000 bytes are gone",
        "  bare:     1 of the readable objects lose their manifest copy: only the "
        "ledger knows how their parts make them",
    ]
    assert (await asked(pool(proxy), "one", "two"))[3:] == [
        "  readable: 0 objects whole; 0 bytes in all",
        "  LOST:     3 objects, of which 3.9 KiB are gone",
    ]
    assert (await asked(pool(proxy, configured=["one", "three"]), "three"))[4:6] == [
        "  LOST:     1 objects, of which 1000 bytes are gone",
        "            1 of these objects cannot be read whole now either",
    ]


@ensureDeferred
async def test_of_one_bucket(proxy: Proxy) -> None:
    """Neither what comes before it nor what comes after."""
    await fill(proxy)
    proxy.sql("UPDATE objects SET bucket = 'a' WHERE object_key = 'alone'")
    proxy.sql("UPDATE objects SET bucket = 'c' WHERE object_key = 'upload'")
    assert (await asked(pool(proxy), "one", bucket="b")) == [
        "0",
        "without one, with two, three:",
        "  all:      1 objects, 1000 bytes",
        "  readable: 1 objects whole; 1000 bytes in all",
        "  lost:     nothing",
    ]
    assert "all:      1 objects" in (await asked(pool(proxy), "one", bucket="c"))[2]


@ensureDeferred
async def test_pages_follow_the_order_of_bytes(proxy: Proxy) -> None:
    """Whatever language the database speaks, no key is counted twice or left out."""
    keys = ["a", "B", "_", "é", "Z", "~", "a/b"]
    for key in keys:
        await proxy.put(key, b"x")
    for page in (1, 3):
        lines = await asked(pool(proxy), "two", page=page)
        assert lines[2] == f"  all:      {len(keys)} objects, {len(keys)} bytes"
