"""Presigned URLs as clients make them, used by somebody who has nothing else."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import frozen
from botocore.config import Config

from s3proxy.s3.checksums import digest
from tests.boto import boto_client
from tests.clients.tools import Aws, Rclone
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon

KEY = "presigned/ä b+c/ü%25.txt"
PART = bytes(range(256)) * (5 * 1024**2 // 256)


@frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """Of an error."""
        return ElementTree.fromstring(self.body).findtext("Code")


def use(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> Answer:
    """Ask for a URL, with no credentials."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as why:
        return Answer(why.code, dict(why.headers), why.read())


def client(daemon: Daemon, region: str = "auto", **config: Any) -> Any:
    """boto3, all settings its own but these."""
    return boto_client(
        endpoint_url=daemon.endpoint,
        region_name=region,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(**config) if config else None,
    )


@pytest.fixture(params=["auto", "us-east-1"])
def boto(request: pytest.FixtureRequest, daemon: Daemon) -> Any:
    """For us-east-1, boto3 makes version 2 unless it is told otherwise."""
    if request.param == "auto":
        return client(daemon)
    return client(daemon, "us-east-1", signature_version="s3v4")


def url_for(boto: Any, method: str, **more: Any) -> str:
    """A presigned URL."""
    made: str = boto.generate_presigned_url(method, {"Bucket": BUCKET, **more})
    return made


@pytest.mark.did("boto3", "presigned URLs")
def test_an_object_through_urls(boto: Any) -> None:
    """Put, head, get with another type, list, delete."""
    put = url_for(boto, "put_object", Key=KEY, Metadata={"a": "b"})
    assert use(put, "PUT", b"some bytes").status == 403  # what was signed is not sent
    sent = use(put, "PUT", b"some bytes", x_amz_meta_a="b", content_type="text/x")
    assert sent.status == 200
    got = use(url_for(boto, "get_object", Key=KEY, ResponseContentType="text/y"))
    assert (got.status, got.body) == (200, b"some bytes")
    assert got.headers["Content-Type"] == "text/y"
    assert got.headers["x-amz-meta-a"] == "b"
    head = url_for(boto, "head_object", Key=KEY)
    assert use(head, "HEAD").status == 200
    assert use(head, "GET").status == 403
    listed = use(url_for(boto, "list_objects_v2", Prefix="presigned/"))
    assert "<KeyCount>1<" in listed.body.decode()
    assert use(url_for(boto, "delete_object", Key=KEY), "DELETE").status == 204
    gone = use(url_for(boto, "get_object", Key=KEY))
    assert (gone.status, gone.code) == (404, "NoSuchKey")


@pytest.mark.did("boto3", "parts through presigned URLs")
def test_a_multipart_upload_through_urls(boto: Any) -> None:
    """The parts come by URL, the rest by the one who made them."""
    key = "presigned/multipart"
    upload_id = boto.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    parts = []
    for number, body in enumerate([PART, b"the end"], 1):
        more = {"Key": key, "UploadId": upload_id, "PartNumber": number}
        answer = use(url_for(boto, "upload_part", **more), "PUT", body)
        assert answer.status == 200
        parts.append({"PartNumber": number, "ETag": answer.headers["ETag"]})
    boto.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    got = use(url_for(boto, "get_object", Key=key))
    assert got.body == PART + b"the end"
    boto.delete_object(Bucket=BUCKET, Key=key)


def test_version_2_is_refused_in_words(daemon: Daemon) -> None:
    """What boto3 makes for us-east-1 by default; the answer says what to set."""
    url = url_for(client(daemon, "us-east-1"), "get_object", Key=KEY)
    assert "AWSAccessKeyId=" in url
    answer = use(url)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert b"signature_version = s3v4" in answer.body


@pytest.mark.did("rclone", "link")
def test_rclone_link(daemon: Daemon, small: Path, tmp_path: Path) -> None:
    """``rclone link``, with an end and with rclone's own, which is a week."""
    rclone = Rclone(daemon.endpoint, tmp_path)
    rclone.put(small, KEY)
    for expire in (["--expire", "1h"], []):
        said = rclone.rclone("link", *expire, f"p:{BUCKET}/{KEY}")
        url = said.splitlines()[-1]
        assert use(url).body == small.read_bytes()
    rclone.delete(KEY)


@pytest.mark.system
@pytest.mark.did("aws cli", "s3 presign")
def test_aws_s3_presign(daemon: Daemon, small: Path, tmp_path: Path) -> None:
    """With the setting that the refusal of version 2 names."""
    aws = Aws(daemon.endpoint, tmp_path)
    aws.put(small, KEY)
    aws.aws("configure", "set", "default.s3.signature_version", "s3v4")
    url = aws.aws("s3", "presign", f"s3://{BUCKET}/{KEY}").strip()
    assert use(url).body == small.read_bytes()
    aws.delete(KEY)


def crc32(data: bytes) -> bytes:
    """Raw."""
    return digest("crc32", data)


@pytest.mark.parametrize(
    ("algorithm", "kind", "value"),
    [
        ("CRC32", "COMPOSITE", None),
        ("CRC32", "FULL_OBJECT", crc32(PART + b"the end")),
        ("CRC64NVME", "FULL_OBJECT", digest("crc64nvme", PART + b"the end")),
        ("SHA256", "COMPOSITE", None),
    ],
)
@pytest.mark.did("boto3", "checksums of parts")
def test_checksums_of_many_parts(
    daemon: Daemon, algorithm: str, kind: str, value: bytes | None
) -> None:
    """Interop line 20: by boto3, told at Complete, and given back to who asks."""
    boto, key = daemon.client(), f"checksums/{algorithm}-{kind}"
    where = {"Bucket": BUCKET, "Key": key}
    upload_id = boto.create_multipart_upload(
        **where, ChecksumAlgorithm=algorithm, ChecksumType=kind
    )["UploadId"]
    name, parts, raw = f"Checksum{algorithm}", [], b""
    for number, body in enumerate([PART, b"the end"], 1):
        answer = boto.upload_part(
            **where,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm=algorithm,
        )
        part = digest(algorithm.lower(), body)
        assert answer[name] == base64.b64encode(part).decode()
        raw += part
        told = {name: answer[name]} if kind == "COMPOSITE" else {}
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **told})
    if value is None:
        whole = digest(algorithm.lower(), raw)
        wanted = f"{base64.b64encode(whole).decode()}-2"
    else:
        wanted = base64.b64encode(value).decode()
    done = boto.complete_multipart_upload(
        **where, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    assert (done[name], done["ChecksumType"]) == (wanted, kind)
    head = boto.head_object(**where, ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (wanted, kind)
    assert name not in boto.head_object(**where)
    # A part by its number comes with its own, of the object's kind.
    second = boto.get_object(**where, PartNumber=2, ChecksumMode="ENABLED")
    own = base64.b64encode(digest(algorithm.lower(), b"the end")).decode()
    assert (second[name], second["ChecksumType"]) == (own, kind)
    assert second["Body"].read() == b"the end"
    boto.delete_object(**where)
