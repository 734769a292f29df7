"""s5cmd: many files at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.libraries import S5cmd
from tests.clients.test_presigned import use
from tests.clients.test_tools import folder, tree
from tests.daemon import BUCKET, Daemon

pytestmark = pytest.mark.clients

__all__ = ["folder"]


@pytest.mark.did("s5cmd", "sync, ls, du, cat, mv, presign, rm with wildcards")
def test_many_files(daemon: Daemon, folder: Path, tmp_path: Path) -> None:
    """There, nothing the second time, back, moved, shown, and gone."""
    s5cmd = S5cmd(daemon.endpoint, tmp_path).s5cmd
    remote = f"s3://{BUCKET}/s5cmd"
    s5cmd("sync", f"{folder}/", f"{remote}/")
    assert s5cmd("sync", f"{folder}/", f"{remote}/") == ""
    s5cmd("cp", f"{remote}/*", f"{tmp_path / 'back'}/")
    assert tree(tmp_path / "back") == tree(folder)
    assert "DIR  x/" in s5cmd("ls", f"{remote}/")
    assert f"in {len(tree(folder))} objects" in s5cmd("du", f"{remote}/*")
    s5cmd("mv", f"{remote}/x/y/z", f"{remote}/moved")
    assert s5cmd("cat", f"{remote}/moved").encode() == (folder / "x/y/z").read_bytes()
    url = s5cmd("presign", f"{remote}/moved").strip()
    assert use(url).body == (folder / "x/y/z").read_bytes()
    (folder / "a b.txt").unlink()
    s5cmd("sync", "--delete", f"{folder}/", f"{remote}/")
    assert S5cmd(daemon.endpoint, tmp_path).keys("s5cmd/") == {
        f"s5cmd/{name}" for name in tree(folder)
    }
    s5cmd("rm", f"{remote}/*")
    assert S5cmd(daemon.endpoint, tmp_path).keys("s5cmd/") == set()
