"""Clients with their default settings over https: the same daemon, TLS in front."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.clients.libraries import EVERY, params
from tests.clients.test_curl import curl
from tests.clients.tools import Boto3, Tool
from tests.daemon import TOKEN, Daemon

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def daemon(https_daemon: Daemon) -> Daemon:
    return https_daemon


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 MiB that do not compress, and a little."""
    path = tmp_path_factory.mktemp("file") / "file"
    path.write_bytes(random.Random(2).randbytes(12 * MIB + 5))
    return path


@pytest.fixture(params=params(EVERY))
def tool(request: pytest.FixtureRequest, daemon: Daemon, tmp_path: Path) -> Tool:
    made: Tool = request.param(daemon.endpoint, tmp_path, daemon.ca_file)
    return made


@pytest.mark.did("over https: put in parts, list, get, delete")
def test_there_and_back(tool: Tool, file: Path, tmp_path: Path) -> None:
    key = f"{type(tool).__name__}/ä b+c/ü%25.bin"
    tool.put(file, key)
    assert tool.keys(f"{type(tool).__name__}/") == {key}
    back = tmp_path / "back"
    tool.get(key, back)
    assert back.read_bytes() == file.read_bytes()
    tool.delete(key)
    assert tool.keys("") & {key} == set()


@pytest.fixture
def boto(daemon: Daemon, tmp_path: Path) -> Any:
    """boto3 without any setting."""
    return Boto3(daemon.endpoint, tmp_path, daemon.ca_file).client


def test_boto3_frames_its_bodies_without_signing_them(boto: Any, file: Path) -> None:
    """As it does over TLS only: framed, a trailer with a checksum, no signed chunk."""
    sent: list[str] = []

    def see(request: Any, **more: Any) -> None:
        sent.append(request.headers["x-amz-content-sha256"])

    boto.meta.events.register("before-send.s3.PutObject", see)
    boto.meta.events.register("before-send.s3.UploadPart", see)
    with file.open("rb") as body:
        put = boto.put_object(Bucket="unified", Key="framed", Body=body)
    assert put["ChecksumCRC32"]
    got = boto.get_object(Bucket="unified", Key="framed", ChecksumMode="ENABLED")
    assert got["Body"].read() == file.read_bytes()
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    boto.upload_file(str(file), "unified", "parts", Config=config)
    assert {each.decode() if isinstance(each, bytes) else each for each in sent} == {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    }
    assert len(sent) == 4
    parts = boto.get_object(Bucket="unified", Key="parts")
    assert parts["ETag"].endswith('-3"')
    assert parts["Body"].read() == file.read_bytes()
    part = boto.get_object(Bucket="unified", Key="parts", Range=f"bytes=-{6 * MIB}")
    assert part["Body"].read() == file.read_bytes()[-6 * MIB :]
    for key in ("framed", "parts"):
        boto.delete_object(Bucket="unified", Key=key)


def test_a_refusal_is_heard(daemon: Daemon, file: Path) -> None:
    """Not a broken connection, though the body is on its way."""
    client = daemon.client()
    client._request_signer._credentials.secret_key = "wrong"
    with file.open("rb") as body, pytest.raises(ClientError) as caught:
        client.put_object(Bucket="unified", Key="k", Body=body)
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


@pytest.mark.system
def test_curl(daemon: Daemon, file: Path) -> None:
    """Asked for, refused before a byte, and refused in the middle of the body."""
    trust = ("--cacert", str(daemon.ca_file))
    url = f"{daemon.endpoint}/unified/curl"
    token = ("-H", f"X-Proxy-Token: {TOKEN}")
    outcome = curl("-T", str(file), *token, *trust, url, secret=None)
    assert (outcome.status, outcome.sent) == ([200], [file.stat().st_size])
    assert "ALPN: server accepted http/1.1" in outcome.said
    assert "< HTTP/1.1 100 Continue" in outcome.said
    wrong = ("-H", "X-Proxy-Token: wrong")
    outcome = curl("-T", str(file), *wrong, *trust, url, secret=None)
    assert (outcome.status, outcome.sent) == ([403], [0])
    outcome = curl(
        *("-T", str(file), *wrong, *trust, "-H", "Expect:", url), secret=None
    )
    assert outcome.status == [403]
    assert "<Code>AccessDenied</Code>" in outcome.said
    assert outcome.sent[0] < file.stat().st_size
    delete = curl("-X", "DELETE", *token, *trust, url, secret=None)
    assert delete.status == [204]


@pytest.mark.system
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-tls1_1",), "alert protocol version"),
        (("-tls1_2",), "Protocol  : TLSv1.2"),
        (("-tls1_3",), "TLSv1.3"),
        (("-alpn", "http/1.1"), "ALPN protocol: http/1.1"),
        (("-cipher", "AES256-SHA:DES-CBC3-SHA", "-tls1_2"), "handshake failure"),
    ],
)
def test_openssl(daemon: Daemon, options: tuple[str, ...], said: str) -> None:
    result = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{daemon.port}"),
            *("-CAfile", str(daemon.ca_file), *options),
        ],
        input="",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert said in result.stdout + result.stderr
