"""Buckets made at run time, over the wire: who may, under which names, and whose."""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree

import pytest
import pytest_twisted

from s3proxy.config_model import AuthConfig, CredentialConfig
from s3proxy.model import Grant
from s3proxy.s3.sigv4 import sign_headers
from tests.web.conftest import NOW, Door, MakeDoor
from tests.web.wire import Response

CREDENTIALS = [
    CredentialConfig("alice", "of alice", True, {"photos": Grant()}),
    CredentialConfig("bob", "of bob", True),
    CredentialConfig("carol", "of carol", False, {"photos": Grant()}),
]
OWNER = AuthConfig("owner", "of owner", "let me in")
LET_ME_IN = "X-Proxy-Token: let me in"


@pytest.fixture
def door(make_door: MakeDoor) -> Door:
    return make_door(
        auth=OWNER, credentials=CREDENTIALS, buckets=("unified", "photos", "music")
    )


async def ask(
    door: Door, who: str, method: str, target: str, body: bytes = b"", *lines: str
) -> Response:
    """A request that *who* has signed."""
    path, _, query = target.partition("?")
    host = f"127.0.0.1:{door.port}"
    more = dict(re.split(": ", line, maxsplit=1) for line in lines)
    signed = sign_headers(
        method,
        path,
        query,
        {"host": host, **more},
        access_key_id=who,
        secret_access_key=f"of {who}",
        region="us-east-1",
        payload_hash=hashlib.sha256(body).hexdigest(),
        now=NOW,
    )
    sent = [f"{name}: {value}" for name, value in {**more, **signed}.items()]
    wire = await door.connect()
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *sent]
    head.append(f"Content-Length: {len(body)}")
    wire.send("\r\n".join([*head, "", ""]).encode() + body)
    answer = await wire.response(head=method == "HEAD")
    wire.close()
    return answer


def names(answer: Response) -> list[str | None]:
    assert answer.status == 200, answer.body
    space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    return [
        each.text for each in ElementTree.fromstring(answer.body).iter(f"{space}Name")
    ]


def owners(answer: Response) -> set[str | None]:
    """Whoever is named in it, by id and by name."""
    assert answer.status == 200, answer.body
    space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    root = ElementTree.fromstring(answer.body)
    return {
        each.text for tag in ("ID", "DisplayName") for each in root.iter(space + tag)
    }


@pytest_twisted.ensureDeferred
async def test_made_used_and_deleted_by_its_creator(door: Door) -> None:
    answer = await ask(door, "alice", "PUT", "/mine")
    assert (answer.status, answer.header("location")) == (200, "/mine")
    # Again, as in us-east-1: nothing is changed.
    assert (await ask(door, "alice", "PUT", "/mine")).status == 200
    assert door.made.owners == {"mine": "alice"}
    head = await ask(door, "alice", "HEAD", "/mine")
    assert (head.status, head.header("x-amz-bucket-region")) == (200, "us-east-1")
    assert (await ask(door, "alice", "GET", "/mine?location=")).status == 200
    assert (await ask(door, "alice", "PUT", "/mine/k", b"x")).status == 200
    assert (await ask(door, "alice", "GET", "/mine/k")).body == b"x"
    assert (await ask(door, "alice", "GET", "/mine?list-type=2")).status == 200
    door.made.full.add("mine")
    answer = await ask(door, "alice", "DELETE", "/mine")
    assert (answer.status, answer.code) == (409, "BucketNotEmpty")
    door.made.full.clear()
    answer = await ask(door, "alice", "DELETE", "/mine")
    assert (answer.status, answer.body) == (204, b"")
    for method in ("HEAD", "GET", "DELETE"):
        assert (await ask(door, "alice", method, "/mine")).status == 404


