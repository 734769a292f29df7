"""SDKs with their defaults, over http and https: parts, and presigned URLs."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path

import pytest

from tests.clients.libraries import SDKS, Library, MinioJs, params
from tests.clients.test_tools import sha256
from tests.daemon import BUCKET, Daemon

pytestmark = pytest.mark.clients


@pytest.fixture(params=["http", "https"])
def front(request: pytest.FixtureRequest) -> Daemon:
    """Plain, and with TLS."""
    name = "daemon" if request.param == "http" else "https_daemon"
    found: Daemon = request.getfixturevalue(name)
    return found


@pytest.fixture(params=params(SDKS))
def tool(request: pytest.FixtureRequest, front: Daemon, tmp_path: Path) -> Library:
    made: Library = request.param(front.endpoint, tmp_path, front.ca_file)
    return made


@pytest.mark.did("uploads in parts, over http and https")
def test_parts(tool: Library, front: Daemon, big: Path, tmp_path: Path) -> None:
    """100 MiB: parts of 64 MiB of minio-js, of 5 MiB of the others."""
    key, back = f"sdk/{type(tool).__name__} ü", tmp_path / "back"
    tool.upload(big, key)
    parts = 2 if isinstance(tool, MinioJs) else 20
    head = front.client().head_object(Bucket=BUCKET, Key=key)
    assert head["ETag"].endswith(f'-{parts}"')
    tool.get(key, back)
    assert sha256(back) == sha256(big)
    tool.delete(key)
    assert tool.keys("sdk/") == set()


@pytest.mark.did("presigned PUT and GET, over http and https")
def test_presigned(tool: Library, front: Daemon, small: Path) -> None:
    """Used by somebody who has nothing but the URLs."""
    trust = None
    if front.ca_file is not None:
        trust = ssl.create_default_context(cafile=str(front.ca_file))
    key = f"presigned/{type(tool).__name__} ä b+c/ü%25"
    to, back = tool.presign(key)
    put = urllib.request.Request(to, small.read_bytes(), method="PUT")
    with urllib.request.urlopen(put, timeout=60, context=trust) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(back, timeout=60, context=trust) as answer:
        assert answer.read() == small.read_bytes()
    tool.delete(key)
    assert tool.keys("presigned/") == set()
