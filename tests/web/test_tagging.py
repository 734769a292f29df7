"""s3proxy.web.tagging: tags of objects and of the bucket."""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree

import pytest
import pytest_twisted

from tests.web.conftest import Door
from tests.web.wire import Response

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
ONE = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
NONE = b"<Tagging><TagSet/></Tagging>"
MD5 = base64.b64encode(hashlib.md5(ONE).digest()).decode()


def tags(answer: Response) -> dict[str | None, str | None]:
    assert answer.status == 200, answer.body
    root = ElementTree.fromstring(answer.body)
    return {
        each.findtext(f"{S3}Key"): each.findtext(f"{S3}Value")
        for each in root.iter(f"{S3}Tag")
    }


@pytest_twisted.ensureDeferred
async def test_of_an_object(door: Door) -> None:
    door.objects.store("unified", "k", b"x")
    assert tags(await door.ask("GET", "/unified/k?tagging")) == {}
    line = f"Content-MD5: {MD5}"
    answer = await door.ask("PUT", "/unified/k?tagging", line, body=ONE)
    assert (answer.status, answer.body) == (200, b"")
    assert tags(await door.ask("GET", "/unified/k?tagging")) == {"a": "b"}
    for method in ("GET", "HEAD"):
        answer = await door.ask(method, "/unified/k")
        assert answer.header("x-amz-tagging-count") == "1"
    answer = await door.ask("DELETE", "/unified/k?tagging")
    assert answer.status == 204
    assert tags(await door.ask("GET", "/unified/k?tagging")) == {}
    answer = await door.ask("GET", "/unified/k")
    assert answer.header("x-amz-tagging-count") is None
    assert door.objects.data("k") == b"x"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest_twisted.ensureDeferred
async def test_of_no_object(door: Door, method: str) -> None:
    body = ONE if method == "PUT" else b""
    answer = await door.ask(method, "/unified/k?tagging", body=body)
    assert (answer.status, answer.code) == (404, "NoSuchKey")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest_twisted.ensureDeferred
async def test_of_the_null_version(door: Door, method: str) -> None:
    door.objects.store("unified", "k", b"x")
    body = ONE if method == "PUT" else b""
    answer = await door.ask(method, "/unified/k?tagging&versionId=null", body=body)
    assert answer.status in (200, 204)
    assert answer.header("x-amz-version-id") == "null"
    answer = await door.ask(method, "/unified/k?tagging&versionId=7", body=body)
    assert answer.code == "NoSuchVersion"


@pytest_twisted.ensureDeferred
async def test_of_the_bucket(door: Door) -> None:
    target = "/unified?tagging"
    answer = await door.ask("GET", target)
    assert (answer.status, answer.code) == (404, "NoSuchTagSet")
    assert (await door.ask("PUT", target, body=ONE)).status == 204
    assert tags(await door.ask("GET", target)) == {"a": "b"}
    assert (await door.ask("DELETE", target)).status == 204
    assert (await door.ask("GET", target)).code == "NoSuchTagSet"
    assert (await door.ask("PUT", target, body=NONE)).status == 204
    assert (await door.ask("GET", target)).code == "NoSuchTagSet"


@pytest.mark.parametrize("target", ["/unified/k?tagging", "/unified?tagging"])
@pytest.mark.parametrize(
    ("line", "body", "code"),
    [
        ("Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", ONE, "BadDigest"),
        ("x-amz-checksum-crc32: AAAAAA==", ONE, "BadDigest"),
        ("A: b", b"", "MalformedXML"),
        ("A: b", ONE.replace(b"Key", b"Kay"), "MalformedXML"),
        ("A: b", ONE.replace(b">a<", b"><"), "InvalidTag"),
        ("A: b", ONE + b" " * 300_000, "MalformedXML"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_refused(
    door: Door, target: str, line: str, body: bytes, code: str
) -> None:
    door.objects.store("unified", "k", b"x")
    answer = await door.ask("PUT", target, line, body=body)
    assert (answer.status, answer.code) == (400, code)
    assert tags(await door.ask("GET", "/unified/k?tagging")) == {}
    assert (await door.ask("GET", "/unified?tagging")).code == "NoSuchTagSet"


@pytest_twisted.ensureDeferred
async def test_with_the_object(door: Door) -> None:
    line = "x-amz-tagging: a=b&c"
    assert (await door.ask("PUT", "/unified/k", line, body=b"x")).status == 200
    assert tags(await door.ask("GET", "/unified/k?tagging")) == {"a": "b", "c": ""}
    answer = await door.ask("PUT", "/unified/k", "x-amz-tagging: a=b&a=c", body=b"y")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert door.objects.data("k") == b"x"