@pytest_twisted.ensureDeferred
async def test_what_is_in_it_is_its_creators_too(door: Door) -> None:
    """The configuration's buckets are the server's own, whoever asks."""
    door.made.owners["mine"] = "alice"
    for bucket, owner in [("mine", "alice"), ("photos", "s3proxy")]:
        door.objects.store(bucket, "k", b"x")
        for target in [
            *(f"/{bucket}?acl=", f"/{bucket}/k?acl=", f"/{bucket}?versions="),
            *(f"/{bucket}", f"/{bucket}?fetch-owner=true&list-type=2"),
        ]:
            answer = await ask(door, "alice", "GET", target)
            assert owners(answer) == {owner}, target
    acl = (await ask(door, "alice", "GET", "/mine?acl=")).body
    assert (await ask(door, "alice", "PUT", "/mine?acl=", acl)).status == 200
    assert (await ask(door, "alice", "PUT", "/photos?acl=", acl)).status == 501
    # Of a listing of buckets, who asks.
    assert owners(await ask(door, "alice", "GET", "/")) == {"alice"}
    assert owners(await door.ask("GET", "/", LET_ME_IN)) == {"s3proxy"}


@pytest_twisted.ensureDeferred
async def test_uploads_into_it_are_its_creators_too(door: Door) -> None:
    door.made.owners["mine"] = "alice"
    for target in ("/mine?uploads=", "/mine/k?uploadId=u"):
        answer = await ask(door, "alice", "GET", target)
        assert owners(answer) == {"alice"}, target


@pytest.mark.parametrize("who", ["bob", "carol", "owner"])
@pytest_twisted.ensureDeferred
async def test_nobody_else_sees_into_it(door: Door, who: str) -> None:
    door.made.owners["mine"] = "alice"
    for method, target in [
        *(("HEAD", "/mine"), ("GET", "/mine"), ("DELETE", "/mine")),
        *(("GET", "/mine/k"), ("PUT", "/mine/k"), ("GET", "/mine?location=")),
    ]:
        answer = await ask(door, who, method, target)
        assert answer.status == 403
    answer = await ask(door, who, "PUT", "/mine")
    expected = (409, "BucketAlreadyExists") if who == "bob" else (403, "AccessDenied")
    assert (answer.status, answer.code) == expected
    assert (await door.ask("GET", "/mine/k", LET_ME_IN)).code == "AccessDenied"
    assert door.objects.events == []
    assert door.made.owners == {"mine": "alice"}


@pytest.mark.parametrize("who", ["carol", "owner"])
@pytest_twisted.ensureDeferred
async def test_making_is_off_by_default(door: Door, who: str) -> None:
    """The specification's answer stands: another bucket is 404."""
    answer = await ask(door, who, "PUT", "/new")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    for method in ("GET", "DELETE"):
        answer = await ask(door, who, method, "/new")
        assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert door.made.owners == {}


@pytest_twisted.ensureDeferred
async def test_configured_buckets_are_neither_made_nor_deleted(door: Door) -> None:
    for who, target, code in [
        ("alice", "/photos", "BucketAlreadyOwnedByYou"),
        ("carol", "/photos", "BucketAlreadyOwnedByYou"),
        ("owner", "/unified", "BucketAlreadyOwnedByYou"),
        ("alice", "/music", "BucketAlreadyExists"),
        ("alice", "/unified", "BucketAlreadyExists"),
    ]:
        answer = await ask(door, who, "PUT", target)
        assert (answer.status, answer.code) == (409, code)
    for who, target in [
        ("alice", "/photos"),
        ("alice", "/music"),
        ("carol", "/photos"),
        ("owner", "/unified"),
    ]:
        answer = await ask(door, who, "DELETE", target)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    # They need no look-up.
    await ask(door, "alice", "GET", "/photos")
    assert (door.made.owners, door.made.asked) == ({}, [])


