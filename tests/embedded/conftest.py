"""Fixtures of this room's tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that the user nobody can enter, as root needs; tmp_path is closed."""
    path = Path(tempfile.mkdtemp(prefix="s3p-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
