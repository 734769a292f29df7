"""s3proxy.web.objects: the headers and statuses of operations on one object."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
import pytest_twisted

from s3proxy.config_model import AuthConfig
from s3proxy.s3.sigv4 import sign_headers
from tests.web.conftest import NOW, Door, MakeDoor
from tests.web.wire import Response, request

LAST_MODIFIED = "Fri, 20 Nov 2026 10:30:15 GMT"
KEY = AuthConfig(access_key_id="AK", secret_access_key="secret")
DATA = bytes(range(256)) * 4


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


class TestPut:
    @pytest_twisted.ensureDeferred
    async def test_stores_and_tells_the_etag(self, door: Door) -> None:
        answer = await door.ask("PUT", "/unified/k", body=DATA)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("etag") == etag(DATA)
        assert answer.header("content-length") == "0"
        assert door.objects.data("k") == DATA

    @pytest_twisted.ensureDeferred
    async def test_checksums_are_echoed(self, door: Door) -> None:
        line = f"x-amz-checksum-crc32: {crc32(DATA)}"
        answer = await door.ask("PUT", "/unified/k", line, body=DATA)
        assert answer.header("x-amz-checksum-crc32") == crc32(DATA)
        assert answer.header("x-amz-checksum-type") == "FULL_OBJECT"

    @pytest_twisted.ensureDeferred
    async def test_digests_are_held_to(self, door: Door) -> None:
        wrong = crc32(b"other")
        for line, code in [
            (f"x-amz-checksum-crc32: {wrong}", "BadDigest"),
            (
                f"x-amz-content-sha256: {hashlib.sha256(b'other').hexdigest()}",
                "XAmzContentSHA256Mismatch",
            ),
        ]:
            answer = await door.ask("PUT", "/unified/k", line, body=DATA)
            assert (answer.status, answer.code) == (400, code)
        assert door.objects.objects == {}

    @pytest_twisted.ensureDeferred
    async def test_the_size_limit_is_inclusive_and_comes_before_the_body(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(max_object_size=10)
        assert (await door.ask("PUT", "/unified/k", body=b"x" * 10)).status == 200
        wire = await door.connect()
        wire.send(
            request("PUT", "/unified/big", "Expect: 100-continue").replace(
                b"Content-Length: 0", b"Content-Length: 11"
            )
        )
        answer = await wire.response()
        assert (answer.status, answer.code) == (400, "EntityTooLarge")
        assert answer.field("MaxSizeAllowed") == "10"
        assert "put big" not in door.objects.events


class TestRead:
    @pytest_twisted.ensureDeferred
    async def test_get_and_head_tell_the_same(self, door: Door) -> None:
        put = await door.ask(
            "PUT",
            "/unified/k",
            "Content-Type: text/x",
            "Cache-Control: no-store",
            "Content-Disposition: attachment; filename=\xe9",
            "Content-Encoding: gzip",
            "x-amz-meta-Name: \xc3\xa9",
            body=DATA,
        )
        assert put.status == 200
        get = await door.ask("GET", "/unified/k")
        head = await door.ask("HEAD", "/unified/k")
        assert (get.status, get.body) == (200, DATA)
        assert (head.status, head.body) == (200, b"")
        varying = {"x-amz-request-id"}
        assert [each for each in get.headers if each[0] not in varying] == [
            each for each in head.headers if each[0] not in varying
        ]
        assert get.header("last-modified") == LAST_MODIFIED
        assert get.header("etag") == etag(DATA)
        assert get.header("accept-ranges") == "bytes"
        assert get.header("content-length") == str(len(DATA))
        assert get.header("content-type") == "text/x"
        assert get.header("cache-control") == "no-store"
        assert get.header("content-disposition") == "attachment; filename=\xe9"
        assert get.header("content-encoding") == "gzip"
        assert get.header("x-amz-meta-name") == "\xc3\xa9"
        assert "open k 0-1024" in door.objects.events
        assert door.objects.events[-1] == "head k"

    @pytest_twisted.ensureDeferred
    async def test_without_a_type_it_is_an_octet_stream(self, door: Door) -> None:
        door.objects.store("unified", "k", DATA)
        answer = await door.ask("GET", "/unified/k")
        assert answer.header("content-type") == "binary/octet-stream"

    @pytest_twisted.ensureDeferred
    async def test_an_empty_object_needs_no_backend(self, door: Door) -> None:
        door.objects.store("unified", "k", b"")
        answer = await door.ask("GET", "/unified/k")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("content-length") == "0"
        assert answer.header("content-type") == "binary/octet-stream"
        assert door.objects.events == ["find k"]

    @pytest.mark.parametrize(
        ("line", "start", "end"),
        [("0-0", 0, 1), ("5-9", 5, 10), ("1000-", 1000, 1024), ("-24", 1000, 1024)],
    )
    @pytest_twisted.ensureDeferred
    async def test_ranges(self, door: Door, line: str, start: int, end: int) -> None:
        door.objects.store("unified", "k", DATA, checksums={"crc32": crc32(DATA)})
        lines = (f"Range: bytes={line}", "x-amz-checksum-mode: ENABLED")
        get = await door.ask("GET", "/unified/k", *lines)
        head = await door.ask("HEAD", "/unified/k", *lines)
        for answer in (get, head):
            assert answer.status == 206
            assert answer.header("content-range") == f"bytes {start}-{end - 1}/1024"
            assert answer.header("content-length") == str(end - start)
            assert answer.header("x-amz-checksum-crc32") is None
        assert get.body == DATA[start:end]
        assert f"open k {start}-{end}" in door.objects.events

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest_twisted.ensureDeferred
    async def test_a_range_beyond_the_end(self, door: Door, method: str) -> None:
        door.objects.store("unified", "k", DATA)
        answer = await door.ask(method, "/unified/k", "Range: bytes=1024-")
        assert answer.status == 416
        assert answer.header("content-range") == "bytes */1024"
        assert not any("open" in event for event in door.objects.events)

    @pytest_twisted.ensureDeferred
    async def test_if_range_for_another_version_gets_the_whole(
        self, door: Door
    ) -> None:
        door.objects.store("unified", "k", DATA)
        lines = ("Range: bytes=1-2", 'If-Range: "other"')
        assert (await door.ask("GET", "/unified/k", *lines)).status == 200
        lines = ("Range: bytes=1-2", f"If-Range: {etag(DATA)}")
        assert (await door.ask("GET", "/unified/k", *lines)).status == 206

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("line", "status"),
        [
            (f"If-None-Match: {etag(DATA)}", 304),
            (f"If-Modified-Since: {LAST_MODIFIED}", 304),
            ('If-Match: "other"', 412),
            ("If-Unmodified-Since: Thu, 19 Nov 2026 10:30:15 GMT", 412),
            ('If-None-Match: "other"', 200),
            (f"If-Match: {etag(DATA)}", 200),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_conditions(
        self, door: Door, method: str, line: str, status: int
    ) -> None:
        door.objects.store("unified", "k", DATA, headers={"cache-control": "no-cache"})
        answer = await door.ask(method, "/unified/k", line)
        assert answer.status == status
        if status == 304:
            assert answer.header("etag") == etag(DATA)
            assert answer.header("last-modified") == LAST_MODIFIED
            assert answer.header("cache-control") == "no-cache"
            assert answer.header("content-length") is None
            assert answer.header("content-type") is None
        opened = any("open" in event for event in door.objects.events)
        assert opened is (status == 200 and method == "GET")

    @pytest_twisted.ensureDeferred
    async def test_checksums_come_when_asked_for(self, door: Door) -> None:
        door.objects.store("unified", "k", DATA, checksums={"crc32": "AAAAAA=="})
        plain = await door.ask("GET", "/unified/k")
        assert plain.header("x-amz-checksum-crc32") is None
        asked = await door.ask("HEAD", "/unified/k", "x-amz-checksum-mode: enabled")
        assert asked.header("x-amz-checksum-crc32") == "AAAAAA=="
        assert asked.header("x-amz-checksum-type") == "FULL_OBJECT"

    @pytest_twisted.ensureDeferred
    async def test_no_such_key(self, door: Door) -> None:
        answer = await door.ask("GET", "/unified/a%20b")
        assert (answer.status, answer.code) == (404, "NoSuchKey")
        assert answer.field("Key") == "a b"
        assert answer.field("Resource") == "/unified/a%20b"


class TestParts:
    """``partNumber=``: a part by its number."""

    PARTS = (500, 300, 224)

    @pytest.mark.parametrize(
        ("number", "start", "end"), [(1, 0, 500), (2, 500, 800), (3, 800, 1024)]
    )
    @pytest_twisted.ensureDeferred
    async def test_a_part(self, door: Door, number: int, start: int, end: int) -> None:
        door.objects.store("unified", "k", DATA, etag="0f-3", checksums={"crc32": "x"})
        door.objects.part_sizes["k"] = self.PARTS
        target = f"/unified/k?partNumber={number}"
        get = await door.ask("GET", target, "x-amz-checksum-mode: ENABLED")
        assert door.objects.events == [
            f"part_range k {number}",
            f"open k {start}-{end}",
        ]
        head = await door.ask("HEAD", target)
        assert door.objects.events[2:] == [f"part_range k {number}"]
        for answer in (get, head):
            assert answer.status == 206
            assert answer.header("content-range") == f"bytes {start}-{end - 1}/1024"
            assert answer.header("content-length") == str(end - start)
            assert answer.header("x-amz-mp-parts-count") == "3"
            assert answer.header("etag") == '"0f-3"'
            assert answer.header("x-amz-checksum-crc32") is None
        assert get.body == DATA[start:end]

    @pytest.mark.parametrize("data", [DATA, b""])
    @pytest_twisted.ensureDeferred
    async def test_a_part_too_many(self, door: Door, data: bytes) -> None:
        door.objects.store("unified", "k", data)
        answer = await door.ask("GET", "/unified/k?partNumber=2")
        assert (answer.status, answer.code) == (416, "InvalidPartNumber")
        assert answer.field("ActualPartCount") == "1"
        assert answer.field("PartNumberRequested") == "2"
        assert (await door.ask("HEAD", "/unified/k?partNumber=2")).status == 416

    @pytest_twisted.ensureDeferred
    async def test_of_an_object_that_has_none(self, door: Door) -> None:
        door.objects.store("unified", "k", DATA)
        answer = await door.ask("GET", "/unified/k?partNumber=1")
        assert (answer.status, answer.body) == (206, DATA)
        assert answer.header("content-range") == "bytes 0-1023/1024"
        assert answer.header("x-amz-mp-parts-count") is None

    @pytest_twisted.ensureDeferred
    async def test_of_an_upload_of_one_part(self, door: Door) -> None:
        door.objects.store("unified", "k", DATA, etag="0f-1")
        answer = await door.ask("HEAD", "/unified/k?partNumber=1")
        assert answer.header("x-amz-mp-parts-count") == "1"

    @pytest_twisted.ensureDeferred
    async def test_empty_ones(self, door: Door) -> None:
        door.objects.store("unified", "empty", b"")
        answer = await door.ask("GET", "/unified/empty?partNumber=1")
        assert (answer.status, answer.body) == (200, b"")
        door.objects.store("unified", "k", DATA, etag="0f-2")
        door.objects.part_sizes["k"] = (1024, 0)
        last = await door.ask("GET", "/unified/k?partNumber=2")
        assert (last.status, last.body) == (206, b"")
        assert last.header("content-range") is None
        assert not any("open" in event for event in door.objects.events)

    @pytest.mark.parametrize(
        ("line", "status"), [('If-Match: "x"', 412), ('If-None-Match: "0f-3"', 304)]
    )
    @pytest_twisted.ensureDeferred
    async def test_conditions_are_of_the_whole(
        self, door: Door, line: str, status: int
    ) -> None:
        door.objects.store("unified", "k", DATA, etag="0f-3")
        door.objects.part_sizes["k"] = self.PARTS
        answer = await door.ask("GET", "/unified/k?partNumber=2", line)
        assert answer.status == status

    @pytest_twisted.ensureDeferred
    async def test_beside_a_range(self, door: Door) -> None:
        answer = await door.ask("GET", "/unified/k?partNumber=2", "Range: bytes=0-1")
        assert (answer.status, answer.code) == (400, "InvalidRequest")

    @pytest_twisted.ensureDeferred
    async def test_no_such_key(self, door: Door) -> None:
        answer = await door.ask("GET", "/unified/k?partNumber=1")
        assert (answer.status, answer.code) == (404, "NoSuchKey")


@pytest_twisted.ensureDeferred
async def test_a_composite_checksum_says_so(door: Door) -> None:
    door.objects.store("unified", "k", DATA, checksums={"crc32": "AAAAAA==-3"})
    answer = await door.ask("HEAD", "/unified/k", "x-amz-checksum-mode: ENABLED")
    assert answer.header("x-amz-checksum-crc32") == "AAAAAA==-3"
    assert answer.header("x-amz-checksum-type") == "COMPOSITE"


class TestOverrides:
    async def ask_signed(self, door: Door, query: str) -> Response:
        more = sign_headers(
            "GET",
            "/unified/k",
            query,
            {"host": "h"},
            access_key_id="AK",
            secret_access_key="secret",
            region="us-east-1",
            payload_hash="UNSIGNED-PAYLOAD",
            now=NOW,
        )
        lines = [f"{name}: {value}" for name, value in more.items()]
        return await door.ask("GET", f"/unified/k?{query}", *lines)

    @pytest_twisted.ensureDeferred
    async def test_are_the_key_holders(self, make_door: MakeDoor) -> None:
        door = make_door(auth=KEY)
        door.objects.store("unified", "k", DATA, content_type="text/x")
        answer = await self.ask_signed(
            door,
            "response-content-disposition=attachment%3B%20filename%3D%C3%A9"
            "&response-content-type=text%2Fy",
        )
        assert (answer.status, answer.body) == (200, DATA)
        assert answer.header("content-type") == "text/y"
        disposition = answer.header("content-disposition")
        assert disposition == "attachment; filename=\xc3\xa9"

    @pytest.mark.parametrize("value", ["a%0D%0AEvil:%20b", "%0A", "a%7Fb"])
    @pytest_twisted.ensureDeferred
    async def test_inject_no_header(self, make_door: MakeDoor, value: str) -> None:
        door = make_door(auth=KEY)
        door.objects.store("unified", "k", DATA)
        answer = await self.ask_signed(door, f"response-expires={value}")
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert answer.header("evil") is None

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest_twisted.ensureDeferred
    async def test_are_nobody_elses(self, door: Door, method: str) -> None:
        door.objects.store("unified", "k", DATA)
        answer = await door.ask(method, "/unified/k?response-content-type=text/html")
        assert answer.status == 400
        assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_delete_is_204_with_and_without_an_object(door: Door) -> None:
    door.objects.store("unified", "k", DATA)
    for _ in range(2):
        answer = await door.ask("DELETE", "/unified/k")
        assert (answer.status, answer.body) == (204, b"")
        assert answer.header("content-length") is None
    assert door.objects.objects == {}
