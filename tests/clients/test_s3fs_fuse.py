"""s3fs-fuse: the bucket as a directory of the machine."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon

pytestmark = pytest.mark.clients

MIB = 1024 * 1024


@pytest.fixture
def mounted(daemon: Daemon, tmp_path: Path) -> Iterator[Path]:
    """A prefix of the bucket; path style, since the daemon's address is a number."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no /dev/fuse")
    program = shutil.which("s3fs")
    assert program is not None, "s3fs is missing: run tools/client-packages.sh"
    passwords, at = tmp_path / "passwords", tmp_path / "mounted"
    passwords.write_text(f"{KEY_ID}:{SECRET}\n")
    passwords.chmod(0o600)
    at.mkdir()
    daemon.client().put_object(Bucket=BUCKET, Key="fuse/")
    options = [f"passwd_file={passwords}", f"url={daemon.endpoint}"]
    options += ["use_path_request_style", f"use_cache={tmp_path / 'cache'}"]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "--", program, f"{BUCKET}:/fuse"),
            *(str(at), "-f", "-o", ",".join(options)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 30
    while not at.is_mount():
        said = (tmp_path / "log").read_text()
        assert process.poll() is None and time.monotonic() < deadline, said
        time.sleep(0.05)
    yield at
    # Not by umount: SIGTERM ends it where fuse's own programs are not there, too.
    process.terminate()
    process.wait(30)
    log.close()


@pytest.mark.did("s3fs-fuse", "mount, write, read, append, rename, list, remove")
def test_files(mounted: Path, daemon: Daemon) -> None:
    """A file of four parts, changed in its middle; folders; names of all kinds."""
    data = bytearray(random.Random(5).randbytes(45 * MIB))
    large = mounted / "large ä+%25"
    large.write_bytes(data)
    assert large.read_bytes() == data
    head = daemon.client().head_object(Bucket=BUCKET, Key="fuse/large ä+%25")
    assert head["ETag"].endswith('-4"')
    with large.open("r+b") as file:
        file.seek(30 * MIB)
        file.write(b"changed")
    data[30 * MIB : 30 * MIB + 7] = b"changed"
    with large.open("ab") as file:
        file.write(b"and more")
    body = daemon.client().get_object(Bucket=BUCKET, Key="fuse/large ä+%25")["Body"]
    assert body.read() == data + b"and more"
    (mounted / "folder/below").mkdir(parents=True)
    large.rename(mounted / "folder/below/moved")
    assert (mounted / "folder/below/moved").read_bytes() == data + b"and more"
    assert sorted(path.name for path in mounted.rglob("*")) == [
        *("below", "folder", "moved")
    ]
    shutil.rmtree(mounted / "folder")
    assert list(mounted.iterdir()) == []
    left = daemon.client().list_objects_v2(Bucket=BUCKET, Prefix="fuse/")["Contents"]
    assert [each["Key"] for each in left] == ["fuse/"]
    daemon.client().delete_object(Bucket=BUCKET, Key="fuse/")
