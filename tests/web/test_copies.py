"""s3proxy.web.copies: copies over the wire."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import pytest_twisted

from s3proxy import errors
from s3proxy.config_model import AuthConfig
from s3proxy.errors import S3Error
from s3proxy.s3.operation import CopyObject, CopySource, UploadPartCopy
from tests.web.conftest import Door, MakeDoor

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
PART = "/unified/k?partNumber=7&uploadId=u"
SOURCE = "x-amz-copy-source: unified/a%20b"
TARGETS = ["/unified/k", PART]


@pytest.mark.parametrize(
    ("target", "tag"), [("/unified/k", "CopyObjectResult"), (PART, "CopyPartResult")]
)
@pytest_twisted.ensureDeferred
async def test_tells_etag_and_time(door: Door, target: str, tag: str) -> None:
    answer = await door.ask("PUT", target, SOURCE)
    assert answer.status == 200
    assert answer.header("content-type") == "application/xml"
    root = ElementTree.fromstring(answer.body)
    assert root.tag == S3 + tag
    assert root.findtext(f"{S3}ETag") == '"0f"'
    assert root.findtext(f"{S3}LastModified") == "2026-11-20T10:30:15.250Z"
    assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_what_is_asked_for(door: Door) -> None:
    await door.ask("PUT", "/unified/k", SOURCE)
    await door.ask("PUT", PART, SOURCE, "x-amz-copy-source-range: bytes=1-2")
    source = CopySource("unified", "a b")
    assert door.copies.ops == [
        CopyObject("unified", "k", source),
        UploadPartCopy("unified", "k", "u", 7, source, source_range=(1, 3)),
    ]


@pytest.mark.parametrize("target", TARGETS)
@pytest_twisted.ensureDeferred
async def test_a_source_in_another_bucket(door: Door, target: str) -> None:
    answer = await door.ask("PUT", target, "x-amz-copy-source: other/k")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert answer.field("BucketName") == "other"
    assert door.copies.ops == []


@pytest.mark.parametrize("target", TARGETS)
@pytest_twisted.ensureDeferred
async def test_a_stranger_copies_nothing(make_door: MakeDoor, target: str) -> None:
    door = make_door(auth=AuthConfig(token="let me in"))
    answer = await door.ask("PUT", target, "x-amz-copy-source: other/k")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert door.copies.ops == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("why", "status", "code"),
    [
        (errors.NoSuchKey(), 404, "NoSuchKey"),
        (errors.NoSuchUpload(), 404, "NoSuchUpload"),
        (errors.PreconditionFailed(), 412, "PreconditionFailed"),
        (errors.InvalidRange(), 416, "InvalidRange"),
        (errors.InsufficientStorage(), 507, "InsufficientStorage"),
        (errors.StoreUnavailable("down"), 503, "ServiceUnavailable"),
        (errors.BackendUnavailable("one", "down"), 503, "ServiceUnavailable"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_failures(
    door: Door, target: str, why: S3Error, status: int, code: str
) -> None:
    door.copies.failure = why
    answer = await door.ask("PUT", target, SOURCE)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("x-amz-copy-source: x", 400, "InvalidArgument"),
        ("x-amz-copy-source: unified/k", 400, "InvalidRequest"),
        ("x-amz-copy-source: unified/a?versionId=1", 404, "NoSuchVersion"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_refused(door: Door, line: str, status: int, code: str) -> None:
    answer = await door.ask("PUT", "/unified/k", line)
    assert (answer.status, answer.code) == (status, code)
    assert (door.copies.ops, door.objects.events) == ([], [])
