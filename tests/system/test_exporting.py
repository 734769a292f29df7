"""``export`` over a real ledger and backends in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor, task

from s3proxy.commands import export, export_reading
from s3proxy.commands.export_tree import Tree
from s3proxy.errors import BackendUnavailable, ConfigError
from s3proxy.model import FoundObject
from s3proxy.plan.adoption import Adopted
from s3proxy.store.adoption import Adoption
from s3proxy.store.exporting import Exports
from tests.fakes.backend import Kept
from tests.system.test_pool import LARGE, NAMES, SMALL, Proxy
from tests.system.test_pool import proxy as proxy  # a fixture


def source(proxy: Proxy, configured: Sequence[str] = NAMES) -> export.Source:
    backends = {name: proxy.backends[name] for name in configured}
    return export.Source(
        proxy.ledger, Exports(proxy.pool), backends, ["b", "c"], 60.0, reactor
    )


async def exported(
    proxy: Proxy,
    to: Path | str,
    *,
    bucket: str | None = None,
    prefix: str = "",
    dry_run: bool = False,
    page: int = 1000,
    configured: Sequence[str] = NAMES,
) -> tuple[int, list[str]]:
    """Exit code and lines."""
    out = StringIO()
    code = await export.run(
        source(proxy, configured),
        to=str(to),
        bucket=bucket,
        prefix=prefix,
        dry_run=dry_run,
        out=out,
        page=page,
    )
    return code, out.getvalue().splitlines()


def files(to: Path) -> dict[str, bytes]:
    """By path below *to*; the export's own left out."""
    return {
        str(path.relative_to(to)): path.read_bytes()
        for path in to.rglob("*")
        if path.is_file() and ".s3proxy-export" not in path.parts
    }


def index(to: Path) -> dict[str, dict[str, Any]]:
    """The last line of each key."""
    lines = (to / ".s3proxy-export/index.jsonl").read_text().splitlines()
    return {(line := json.loads(each))["key"]: line for each in lines}


def move(proxy: Proxy, key: str, bucket: str) -> None:
    proxy.sql("UPDATE objects SET bucket = %s WHERE object_key = %s", (bucket, key))


@ensureDeferred
async def test_every_object_is_a_file_and_again_nothing_is_read(
    proxy: Proxy, tmp_path: Path
) -> None:
    bodies = {"plain": b"x" * SMALL, "d/large": b"y" * LARGE, "empty": b""}
    for key, data in bodies.items():
        await proxy.put(key, data, user_metadata={"a": "b"}, content_type="t/x")
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * (SMALL - 1))
    move(proxy, "plain", "c")
    to = tmp_path / "made" / "by it"
    assert await exported(proxy, to, dry_run=True) == (
        0,
        [
            f"one: 4 GETs, {LARGE + 3 * SMALL - 1:,} bytes",
            f"would export 4 objects, {LARGE + 3 * SMALL - 1:,} bytes; passed over 0 "
            "that are there; problems 0",
        ],
    )
    assert not to.exists() and not proxy.backends["one"].calls["open_get"]
    code, lines = await exported(proxy, to, page=1)
    assert code == 0 and lines[-1].startswith("exported 4 objects, 2,100,151 bytes;")
    assert files(to) == {
        "c/plain": bodies["plain"],
        "b/d/large": bodies["d/large"],
        "b/empty": b"",
        "b/upload": b"1" * SMALL + b"2" * (SMALL - 1),
    }
    told = index(to)["plain"]
    assert (told["path"], told["escaped"], told["size"]) == ("c/plain", False, SMALL)
    assert (told["metadata"], told["content_type"]) == ({"a": "b"}, "t/x")
    [(modified,)] = proxy.sql("SELECT last_modified FROM objects WHERE bucket = 'c'")
    assert isinstance(modified, datetime)
    assert abs((to / "c/plain").stat().st_mtime - modified.timestamp()) < 0.01
    reads = proxy.backends["one"].calls["open_get"]
    assert "passed over 4" in (await exported(proxy, to))[1][-1]
    assert proxy.backends["one"].calls["open_get"] == reads
    # Other bytes of the same size, or fewer: only these are read again.
    (to / "b/upload").write_bytes(b"1" * (2 * SMALL - 1))
    (to / "c/plain").write_bytes(b"")
    dry = (await exported(proxy, to, dry_run=True))[1]
    assert dry[0] == f"one: 3 GETs, {3 * SMALL - 1:,} bytes"
    assert "exported 2 objects" in (await exported(proxy, to))[1][-1]
    assert files(to)["b/upload"] == b"1" * SMALL + b"2" * (SMALL - 1)
    assert files(to)["c/plain"] == bodies["plain"]
    assert os.listdir(to / ".s3proxy-export/tmp") == []


