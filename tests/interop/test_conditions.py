"""Lines 44 to 47: overwrites, consistency, conditions, ranges."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.daemon import BUCKET, Daemon
from tests.interop.lines import ask, failure, interop

BODY = b"0123456789"
ETAG = hashlib.md5(BODY).hexdigest()
OTHER = "0" * 32


@interop(44, "a-failed-overwrite-leaves-the-old-object")
def test_failed_overwrite(s3: Any, daemon: Daemon, prefix: str) -> None:
    """A wrong digest, a condition, a body that is too short for its checksum."""
    key = f"{prefix}k"
    named = {"Bucket": BUCKET, "Key": key}
    s3.put_object(**named, Body=BODY)
    wrong = b64encode(bytes(16)).decode()
    assert failure(s3.put_object, **named, Body=b"new", ContentMD5=wrong) == (
        400,
        "BadDigest",
    )
    assert failure(s3.put_object, **named, Body=b"new", IfNoneMatch="*") == (
        412,
        "PreconditionFailed",
    )
    answer = ask(
        daemon, "PUT", f"/{BUCKET}/{key}", {"x-amz-checksum-crc32": "AAAAAA=="}, b"new"
    )
    assert answer.status == 400
    assert s3.get_object(**named)["Body"].read() == BODY


@interop(45, "read-and-list-at-once")
def test_consistency(s3: Any, prefix: str) -> None:
    """After each answer, what it said is so."""
    key = f"{prefix}k"
    named = {"Bucket": BUCKET, "Key": key}
    asked = {"Bucket": BUCKET, "Prefix": prefix}
    for number in range(20):
        body = b"x" * number
        s3.put_object(**named, Body=body, Tagging=f"n={number}")
        assert s3.get_object(**named)["Body"].read() == body
        (entry,) = s3.list_objects_v2(**asked)["Contents"]
        assert entry["Size"] == number
        (tag,) = s3.get_object_tagging(**named)["TagSet"]
        assert tag["Value"] == str(number)
        if number % 2:
            s3.delete_object(**named)
        else:
            s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
        assert failure(s3.get_object, **named) == (404, "NoSuchKey")
        assert s3.list_objects_v2(**asked)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-match": f'"{ETAG}"'}, 200),
        ({"if-match": ETAG}, 200),
        ({"if-match": f'W/"{ETAG}"'}, 200),
        ({"if-match": f'"{OTHER}", "{ETAG}"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": f'"{OTHER}"'}, 412),
        ({"if-none-match": f'"{ETAG}"'}, 304),
        ({"if-none-match": ETAG}, 304),
        ({"if-none-match": f'W/"{ETAG}"'}, 304),
        ({"if-none-match": f'"{OTHER}",{ETAG}'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": f'"{OTHER}"'}, 200),
        # The ETag counts before the time.
        (
            {
                "if-match": ETAG,
                "if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
            },
            200,
        ),
        ({"if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412),
        (
            {
                "if-none-match": OTHER,
                "if-modified-since": "Sun, 06 Nov 2094 08:49:37 GMT",
            },
            200,
        ),
        ({"if-modified-since": "Sun, 06 Nov 2094 08:49:37 GMT"}, 304),
        ({"if-match": ETAG, "if-none-match": ETAG}, 304),
        ({"if-match": OTHER, "if-none-match": ETAG}, 412),
    ],
)
@interop(46, "conditions-of-reads")
def test_conditions(
    s3: Any, daemon: Daemon, prefix: str, headers: dict[str, str], status: int
) -> None:
    """Quoted or not, weak, lists, RFC 9110's precedence; 304 carries the ETag."""
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}k", Body=BODY)
    for method in ("GET", "HEAD"):
        answer = ask(daemon, method, f"/{BUCKET}/{prefix}k", headers)
        assert answer.status == status
        if status != 412:
            assert answer.headers["etag"] == f'"{ETAG}"'
        if status == 304:
            assert answer.body == b""


@interop(46, "50-racers-and-one-winner")
def test_racers(s3: Any, prefix: str) -> None:
    """``If-None-Match: *`` is a lock that one of them gets."""
    for number in range(3):

        def write(racer: int, key: str = f"{prefix}{number}") -> int:
            try:
                s3.put_object(
                    Bucket=BUCKET, Key=key, Body=f"{racer}".encode(), IfNoneMatch="*"
                )
            except ClientError as why:
                status: int = why.response["ResponseMetadata"]["HTTPStatusCode"]
                return status
            return 200

        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(write, range(50)))
        assert sorted(statuses) == [200] + [412] * 49
        winner = s3.get_object(Bucket=BUCKET, Key=f"{prefix}{number}")["Body"].read()
        assert statuses[int(winner)] == 200


@interop(46, "conditions-of-writes-and-deletes")
def test_conditional_writes(s3: Any, prefix: str) -> None:
    """412 where another object is there, 404 where there is none to match."""
    named = {"Bucket": BUCKET, "Key": f"{prefix}k"}
    missing, failed = (404, "NoSuchKey"), (412, "PreconditionFailed")
    assert failure(s3.put_object, **named, IfMatch="*") == missing
    assert failure(s3.put_object, **named, IfMatch=OTHER) == missing
    assert failure(s3.delete_object, **named, IfMatch="*") == missing
    s3.put_object(**named, Body=BODY, IfNoneMatch=ETAG)
    assert failure(s3.put_object, **named, IfMatch=OTHER) == failed
    assert failure(s3.put_object, **named, IfNoneMatch=ETAG) == failed
    assert failure(s3.delete_object, **named, IfMatch=OTHER) == failed
    s3.put_object(**named, Body=BODY, IfMatch=f'"{ETAG}"')
    s3.delete_object(**named, IfMatch=f'"{ETAG}"')
    assert failure(s3.head_object, **named)[0] == 404


@pytest.mark.parametrize(
    ("range_", "status", "body"),
    [
        ("bytes=2-4", 206, BODY[2:5]),
        ("bytes=-3", 206, BODY[-3:]),
        ("bytes=-99", 206, BODY),
        ("bytes=7-99", 206, BODY[7:]),
        ("bytes=7-", 206, BODY[7:]),
        ("bytes=0-0,2-3", 200, BODY),
        ("bytes=4-2", 200, BODY),
        ("bytes=a-b", 200, BODY),
        ("lines=0-1", 200, BODY),
    ],
)
@interop(47, "ranges")
def test_ranges(
    s3: Any, daemon: Daemon, prefix: str, range_: str, status: int, body: bytes
) -> None:
    """Suffix, clamped at the end; several or malformed ones are ignored."""
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}k", Body=BODY)
    answer = ask(daemon, "GET", f"/{BUCKET}/{prefix}k", {"range": range_})
    assert (answer.status, answer.body) == (status, body)
    assert ("content-range" in answer.headers) is (status == 206)


@pytest.mark.parametrize(
    ("size", "range_"), [(10, "bytes=10-"), (10, "bytes=-0"), (0, "bytes=0-")]
)
@interop(47, "past-the-end-is-416")
def test_past_the_end(
    s3: Any, daemon: Daemon, prefix: str, size: int, range_: str
) -> None:
    """With the size, so that a client can ask again."""
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}k", Body=BODY[:size])
    answer = ask(daemon, "GET", f"/{BUCKET}/{prefix}k", {"range": range_})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert b"<Code>InvalidRange</Code>" in answer.body
