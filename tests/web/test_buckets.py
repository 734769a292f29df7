"""s3proxy.web.buckets: listings and what clients ask of buckets."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import pytest_twisted

from tests.web.conftest import Door
from tests.web.wire import Response

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def texts(answer: Response, path: str) -> list[str | None]:
    assert answer.status == 200
    assert answer.header("content-type") == "application/xml"
    root = ElementTree.fromstring(answer.body)
    return [each.text for each in root.findall("/".join(S3 + n for n in path.split()))]


@pytest_twisted.ensureDeferred
async def test_list_buckets(door: Door) -> None:
    answer = await door.ask("GET", "/")
    assert texts(answer, "Buckets Bucket Name") == ["unified"]
    created = texts(answer, "Buckets Bucket CreationDate")
    assert created == ["2026-01-02T03:04:05.000Z"]
    none = await door.ask("GET", "/?prefix=x")
    assert texts(none, "Buckets Bucket Name") == []


@pytest.mark.parametrize("target", ["/unified", "/unified/"])
@pytest_twisted.ensureDeferred
async def test_head_bucket(door: Door, target: str) -> None:
    answer = await door.ask("HEAD", target)
    assert answer.status == 200
    assert answer.header("x-amz-bucket-region") == "us-east-1"
    assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_location(door: Door) -> None:
    answer = await door.ask("GET", "/unified?location")
    assert answer.status == 200
    assert not ElementTree.fromstring(answer.body).text


@pytest_twisted.ensureDeferred
async def test_pages_of_both_versions_join_to_the_whole(door: Door) -> None:
    keys = [f"k{n:02}" for n in range(10)]
    for key in keys:
        door.objects.store("unified", key, b"x")

    found, query = [], "list-type=2&max-keys=3"
    while True:
        answer = await door.ask("GET", f"/unified?{query}")
        assert answer.header("x-amz-bucket-region") == "us-east-1"
        found += texts(answer, "Contents Key")
        token = texts(answer, "NextContinuationToken")
        if not token:
            break
        query = f"list-type=2&max-keys=3&continuation-token={token[0]}"
    assert found == keys

    found, marker = [], ""
    while True:
        answer = await door.ask("GET", f"/unified?max-keys=4&marker={marker}")
        found += texts(answer, "Contents Key")
        if texts(answer, "IsTruncated") == ["false"]:
            break
        marker = found[-1]
    assert found == keys


@pytest_twisted.ensureDeferred
async def test_every_parameter_reaches_the_ledger(door: Door) -> None:
    await door.ask(
        "GET", "/unified?list-type=2&prefix=a%2F%25&delimiter=%2F&start-after=a%2Fb"
    )
    assert door.objects.events == ["list 'a/%' '/' 'a/b' 1000"]


@pytest_twisted.ensureDeferred
async def test_a_page_of_no_keys_asks_nobody(door: Door) -> None:
    door.objects.store("unified", "k", b"")
    answer = await door.ask("GET", "/unified?list-type=2&max-keys=0")
    assert texts(answer, "IsTruncated") == ["false"]
    assert texts(answer, "Contents") == []
    assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_a_forged_token_is_an_error(door: Door) -> None:
    answer = await door.ask("GET", "/unified?list-type=2&continuation-token=x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/unified", 409, "BucketAlreadyOwnedByYou"),
        ("/unified/", 409, "BucketAlreadyOwnedByYou"),
        ("/other", 403, "AccessDenied"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_buckets_are_not_made(
    door: Door, target: str, status: int, code: str
) -> None:
    """
    ``rclone copy`` of one file makes the bucket first, and goes on when told that it
    is there; anything else would stop it.
    """
    answer = await door.ask("PUT", target, body=b"<CreateBucketConfiguration/>")
    assert (answer.status, answer.code) == (status, code)
    assert door.objects.events == []