@ensureDeferred
async def test_only_some(proxy: Proxy, tmp_path: Path) -> None:
    """Of a bucket, with a prefix; a bucket that is not there is told."""
    for key in ("a/1", "a/2", "b/1", "other"):
        await proxy.put(key, b"x")
    move(proxy, "a/2", "c")
    assert (await exported(proxy, tmp_path, bucket="b", prefix="a/"))[0] == 0
    assert set(files(tmp_path)) == {"b/a/1"}
    with pytest.raises(ConfigError, match="--bucket d: there is none, want one of b, "):
        await exported(proxy, tmp_path, bucket="d")
    with pytest.raises(ConfigError, match="exports to a directory only"):
        await exported(proxy, "s3://b", dry_run=True)


@ensureDeferred
async def test_names_that_no_file_can_have(proxy: Proxy, tmp_path: Path) -> None:
    """They are escaped, and told in the index; nothing leaves the directory."""
    to = tmp_path / "in" / "to"
    odd = [
        *("../../out", "/etc/out", "..", ".", "a//b", "dir/", "x/../../y", "x/./y"),
        *("long/" + "l" * 256, "both", ".s3proxy-export/tmp/1"),
    ]
    fine = ["both/a", "both-", "...", "back\\slash", "new\nline", "é"]
    for key in (*odd, *fine):
        await proxy.put(key, key.encode())
    assert (await exported(proxy, to, page=3))[0] == 0
    found = index(to)
    # The last one is no odd name within its bucket.
    escaped = [key for key in found if found[key]["escaped"]]
    assert sorted(escaped) == sorted(odd[:-1])
    for key, line in found.items():
        assert (to / line["path"]).read_bytes() == key.encode()
    for key in fine:
        assert (to / "b" / key).read_bytes() == key.encode()
    assert os.listdir(tmp_path) == ["in"] and os.listdir(tmp_path / "in") == ["to"]
    assert set(os.listdir(to)) == {"b", ".s3proxy-export"}
    assert "passed over 17" in (await exported(proxy, to))[1][-1]
    # What is another key's directory is so whatever prefix is asked for.
    assert (await exported(proxy, tmp_path / "2", prefix="both"))[0] == 0
    assert set(files(tmp_path / "2")) == {"b/both/a", "b/both-"}


@pytest.mark.parametrize("what", ["symlink", "directory link", "bucket link", "fifo"])
@ensureDeferred
async def test_it_follows_no_link(proxy: Proxy, tmp_path: Path, what: str) -> None:
    """Whoever can write there cannot make it write, or read, elsewhere."""
    to, outside = tmp_path / "to", tmp_path / "outside"
    (to / "b").mkdir(parents=True)
    outside.mkdir()
    (outside / "k").write_bytes(b"theirs")
    key = "d/k"
    if what == "symlink":
        (to / "b/d").mkdir()
        (to / "b/d/k").symlink_to(outside / "k")
    elif what == "directory link":
        (to / "b/d").symlink_to(outside)
    elif what == "bucket link":
        (to / "b").rmdir()
        (to / "b").symlink_to(outside)
        key = "k"
    else:
        (to / "b/d").mkdir()
        os.mkfifo(to / "b/d/k")
    await proxy.put(key, b"theirs")
    await proxy.put("z", b"z")
    code, lines = await exported(proxy, to)
    assert code == 1 and "not exported: " in lines[0] and "move it away" in lines[0]
    assert {path.name for path in outside.iterdir()} == {"k"}
    assert (outside / "k").read_bytes() == b"theirs"
    if what != "bucket link":
        assert files(to)["b/z"] == b"z"


