"""duplicity: volumes that GnuPG encrypts, and chains of backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.test_tools import folder, tree
from tests.clients.tools import Tool, program
from tests.daemon import BUCKET, Daemon

pytestmark = pytest.mark.clients

__all__ = ["folder"]


class Duplicity(Tool):
    """``duplicity`` with one backup, which is no store of single files."""

    client = "duplicity"
    put = keys = get = delete = None  # type: ignore[assignment]

    def duplicity(self, command: str, *arguments: str) -> str:
        """``duplicity COMMAND …``, against the endpoint."""
        self.environment["PASSPHRASE"] = "of the tests"
        named = (program("duplicity", "-duplicity"), command)
        return self.run(*named, "--s3-endpoint-url", self.endpoint, *arguments)


@pytest.mark.did(
    "duplicity", "full, incremental, verify, restore, remove-all-but-n-full"
)
def test_backups(daemon: Daemon, folder: Path, big: Path, tmp_path: Path) -> None:
    """A full one, a small one on it, both restored; and only a new one kept."""
    duplicity = Duplicity(daemon.endpoint, tmp_path).duplicity
    url = f"boto3+s3://{BUCKET}/duplicity"
    with big.open("rb") as source:
        (folder / "large").write_bytes(source.read(30 * 1024**2))
    duplicity("full", "--volsize", "10", str(folder), url)
    first = tree(folder)
    (folder / "new").write_bytes(b"new")
    (folder / "a b.txt").unlink()
    duplicity("incremental", str(folder), url)
    assert "0 difference(s) found" in duplicity(
        "verify", "--compare-data", url, str(folder)
    )
    duplicity("restore", url, str(tmp_path / "back"))
    assert tree(tmp_path / "back") == tree(folder) != first
    duplicity("full", str(folder), url)
    duplicity("remove-all-but-n-full", "1", "--force", url)
    assert "Number of contained backup sets: 1" in duplicity("collection-status", url)
    client = daemon.client()
    found = client.list_objects_v2(Bucket=BUCKET, Prefix="duplicity/")["Contents"]
    assert 3 <= len(found) <= 4
    for each in found:
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
