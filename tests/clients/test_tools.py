"""Every client stores, lists, fetches and deletes, through keys of all kinds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.clients.libraries import EVERY, params
from tests.clients.tools import Aws, Rclone, S3cmd, Tool
from tests.daemon import Daemon

KEYS = [
    "plain.txt",
    "with spaces/and more of them/a file.txt",
    "ä b+c/ü%25.txt",
    "a&b=c;d/e+f,g@h$i!(j)~k'l.txt",
    "日本語/🙂.txt",
]


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(params=params(EVERY))
def tool(request: pytest.FixtureRequest, daemon: Daemon, tmp_path: Path) -> Tool:
    """Each client."""
    kind: type[Tool] = request.param
    made: Tool = kind(daemon.endpoint, tmp_path)
    return made


def prefix(tool: Tool) -> str:
    """Each client has a corner of its own."""
    return f"{type(tool).__name__}/"


@pytest.mark.did("put, list, get, delete")
def test_small_files(tool: Tool, small: Path, tmp_path: Path) -> None:
    """Through every key: it is listed, comes back, is overwritten, and goes."""
    keys = [f"{prefix(tool)}{key}" for key in KEYS]
    for key in keys:
        tool.put(small, key)
    tool.put(small, keys[0])
    assert tool.keys(prefix(tool)) == set(keys)
    for number, key in enumerate(keys):
        back = tmp_path / f"back-{number}"
        tool.get(key, back)
        assert back.read_bytes() == small.read_bytes()
        tool.delete(key)
    assert tool.keys("") & set(keys) == set()


@pytest.mark.did("a big file")
def test_a_big_file(tool: Tool, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """
    In one PUT, through a key with spaces and UTF-8; equal checksums.

    100 MiB where there is time for it, or else more than goes in one part.
    """
    big: Path = request.getfixturevalue("big" if tool.installed_by else "rather_big")
    key = f"{prefix(tool)}big ä b+c/ü%25.bin"
    tool.put(big, key)
    assert tool.keys(prefix(tool)) == {key}
    back = tmp_path / "back"
    tool.get(key, back)
    assert sha256(back) == sha256(big)
    tool.delete(key)
    assert tool.keys("") & {key} == set()


def tree(folder: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of the same and of different bytes, in folders."""
    made = tmp_path / "folder"
    for number, name in enumerate(["a b.txt", "ä/ü+.txt", "ä/same.txt", "x/y/z"]):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"same" if number in (1, 2) else str(number).encode())
    return made


@pytest.mark.system
@pytest.mark.did("aws cli", "s3 sync, ls, mv, rm --recursive")
def test_aws_sync(daemon: Daemon, folder: Path, tmp_path: Path) -> None:
    """There, nothing the second time, back, and gone."""
    aws = Aws(daemon.endpoint, tmp_path)
    remote = "s3://unified/aws-sync"
    aws.aws("s3", "sync", str(folder), remote)
    assert aws.aws("s3", "sync", str(folder), remote) == ""
    aws.aws("s3", "sync", remote, str(tmp_path / "back"))
    assert tree(tmp_path / "back") == tree(folder)
    # One key is gone here, so it goes there.
    (folder / "a b.txt").unlink()
    aws.aws("s3", "sync", "--delete", str(folder), remote)
    assert aws.keys("aws-sync/") == {f"aws-sync/{name}" for name in tree(folder)}
    assert "PRE aws-sync/" in aws.aws("s3", "ls", "s3://unified")
    aws.aws("s3", "mv", f"{remote}/x/y/z", f"{remote}/moved")
    assert "aws-sync/x/y/z" not in aws.keys("aws-sync/")
    aws.aws("s3", "mv", f"{remote}/moved", str(tmp_path / "moved"))
    assert (tmp_path / "moved").read_bytes() == (folder / "x/y/z").read_bytes()
    assert "unified" in aws.aws("s3", "ls")
    aws.aws("s3", "rm", "--recursive", remote)
    assert "aws-sync" not in aws.aws("s3", "ls", "s3://unified")


