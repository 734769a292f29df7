"""
Large objects through clients as they come, whose multipart uploads are on.

Each is larger than what the first backend has room for, so it spans both. The daemon
holds none of it: its memory is looked at in the end.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_tools import sha256
from tests.clients.tools import AwsMultipart, RcloneMultipart, S3cmdMultipart
from tests.daemon import BUCKET, SHORT_LEDGER, Daemon
from tests.servers import PostgresServer, S3Server
from tests.system import memory

pytestmark = pytest.mark.system

MIB = 1024 * 1024
GIB = 1024 * MIB
PARTS = 300


@pytest.fixture(scope="module")
def daemon(postgres: PostgresServer, s3server: S3Server) -> Iterator[Daemon]:
    """Two backends; what is left is clean, and little memory was needed."""
    database = postgres.create_database()
    backends = [
        s3server.create_bucket(name, quota_bytes=quota)
        for name, quota in (("a", GIB // 2), ("b", 16 * GIB))
    ]
    # A busy machine may keep the daemon from its leases for a while.
    ledger = {**SHORT_LEDGER, "lease": "60s"}
    with Daemon(database, backends, ledger=ledger) as daemon:
        yield daemon
        peak = memory.peak_bytes(daemon.pid)
        assert peak < 200 * MIB, f"{peak / MIB:.0f} MiB"
        daemon.wait_clean(seconds=120)
        log = daemon.log.read_text()
        assert "Traceback" not in log
        # Whatever could be copied was copied where it was.
        assert "are streamed for" not in log
    for backend in backends:
        s3server.remove_bucket(backend)
    postgres.drop_database(database)


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1 GiB of which no two parts are the same."""
    path = tmp_path_factory.mktemp("huge") / "huge"
    block = random.Random(1).randbytes(MIB - 8)
    with path.open("wb") as file:
        for number in range(GIB // MIB):
            file.write(number.to_bytes(8, "big") + block)
    return path


@pytest.mark.parametrize(
    ("kind", "parts"), [(AwsMultipart, 128), (RcloneMultipart, 205)]
)
@pytest.mark.did("1 GiB in parts, copied")
def test_a_gib_there_and_back(
    daemon: Daemon,
    huge: Path,
    tmp_path: Path,
    kind: type[AwsMultipart | RcloneMultipart],
    parts: int,
) -> None:
    """In, copied on the server, and the copy out: equal checksums."""
    tool, key = kind(daemon.endpoint, tmp_path), f"{kind.__name__}/huge ü"
    tool.put(huge, key)
    client = daemon.client()
    head = client.head_object(Bucket=BUCKET, Key=key)
    assert head["ContentLength"] == GIB
    assert head["ETag"].endswith(f'-{parts}"')
    tool.copy(key, f"{key} copied")
    tool.delete(key)
    back = tmp_path / "back"
    tool.get(f"{key} copied", back)
    assert sha256(back) == sha256(huge)
    back.unlink()
    tool.delete(f"{key} copied")
    assert client.list_objects_v2(Bucket=BUCKET, Prefix=kind.__name__)["KeyCount"] == 0


@pytest.mark.did("s3cmd", "100 MiB in parts, copied")
def test_s3cmd_multipart(daemon: Daemon, big: Path, tmp_path: Path) -> None:
    """100 MiB in parts, copied, and back."""
    s3cmd = S3cmdMultipart(daemon.endpoint, tmp_path)
    s3cmd.put(big, "s3cmd/big")
    head = daemon.client().head_object(Bucket=BUCKET, Key="s3cmd/big")
    assert head["ETag"].endswith('-7"')
    s3cmd.copy("s3cmd/big", "s3cmd/copied")
    for key in ("s3cmd/big", "s3cmd/copied"):
        back = tmp_path / key.replace("/", "-")
        s3cmd.get(key, back)
        assert sha256(back) == sha256(big)
        s3cmd.delete(key)


@pytest.mark.did("boto3", "300 parts at once")
def test_three_hundred_parts_at_once(daemon: Daemon) -> None:
    """Of the least size that there is, from many threads; each is where it belongs."""
    client = daemon.client(max_pool_connections=32)
    key = "parts"
    upload: dict[str, Any] = {"Bucket": BUCKET, "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    block = random.Random(2).randbytes(5 * MIB - 8)

    def data(number: int) -> bytes:
        return number.to_bytes(8, "big") + block

    def put(number: int) -> str:
        answer = client.upload_part(**upload, PartNumber=number, Body=data(number))
        return str(answer["ETag"])

    numbers = list(range(1, PARTS + 1))
    shuffled = random.Random(3).sample(numbers, PARTS)
    with ThreadPoolExecutor(32) as threads:
        etags = dict(zip(shuffled, threads.map(put, shuffled), strict=True))
    parts = [{"PartNumber": n, "ETag": etags[n]} for n in numbers]
    done = client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    digests = b"".join(bytes.fromhex(etags[n].strip('"')) for n in numbers)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-{PARTS}"'
    whole = hashlib.sha256()
    for number in numbers:
        whole.update(data(number))
    got = hashlib.sha256()
    for chunk in client.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(MIB):
        got.update(chunk)
    assert got.digest() == whole.digest()
    for number in random.Random(4).sample(numbers, 10):
        part = client.get_object(Bucket=BUCKET, Key=key, PartNumber=number)
        assert part["PartsCount"] == PARTS
        assert part["Body"].read() == data(number)
    client.delete_object(Bucket=BUCKET, Key=key)
