"""restic, whose minio-go signs every chunk of its bodies over http."""

from __future__ import annotations

import filecmp
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.tools import REGION
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon

pytestmark = pytest.mark.system

Restic = Callable[..., str]


@pytest.fixture
def restic(daemon: Daemon, tmp_path: Path) -> Restic:
    """``restic(command, …)`` in a repository of its own; what it printed."""
    program = shutil.which("restic")
    assert program is not None, "restic is missing: run tools/system-packages.sh"
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "RESTIC_PASSWORD": "the password of a test",
        "RESTIC_REPOSITORY": f"s3:{daemon.endpoint}/{BUCKET}/restic",
    }

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, f"{arguments}\n{result.stdout}"
        return result.stdout

    return run


@pytest.mark.did("restic", "init, backup, check, restore, forget --prune")
def test_backup_and_restore(restic: Restic, daemon: Daemon, tmp_path: Path) -> None:
    """A backup is checked, restored, and thinned out."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    dice = random.Random(1)
    for number in range(12):
        (source / f"{number}").write_bytes(dice.randbytes(2**20 + number))
    restic("init")
    restic("backup", str(source))
    restic("check", "--read-data")
    restic("restore", "latest", "--target", str(target))
    names = [each.name for each in source.iterdir()]
    same = filecmp.cmpfiles(source, target / source.relative_to("/"), names, False)
    assert sorted(same[0]) == sorted(names)
    (source / "1").unlink()
    restic("backup", str(source))
    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    client = daemon.client()
    for each in client.list_objects_v2(Bucket=BUCKET, Prefix="restic/")["Contents"]:
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