@pytest.mark.system
@pytest.mark.did("aws cli", "s3api: objects, ranges, conditions, tags, attributes")
def test_aws_api(daemon: Daemon, small: Path, tmp_path: Path) -> None:
    """Single calls: metadata, ranges, conditions."""
    aws = Aws(daemon.endpoint, tmp_path)
    aws.api(
        *("put-object", "--key", "api ä", "--body", str(small)),
        *("--content-type", "text/x-small", "--metadata", "colour=blue,Size=s"),
    )
    head = aws.api("head-object", "--key", "api ä")
    assert head["ContentType"] == "text/x-small"
    assert head["Metadata"] == {"colour": "blue", "size": "s"}
    assert head["ContentLength"] == small.stat().st_size
    part = tmp_path / "part"
    got = aws.api("get-object", "--key", "api ä", "--range", "bytes=2-4", str(part))
    assert part.read_bytes() == small.read_bytes()[2:5]
    assert got["ContentRange"] == f"bytes 2-4/{small.stat().st_size}"
    said = aws.aws(
        *("s3api", "put-object", "--bucket", "unified", "--key", "api ä"),
        *("--body", str(small), "--if-none-match", "*"),
        fails=True,
    )
    assert "PreconditionFailed" in said
    assert aws.api("list-objects", "--prefix", "api")["Contents"][0]["Key"] == "api ä"
    assert aws.api("get-bucket-location") == {"LocationConstraint": None}
    aws.api(
        "put-object-tagging", "--key", "api ä", "--tagging", "TagSet=[{Key=a,Value=b}]"
    )
    tags = aws.api("get-object-tagging", "--key", "api ä")
    assert tags["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert aws.api("head-object", "--key", "api ä")["TagCount"] == 1
    wanted = ("--object-attributes", "ObjectSize", "ETag")
    told = aws.api("get-object-attributes", "--key", "api ä", *wanted)
    assert told["ObjectSize"] == small.stat().st_size
    listed = aws.api("list-object-versions", "--prefix", "api")["Versions"]
    assert [each["VersionId"] for each in listed] == ["null"]
    doomed = '{"Objects":[{"Key":"api ä"},{"Key":"no such"}]}'
    gone = aws.api("delete-objects", "--delete", doomed)["Deleted"]
    assert gone == [{"Key": "api ä"}, {"Key": "no such"}]
    assert "404" in aws.aws(
        *("s3api", "head-object", "--bucket", "unified", "--key", "api ä"), fails=True
    )


@pytest.mark.did("rclone", "sync, copy, check, purge")
def test_rclone_sync(daemon: Daemon, folder: Path, tmp_path: Path) -> None:
    """There, nothing the second time, checked by hash, back, and gone."""
    rclone = Rclone(daemon.endpoint, tmp_path)
    remote = "p:unified/rclone-sync"
    rclone.rclone("sync", str(folder), remote)
    assert "nothing to transfer" in rclone.rclone("sync", "-v", str(folder), remote)
    assert "0 differences" in rclone.rclone("check", str(folder), remote)
    assert "0 differences" in rclone.rclone("check", "--download", str(folder), remote)
    rclone.rclone("copy", remote, str(tmp_path / "back"))
    assert tree(tmp_path / "back") == tree(folder)
    (folder / "a b.txt").unlink()
    rclone.rclone("sync", str(folder), remote)
    assert rclone.keys("rclone-sync/") == {f"rclone-sync/{n}" for n in tree(folder)}
    assert "Unversioned" in rclone.rclone("backend", "versioning", "p:unified")
    rclone.rclone("purge", remote)
    assert rclone.keys("rclone-sync/") == set()


@pytest.mark.did("rclone", "mkdir")
def test_rclone_makes_sure_of_its_bucket(daemon: Daemon, tmp_path: Path) -> None:
    """It is told that the bucket is there, and that this key may make no other."""
    rclone = Rclone(daemon.endpoint, tmp_path)
    rclone.rclone("mkdir", "p:unified")
    said = rclone.rclone("mkdir", "p:another", fails=True)
    assert "you may not make buckets here" in said


@pytest.mark.system
@pytest.mark.did("s3cmd", "sync, del --recursive")
def test_s3cmd_sync(daemon: Daemon, folder: Path, tmp_path: Path) -> None:
    """
    There, nothing the second time, and back. Files of equal bytes it copies on the
    server.
    """
    s3cmd = S3cmd(daemon.endpoint, tmp_path)
    remote = "s3://unified/s3cmd-sync/"
    s3cmd.s3cmd("sync", f"{folder}/", remote)
    assert s3cmd.s3cmd("sync", f"{folder}/", remote) == ""
    s3cmd.s3cmd("sync", "--no-preserve", remote, f"{tmp_path / 'back'}/")
    assert tree(tmp_path / "back") == tree(folder)
    s3cmd.s3cmd("del", "--recursive", remote)
    assert s3cmd.keys("s3cmd-sync/") == set()


@pytest.mark.system
@pytest.mark.did("s3cmd", "info, setacl, tags, la, du")
def test_s3cmd_asks_of_buckets_and_objects(
    daemon: Daemon, small: Path, tmp_path: Path
) -> None:
    """``info``, ``la``, ``du``, tags; ACLs as they are."""
    s3cmd = S3cmd(daemon.endpoint, tmp_path)
    s3cmd.put(small, "s3cmd info")
    assert "File size: 14" in s3cmd.s3cmd("info", "s3://unified/s3cmd info")
    for target in ("s3://unified", "s3://unified/s3cmd info"):
        assert "s3proxy: FULL_CONTROL" in s3cmd.s3cmd("info", target)
    assert "Location:  us-east-1" in s3cmd.s3cmd("info", "s3://unified")
    s3cmd.s3cmd("setacl", "--acl-private", "s3://unified/s3cmd info")
    s3cmd.s3cmd("settagging", "s3://unified/s3cmd info", "k=v&n=m")
    said = s3cmd.s3cmd("gettagging", "s3://unified/s3cmd info")
    assert "k:\tv" in said and "n:\tm" in said
    assert "s3cmd info" in s3cmd.s3cmd("la")
    assert "14" in s3cmd.s3cmd("du", "s3://unified/s3cmd info")
    s3cmd.delete("s3cmd info")
