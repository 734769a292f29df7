"""s3proxy.web.uploads: multipart uploads over the wire."""

from __future__ import annotations

import base64
import hashlib
import zlib
from xml.etree import ElementTree

import pytest
import pytest_twisted

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.model import CompletedPart, WriteConditions
from s3proxy.s3 import completion
from s3proxy.s3.operation import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
)
from tests.web.conftest import Door, MakeDoor
from tests.web.wire import Response, request

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
DATA = bytes(range(256)) * 4
PART = "/unified/k?partNumber=7&uploadId=u"
LIST = (
    b"<CompleteMultipartUpload>"
    b'<Part><PartNumber>1</PartNumber><ETag>"e"</ETag></Part>'
    b"<Part><PartNumber>3</PartNumber><ETag>f</ETag></Part></CompleteMultipartUpload>"
)


def text(answer: Response, tag: str) -> str | None:
    return ElementTree.fromstring(answer.body).findtext(S3 + tag)


class TestCreate:
    @pytest_twisted.ensureDeferred
    async def test_tells_the_id(self, door: Door) -> None:
        answer = await door.ask("POST", "/unified/a%20b?uploads", "x-amz-meta-x: 1")
        assert answer.status == 200
        assert answer.header("content-type") == "application/xml"
        assert [text(answer, tag) for tag in ("Bucket", "Key", "UploadId")] == [
            *("unified", "a b", "u")
        ]
        assert answer.header("x-amz-checksum-algorithm") is None
        assert door.uploads.ops == [
            CreateMultipartUpload("unified", "a b", user_metadata={"x": "1"})
        ]

    @pytest_twisted.ensureDeferred
    async def test_echoes_what_was_announced(self, door: Door) -> None:
        line = "x-amz-checksum-algorithm: CRC32"
        answer = await door.ask("POST", "/unified/k?uploads", line)
        assert answer.header("x-amz-checksum-algorithm") == "CRC32"
        assert answer.header("x-amz-checksum-type") == "COMPOSITE"


class TestParts:
    @pytest_twisted.ensureDeferred
    async def test_stores_and_tells_the_etag(self, door: Door) -> None:
        crc = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
        line = f"x-amz-checksum-crc32: {crc}"
        answer = await door.ask("PUT", PART, line, body=DATA)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("etag") == f'"{hashlib.md5(DATA).hexdigest()}"'
        assert answer.header("x-amz-checksum-crc32") == crc
        assert answer.header("x-amz-checksum-type") is None
        assert door.uploads.parts == {7: DATA}
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_is_held_to_its_hash(self, door: Door) -> None:
        line = f"x-amz-content-sha256: {hashlib.sha256(b'other').hexdigest()}"
        answer = await door.ask("PUT", PART, line, body=DATA)
        assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
        assert door.uploads.parts == {}

    @pytest_twisted.ensureDeferred
    async def test_too_large_is_refused_before_its_body(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(max_object_size=1000)
        wire = await door.connect()
        wire.send(request("PUT", PART, "Expect: 100-continue", body=DATA)[: -len(DATA)])
        answer = await wire.response()
        assert (answer.status, answer.code) == (400, "EntityTooLarge")
        assert answer.field("MaxSizeAllowed") == "1000"
        assert door.uploads.ops == []


class TestComplete:
    TARGET = "/unified/k?uploadId=u"

    @pytest_twisted.ensureDeferred
    async def test_makes_the_object(self, door: Door) -> None:
        lines = ("If-None-Match: *", "Content-Type: text/xml")
        answer = await door.ask("POST", self.TARGET, *lines, body=LIST)
        assert answer.status == 200
        assert answer.header("content-type") == "application/xml"
        assert text(answer, "ETag") == '"0f-2"'
        assert text(answer, "ChecksumCRC32") == "AAAAAA==-2"
        assert text(answer, "ChecksumType") == "COMPOSITE"
        assert door.uploads.listed == (CompletedPart(1, "e"), CompletedPart(3, "f"))
        assert door.uploads.ops == [
            CompleteMultipartUpload(
                "unified", "k", "u", WriteConditions(if_none_match=("*",))
            )
        ]

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "MalformedXML"),
            (b"<a/>", "MalformedXML"),
            (LIST.replace(b">3<", b">1<"), "InvalidPartOrder"),
            (LIST + b" " * completion.MAX_BYTES, "MalformedXML"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_no_list(self, door: Door, body: bytes, code: str) -> None:
        answer = await door.ask("POST", self.TARGET, body=body)
        assert (answer.status, answer.code) == (400, code)
        assert door.uploads.ops == []

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==", "BadDigest"),
            (f"x-amz-content-sha256: {'0' * 64}", "XAmzContentSHA256Mismatch"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_another_list_than_was_signed(
        self, door: Door, line: str, code: str
    ) -> None:
        answer = await door.ask("POST", self.TARGET, line, body=LIST)
        assert (answer.status, answer.code) == (400, code)
        assert door.uploads.ops == []

    @pytest_twisted.ensureDeferred
    async def test_a_chunked_list(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(
            request("GET", self.TARGET, "Transfer-Encoding: chunked").replace(
                b"GET", b"POST"
            )
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LIST), LIST)
        )
        assert (await wire.response()).status == 200
        assert len(door.uploads.listed) == 2


@pytest_twisted.ensureDeferred
async def test_abort(door: Door) -> None:
    answer = await door.ask("DELETE", "/unified/k?uploadId=u")
    assert (answer.status, answer.body) == (204, b"")
    assert door.uploads.ops == [AbortMultipartUpload("unified", "k", "u")]
    assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_lists(door: Door) -> None:
    answer = await door.ask("GET", "/unified/k?uploadId=u&max-parts=3")
    assert (answer.status, text(answer, "MaxParts")) == (200, "3")
    answer = await door.ask("GET", "/unified?uploads&prefix=k")
    assert (answer.status, text(answer, "Upload/" + S3 + "UploadId")) == (200, "u")
    assert door.uploads.ops == [
        ListParts("unified", "k", "u", max_parts=3),
        ListMultipartUploads("unified", prefix="k"),
    ]
    assert door.objects.events == []


REQUESTS = [
    ("POST", "/unified/k?uploads", b""),
    ("PUT", PART, DATA),
    ("POST", "/unified/k?uploadId=u", LIST),
    ("DELETE", "/unified/k?uploadId=u", b""),
    ("GET", "/unified/k?uploadId=u", b""),
    ("GET", "/unified?uploads", b""),
]


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
@pytest.mark.parametrize(
    ("why", "status", "code"),
    [
        (errors.NoSuchUpload(), 404, "NoSuchUpload"),
        (errors.InvalidPart(fields={"PartNumber": "3"}), 400, "InvalidPart"),
        (errors.EntityTooSmall(), 400, "EntityTooSmall"),
        (errors.PreconditionFailed(), 412, "PreconditionFailed"),
        (errors.InsufficientStorage(), 507, "InsufficientStorage"),
        (errors.StoreUnavailable("down"), 503, "ServiceUnavailable"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_failures(
    door: Door,
    method: str,
    target: str,
    body: bytes,
    why: S3Error,
    status: int,
    code: str,
) -> None:
    door.uploads.failure = why
    answer = await door.ask(method, target, body=body)
    assert (answer.status, answer.code) == (status, code)
    if "PartNumber" in getattr(why, "fields", {}):
        assert answer.field("PartNumber") == "3"


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
@pytest_twisted.ensureDeferred
async def test_another_bucket(
    door: Door, method: str, target: str, body: bytes
) -> None:
    answer = await door.ask(method, target.replace("unified", "other"), body=body)
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert door.uploads.ops == []
