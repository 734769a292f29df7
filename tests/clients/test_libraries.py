"""What the users of a library of files and of tables do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.libraries import Library, Obstore, Pyarrow, S3fs
from tests.daemon import Daemon

pytestmark = pytest.mark.clients


def use(kind: type[Library], daemon: Daemon, home: Path) -> None:
    """The program looks at what comes back, and cleans up."""
    tool = kind(daemon.endpoint, home)
    folder = f"use/{kind.__name__}"
    tool.ask("use", folder)
    assert {key for key in tool.keys(f"{folder}/") if not key.endswith("/")} == set()


@pytest.mark.did(
    "s3fs (fsspec)", "open to write, read and append, seek, glob, walk, mv, rm"
)
def test_s3fs(daemon: Daemon, tmp_path: Path) -> None:
    use(S3fs, daemon, tmp_path)


@pytest.mark.did(
    "pyarrow", "a partitioned Parquet dataset: write, filter, move, delete"
)
def test_pyarrow(daemon: Daemon, tmp_path: Path) -> None:
    use(Pyarrow, daemon, tmp_path)


@pytest.mark.did(
    "obstore", "conditional put, ranges, copy, rename, folders, presigned URLs"
)
def test_obstore(daemon: Daemon, tmp_path: Path) -> None:
    use(Obstore, daemon, tmp_path)