@pytest.mark.parametrize(
    "name",
    [
        *("ab", "a" * 64, "Up", "a_b", "a..b", "-ab", "ab-", "192.168.5.123", "a%20b"),
        *("foo.-bar", "foo-.bar", "xn--abc", "sthree-abc", "abc-s3alias", "abc--x-s3"),
        *("health", "metrics", "%E2%82%AC%E2%82%AC%E2%82%AC"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_names(door: Door, name: str) -> None:
    answer = await ask(door, "alice", "PUT", f"/{name}")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")
    assert (await ask(door, "alice", "GET", f"/{name}/k")).code == "NoSuchBucket"
    assert (door.made.owners, set(door.made.asked)) in (
        ({}, set()),
        # A name that a bucket may have, but for the rules on new ones.
        ({}, {name}),
    )


@pytest.mark.parametrize("name", ["abc", "a" * 63, "0-9", "a.b", "a--b", "aaa.111"])
@pytest_twisted.ensureDeferred
async def test_good_names(door: Door, name: str) -> None:
    assert (await ask(door, "alice", "PUT", f"/{name}")).status == 200
    assert door.made.owners == {name: "alice"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<CreateBucketConfiguration/>", None),
        (b"x", "MalformedXML"),
        (b"<CreateBucketConfiguration>" + b" " * 70_000, "MalformedXML"),
        (
            b"<CreateBucketConfiguration><LocationConstraint>eu-west-1"
            b"</LocationConstraint></CreateBucketConfiguration>",
            "IllegalLocationConstraintException",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_said_of_it(door: Door, body: bytes, code: str | None) -> None:
    answer = await ask(door, "alice", "PUT", "/new", body)
    if code is None:
        assert answer.status == 200
    else:
        assert (answer.status, answer.code) == (400, code)
    assert bool(door.made.owners) == (code is None)


@pytest_twisted.ensureDeferred
async def test_the_body_is_the_one_that_was_signed(door: Door) -> None:
    other = f"x-amz-content-sha256: {hashlib.sha256(b'other').hexdigest()}"
    answer = await ask(door, "alice", "PUT", "/new", b"<x/>", other)
    assert answer.status in (400, 403)
    assert door.made.owners == {}


@pytest_twisted.ensureDeferred
async def test_locks_are_not_promised(door: Door) -> None:
    line = "x-amz-bucket-object-lock-enabled: true"
    answer = await ask(door, "alice", "PUT", "/new", b"", line)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    line = "x-amz-bucket-object-lock-enabled: false"
    assert (await ask(door, "alice", "PUT", "/new", b"", line)).status == 200


@pytest_twisted.ensureDeferred
async def test_pages_join_to_the_whole(door: Door) -> None:
    """Those that are granted and those that were made, in one order, each once."""
    mine = ["a-1", "a-2", "zoo", "p-1"]
    door.made.owners = {**dict.fromkeys(mine, "alice"), "a-0": "bob"}
    whole = sorted([*mine, "photos"])
    for size in range(1, 7):
        found: list[str | None] = []
        query = f"max-buckets={size}"
        while True:
            answer = await ask(door, "alice", "GET", f"/?{query}")
            page = names(answer)
            assert len(page) <= size
            found += page
            token = re.search(
                rb"<ContinuationToken>(.*)</ContinuationToken>", answer.body
            )
            if token is None:
                break
            query = f"continuation-token={token[1].decode()}&max-buckets={size}"
        assert found == whole
    assert names(await ask(door, "alice", "GET", "/")) == whole
    assert names(await ask(door, "alice", "GET", "/?prefix=p")) == ["p-1", "photos"]
    region = await ask(door, "alice", "GET", "/?bucket-region=us-east-1")
    assert names(region) == whole
    assert names(await ask(door, "alice", "GET", "/?bucket-region=eu-west-1")) == []
    assert names(await ask(door, "bob", "GET", "/")) == ["a-0"]
    assert names(await ask(door, "carol", "GET", "/")) == ["photos"]
    assert names(await ask(door, "owner", "GET", "/")) == ["unified"]
