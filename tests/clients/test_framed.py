"""Framed bodies, signed by hand, through the real daemon to a real backend."""

from __future__ import annotations

import base64
import http.client
import random
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from attrs import frozen
from botocore.exceptions import ClientError

from s3proxy.s3 import checksums, sigv4
from s3proxy.s3.canonical import signing_key
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.framing import FORMS
from tests.clients.tools import REGION
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon
from tests.s3.chunking import SIGNED, Framer

#: More than is read before a backend is called.
CHUNKS = [random.Random(1).randbytes(size) for size in (2**20, 2**19 + 1, 2**16, 5)]
BODY = b"".join(CHUNKS)
CRC32 = base64.b64encode(checksums.digest("crc32", BODY)).decode()
TRAILER = "x-amz-checksum-crc32"


@frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def put(
    daemon: Daemon,
    key: str,
    form: str,
    query: str = "",
    checksum: str = CRC32,
    chunks: list[bytes] = CHUNKS,
) -> Answer:
    """Send BODY in *chunks*."""
    now = datetime.now(UTC)
    headers = {
        "host": f"127.0.0.1:{daemon.port}",
        "content-encoding": "gzip, aws-chunked",
        "x-amz-decoded-content-length": str(len(BODY)),
    }
    trailer = None
    if FORMS[form].has_trailer:
        headers["x-amz-trailer"] = TRAILER
        trailer = TRAILER, checksum
    path = f"/{BUCKET}/{key}"
    headers |= sigv4.sign_headers(
        "PUT",
        path,
        query,
        headers,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region=REGION,
        payload_hash=form,
        now=now,
    )
    scope = f"{now:%Y%m%d}/{REGION}/s3/aws4_request"
    seed = StreamingSeed(
        signing_key(SECRET, scope),
        headers["x-amz-date"],
        scope,
        headers["authorization"].rpartition("=")[2],
    )
    wire = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    try:
        wire.request(
            "PUT", f"{path}?{query}", Framer(form, seed).frame(chunks, trailer), headers
        )
        answer = wire.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        wire.close()


@pytest.mark.parametrize("form", FORMS)
def test_an_object(daemon: Daemon, form: str) -> None:
    """Its bytes are what was framed, and the trailer's checksum is its own."""
    key = f"framed/{form}"
    answer = put(daemon, key, form)
    assert answer.status == 200, answer.body
    client = daemon.client()
    back = client.get_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    assert back["Body"].read() == BODY
    assert back["ContentEncoding"] == "gzip"
    expected = CRC32 if FORMS[form].has_trailer else None
    assert answer.headers.get(TRAILER) == expected
    assert back.get("ChecksumCRC32") == expected
    client.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize("form", FORMS)
def test_a_part(daemon: Daemon, form: str) -> None:
    """Likewise."""
    client, key = daemon.client(), f"framed/{form}"
    upload = {"Bucket": BUCKET, "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    query = f"partNumber=3&uploadId={upload['UploadId']}"
    answer = put(daemon, key, form, query)
    assert answer.status == 200, answer.body
    (part,) = client.list_parts(**upload)["Parts"]
    assert part["Size"] == len(BODY)
    expected = CRC32 if FORMS[form].has_trailer else None
    assert part.get("ChecksumCRC32") == expected
    parts = [{"PartNumber": 3, "ETag": part["ETag"]}]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == BODY
    client.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_end(daemon: Daemon, form: str) -> None:
    """Known after all of the data has come, and nothing is stored."""
    chunks, code = CHUNKS, b"BadDigest"
    if form == SIGNED:
        chunks, code = CHUNKS[:-1], b"IncompleteBody"
    answer = put(daemon, "framed/wrong", form, checksum="AAAAAA==", chunks=chunks)
    assert answer.status == 400
    assert b"<Code>%b</Code>" % code in answer.body
    with pytest.raises(ClientError):
        daemon.client().head_object(Bucket=BUCKET, Key="framed/wrong")