@ensureDeferred
async def test_its_own_directory_may_be_no_link(proxy: Proxy, tmp_path: Path) -> None:
    to, outside = tmp_path / "to", tmp_path / "outside"
    to.mkdir()
    outside.mkdir()
    (to / ".s3proxy-export").symlink_to(outside)
    with pytest.raises(ConfigError, match="cannot be written to"):
        await exported(proxy, to)
    (to / ".s3proxy-export").unlink()
    (to / ".s3proxy-export").mkdir()
    (outside / "index").write_text("theirs")
    (to / ".s3proxy-export/index.jsonl").symlink_to(outside / "index")
    with pytest.raises(ConfigError, match="cannot be written to"):
        await exported(proxy, to)
    assert (outside / "index").read_text() == "theirs"


@ensureDeferred
async def test_other_bytes_are_read_from_another_copy(
    proxy: Proxy, tmp_path: Path
) -> None:
    """A flipped byte is noticed, and no file has it."""
    with proxy.quorum(2, 2):
        await proxy.put("two copies", b"t" * SMALL)
    await proxy.put("one copy", b"o" * SMALL)
    for kept in proxy.backends["one"].objects.values():
        kept.data = b"X" + kept.data[1:]
    code, lines = await exported(proxy, tmp_path)
    assert code == 1 and files(tmp_path) == {"b/two copies": b"t" * SMALL}
    assert lines[0] == (
        "b: not exported: 'one copy': part 1: on one are other bytes than were stored: "
        "their hash is another"
    )


