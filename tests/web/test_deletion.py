"""s3proxy.web.deletion: what is deleted, and what is said of each key."""

from __future__ import annotations

import base64
import hashlib
import zlib
from xml.etree import ElementTree

import pytest
import pytest_twisted

from s3proxy.s3 import deletion
from tests.web.conftest import Door
from tests.web.wire import Response, request

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
NAMES = ("Key", "VersionId", "Code")


def listed(*keys: str, more: str = "") -> bytes:
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete>{objects}{more}</Delete>".encode()


def md5(body: bytes) -> str:
    return f"Content-MD5: {base64.b64encode(hashlib.md5(body).digest()).decode()}"


async def delete(door: Door, body: bytes, *lines: str) -> Response:
    return await door.ask(
        "POST", "/unified?delete", *(lines or (md5(body),)), body=body
    )


def told(answer: Response) -> list[tuple[str, ...]]:
    """Every element, with what it says of Key, VersionId and Code."""
    assert answer.status == 200, answer.body
    return [
        (
            each.tag.removeprefix(S3),
            *filter(None, [each.findtext(S3 + name) for name in NAMES]),
        )
        for each in ElementTree.fromstring(answer.body)
    ]


@pytest.fixture
def full(door: Door) -> Door:
    """With three objects."""
    for key in ("a", "b", "c"):
        door.objects.store("unified", key, b"x")
    return door


class TestMany:
    @pytest_twisted.ensureDeferred
    async def test_one_call_for_all(self, full: Door) -> None:
        answer = await delete(full, listed("a", "none", "c"))
        assert told(answer) == [
            ("Deleted", "a"),
            ("Deleted", "none"),
            ("Deleted", "c"),
        ]
        assert answer.header("content-type") == "application/xml"
        assert [e for e in full.objects.events if e.startswith("delete_many")] == [
            "delete_many a none c"
        ]
        assert list(full.objects.objects) == [("unified", "b")]

    @pytest_twisted.ensureDeferred
    async def test_quiet(self, full: Door) -> None:
        body = listed(
            "a",
            more="<Quiet>true</Quiet><Object><Key>b</Key><ETag>z</ETag></Object>",
        )
        assert told(await delete(full, body)) == [("Error", "b", "PreconditionFailed")]

    @pytest_twisted.ensureDeferred
    async def test_each_key_for_itself(self, full: Door) -> None:
        etag = hashlib.md5(b"x").hexdigest()
        body = listed(
            more="<Object><Key>a</Key><VersionId>7</VersionId></Object>"
            "<Object><Key>b</Key><VersionId>null</VersionId></Object>"
            "<Object><Key>none</Key><ETag>*</ETag></Object>"
            f'<Object><Key>c</Key><ETag>"{etag}"</ETag></Object>'
            f"<Object><Key>{'k' * 1025}</Key></Object>"
        )
        assert told(await delete(full, body)) == [
            ("Error", "a", "7", "NoSuchVersion"),
            ("Deleted", "b", "null"),
            ("Error", "none", "NoSuchKey"),
            ("Deleted", "c"),
            ("Error", "k" * 1025, "KeyTooLongError"),
        ]
        assert list(full.objects.objects) == [("unified", "a")]

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("A: b", "InvalidRequest"),
            ("Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
            ("Content-MD5: x", "InvalidDigest"),
            ("x-amz-checksum-crc32: AAAAAA==", "BadDigest"),
            (f"x-amz-checksum-sha256: {'A' * 43}=", "BadDigest"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_the_digest(self, full: Door, line: str, code: str) -> None:
        answer = await delete(full, listed("a"), line)
        assert (answer.status, answer.code) == (400, code)
        assert len(full.objects.objects) == 3

    @pytest_twisted.ensureDeferred
    async def test_the_signed_hash_is_no_digest_but_is_held_to(
        self, full: Door
    ) -> None:
        body = listed("a")
        line = f"x-amz-content-sha256: {hashlib.sha256(b'other').hexdigest()}"
        assert (await delete(full, body, line)).code == "InvalidRequest"
        answer = await delete(full, body, line, md5(body))
        assert answer.code == "XAmzContentSHA256Mismatch"
        assert len(full.objects.objects) == 3

    @pytest_twisted.ensureDeferred
    async def test_a_framed_body(self, full: Door) -> None:
        body = listed("a")
        crc = base64.b64encode(_crc32(body)).decode()
        for value, status in (("AAAAAA==", 400), (crc, 200)):
            framed = b"%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % (
                len(body),
                body,
                value.encode(),
            )
            answer = await delete(
                full,
                framed,
                "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                "x-amz-trailer: x-amz-checksum-crc32",
                f"x-amz-decoded-content-length: {len(body)}",
            )
            assert answer.status == status
        assert sorted(key for _, key in full.objects.objects) == ["b", "c"]

    @pytest.mark.parametrize(
        "body",
        [
            listed(),
            listed(*["k"] * 1001),
            b"",
            b"<Delete>",
            listed("a", more="<Odd/>"),
            listed("a") + b" " * deletion.MAX_BYTES,
        ],
        ids=range(6),
    )
    @pytest_twisted.ensureDeferred
    async def test_no_list(self, full: Door, body: bytes) -> None:
        answer = await delete(full, body)
        assert (answer.status, answer.code) == (400, "MalformedXML")
        assert len(full.objects.objects) == 3

    @pytest_twisted.ensureDeferred
    async def test_a_digest_is_demanded_before_the_body(self, full: Door) -> None:
        wire = await full.connect()
        head = request("POST", "/unified?delete", "Expect: 100-continue")
        wire.send(head.replace(b"Content-Length: 0", b"Content-Length: 99"))
        answer = await wire.response()
        assert (answer.status, answer.code) == (400, "InvalidRequest")


class TestOne:
    @pytest_twisted.ensureDeferred
    async def test_conditions(self, full: Door) -> None:
        etag = hashlib.md5(b"x").hexdigest()
        for target, line, status, code in [
            ("a", 'If-Match: "z"', 412, "PreconditionFailed"),
            ("none", "If-Match: *", 404, "NoSuchKey"),
            ("a", f'If-Match: "{etag}"', 204, None),
            ("b", "If-Match: *", 204, None),
            ("b", "A: b", 204, None),
        ]:
            answer = await full.ask("DELETE", f"/unified/{target}", line)
            assert answer.status == status
            assert (answer.code if code else None) == code
        assert list(full.objects.objects) == [("unified", "c")]

    @pytest_twisted.ensureDeferred
    async def test_the_null_version(self, full: Door) -> None:
        answer = await full.ask("DELETE", "/unified/a?versionId=null")
        assert answer.status == 204
        assert answer.header("x-amz-version-id") == "null"
        answer = await full.ask("DELETE", "/unified/b?versionId=7")
        assert (answer.status, answer.code) == (404, "NoSuchVersion")
        assert sorted(key for _, key in full.objects.objects) == ["b", "c"]


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")