@ensureDeferred
async def test_what_cannot_be_had_is_told_and_the_rest_goes_on(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are gone, a backend that is down, one that is not configured."""
    waits = export_reading.patiently.__globals__
    monkeypatch.setitem(waits, "WAITS_SECONDS", (0.0,))
    await proxy.put("gone", b"g")
    proxy.backends["one"].objects.clear()
    await proxy.put("kept", b"k")
    proxy.limit("one", 1)
    await proxy.put("on two", b"2" * SMALL)
    code, lines = await exported(proxy, tmp_path, configured=["one"])
    assert code == 1 and len(lines) == 3
    # Several are under way at once.
    gone, away = sorted(lines[:2])
    assert "'gone': its bytes are gone: backend one: " in gone
    assert "'on two': part 1 has no copy on a configured backend (on: two)" in away
    assert "exported 1 objects, 1 bytes; passed over 0" in lines[2]
    proxy.backends["two"].is_down = True
    code, lines = await exported(proxy, tmp_path)
    assert any("'on two': backend two: down" in line for line in lines)
    assert "passed over 1" in lines[-1]
    proxy.backends["two"].is_down = False
    code, lines = await exported(proxy, tmp_path)
    assert "problems 1" in lines[-1] and set(files(tmp_path)) == {"b/kept", "b/on two"}


@ensureDeferred
async def test_a_read_that_breaks_off_goes_on(proxy: Proxy, tmp_path: Path) -> None:
    await proxy.put("k", bytes(range(256)) * (LARGE // 256))
    proxy.backends["one"].fail("read", None, None, BackendUnavailable("one", "cut"))
    assert (await exported(proxy, tmp_path))[0] == 0
    assert files(tmp_path)["b/k"] == bytes(range(256)) * (LARGE // 256)


@pytest.mark.parametrize("what", ["overwritten", "deleted"])
@ensureDeferred
async def test_changed_while_it_is_read(
    proxy: Proxy, tmp_path: Path, what: str
) -> None:
    """What is written is one version, whole; what is deleted is none."""
    await proxy.put("k", b"old" * SMALL)
    inner = proxy.backends["one"].open_get

    async def late(*args: Any) -> Any:
        proxy.backends["one"].open_get = inner  # type: ignore[method-assign]
        if what == "overwritten":
            await proxy.put("k", b"new")
        else:
            await proxy.objects.delete("b", "k", [])
        await proxy.settle()
        return await inner(*args)

    proxy.backends["one"].open_get = late  # type: ignore[method-assign]
    code, lines = await exported(proxy, tmp_path)
    assert code == 0, lines
    if what == "overwritten":
        assert files(tmp_path) == {"b/k": b"new"}
        assert index(tmp_path)["k"]["size"] == 3
    else:
        assert files(tmp_path) == {} and lines[0] == "1 were deleted meanwhile"


@ensureDeferred
async def test_without_a_hash_it_goes_by_size_and_time(
    proxy: Proxy, tmp_path: Path
) -> None:
    """What sync has taken in may have none that anybody knows."""
    proxy.backends["one"].objects["k"] = Kept(b"data", {}, "x-2")
    found = FoundObject("k", 4, "x-2", None, datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    outcomes = await Adoption(proxy.pool).adopt("one", "b", (found,))
    assert outcomes == {"k": Adopted.IMPORTED}
    code, lines = await exported(proxy, tmp_path)
    assert code == 0 and "1 could not be verified" in lines[0]
    assert files(tmp_path) == {"b/k": b"data"}
    assert "passed over 1" in (await exported(proxy, tmp_path))[1][-1]
    os.utime(tmp_path / "b/k", (1, 1))
    assert "exported 1 objects" in (await exported(proxy, tmp_path))[1][-1]


@ensureDeferred
async def test_one_at_a_time_and_what_a_dead_one_left(
    proxy: Proxy, tmp_path: Path
) -> None:
    await proxy.put("k", b"k")
    tree = Tree.open(tmp_path)
    with pytest.raises(ConfigError, match="another export is at work there"):
        await exported(proxy, tmp_path)
    tree.close()
    own = tmp_path / ".s3proxy-export"
    (own / "tmp/7").write_text("half of")
    (own / "index.jsonl").write_text('{"cut')
    assert (await exported(proxy, tmp_path))[0] == 0
    assert os.listdir(own / "tmp") == []
    first, second = (own / "index.jsonl").read_text().splitlines()
    assert first == '{"cut' and json.loads(second)["key"] == "k"


@ensureDeferred
async def test_a_full_disk_ends_it(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the page only what was under way is tried, and nothing is left half."""
    for number in range(20):
        await proxy.put(f"k{number}", b"k")
    tries = 0

    def full(*_: Any) -> int:
        nonlocal tries
        tries += 1
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("s3proxy.commands.export_tree.os.ftruncate", full)
        with pytest.raises(ConfigError, match="No space left on device"):
            await exported(proxy, tmp_path)
    assert 1 <= tries <= export.PARALLEL
    assert files(tmp_path) == {} and (await exported(proxy, tmp_path))[0] == 0
    assert len(files(tmp_path)) == 20


@ensureDeferred
async def test_how_far_it_is(proxy: Proxy, tmp_path: Path) -> None:
    """A line now and then, also within a large object."""
    await proxy.put("k", b"k" * LARGE)

    class Hasty(task.Clock):
        def seconds(self) -> float:
            self.rightNow += 6
            return self.rightNow

    out = StringIO()
    hasty = evolve(source(proxy), clock=Hasty())
    code = await export.run(
        hasty, to=str(tmp_path), bucket="b", prefix="", dry_run=False, out=out
    )
    lines = out.getvalue().splitlines()
    assert code == 0 and len(lines) > 3
    assert lines[0].startswith("exported 0 (0 bytes), read ")
