"""s3proxy.web.forms: uploads by browsers' forms, at the front door."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_twisted
from attrs import evolve

from s3proxy.config_model import AuthConfig
from s3proxy.s3.cors import CorsRule
from s3proxy.web import forms
from tests.s3.forms import CONTENT_TYPE, Fields, form, signed_v2, signed_v4
from tests.s3.signing import ACCESS_KEY_ID, SECRET
from tests.web.conftest import Door, MakeDoor
from tests.web.wire import Response, request

FORM = f"Content-Type: {CONTENT_TYPE}"
FILE = b"bytes of the file"
ETAG = f'"{hashlib.md5(FILE).hexdigest()}"'
SIGNED = AuthConfig(ACCESS_KEY_ID, SECRET)
KEY = [("key", "a/b c")]


async def post(
    door: Door, body: bytes, *lines: str, target: str = "/unified"
) -> Response:
    return await door.ask("POST", target, FORM, *lines, body=body)


def stored(door: Door, key: str = "a/b c") -> bytes:
    return door.objects.objects["unified", key][1]


@pytest_twisted.ensureDeferred
async def test_without_authentication_a_form_needs_no_policy(door: Door) -> None:
    fields = [
        ("key", "photos/${filename}"),
        ("Content-Type", "image/jpeg"),
        ("Cache-Control", "no-cache"),
        ("X-Amz-Meta-Name", "ü"),
        ("x-ignore-this", "x"),
        ("something", "else"),
        ("acl", "private"),
    ]
    answer = await post(door, form(fields), target="/unified/")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("etag") == ETAG
    assert answer.header("location") == "/unified/photos/cat.jpg"
    info, found = door.objects.objects["unified", "photos/cat.jpg"]
    assert found == FILE
    assert info.content_type == "image/jpeg"
    assert info.headers == {"cache-control": "no-cache"}
    assert info.user_metadata == {"name": "ü".encode().decode("latin-1")}


@pytest.mark.parametrize("sign", [signed_v4, signed_v2])
@pytest_twisted.ensureDeferred
async def test_a_signed_form(make_door: MakeDoor, sign: Any) -> None:
    door = make_door(auth=SIGNED)
    conditions = (["starts-with", "$key", "a/"], ["content-length-range", 1, 17])
    assert (await post(door, form(sign(KEY, *conditions)))).status == 204
    assert stored(door) == FILE
    for fields, status, code in (
        (sign([("key", "other")], *conditions), 403, "AccessDenied"),
        (sign(KEY), 403, "AccessDenied"),
        (sign(KEY, *conditions, bucket="other"), 403, "AccessDenied"),
        ([*sign(KEY, *conditions), ("bucket", "other")], 403, "AccessDenied"),
        ([*sign(KEY, *conditions), ("acl", "private")], 403, "AccessDenied"),
        (sign(KEY, *conditions, until="2026-11-22T11:59:59Z"), 403, "AccessDenied"),
        (sign(KEY, *conditions, secret="wrong"), 403, "SignatureDoesNotMatch"),
        (sign(KEY, *conditions, access_key_id="x"), 403, "InvalidAccessKeyId"),
        (sign(KEY, *conditions, {}), 400, "InvalidPolicyDocument"),
        (
            sign(KEY, *conditions, ["content-length-range", 0, 16]),
            400,
            "EntityTooLarge",
        ),
        (
            sign(KEY, *conditions, ["content-length-range", 18, 99]),
            400,
            "EntityTooSmall",
        ),
        (sign([]), 400, "InvalidArgument"),
        (KEY, 403, "AccessDenied"),
    ):
        answer = await post(door, form(fields))
        assert (answer.status, answer.code) == (status, code)
    assert door.objects.events == ["put a/b c", "stored a/b c"]


@pytest_twisted.ensureDeferred
async def test_the_policy_is_held_against_the_key_that_is_stored(
    make_door: MakeDoor,
) -> None:
    """With the file's name in it, of which only the last segment counts."""
    door = make_door(auth=SIGNED)
    signed = signed_v4([("key", "a/${filename}")], {"key": "a/cat.jpg"})
    for filename, status in (
        ("cat.jpg", 204),
        ("C:\\photos\\cat.jpg", 204),
        ("dog.jpg", 403),
        ("cat.jpg/../dog.jpg", 403),
    ):
        assert (await post(door, form(signed, filename=filename))).status == status
    assert list(door.objects.objects) == [("unified", "a/cat.jpg")]


@pytest_twisted.ensureDeferred
async def test_the_policy_is_held_against_the_bucket_that_the_request_names(
    make_door: MakeDoor,
) -> None:
    """In either style; what is no bucket is told only to who may ask."""
    door = make_door(auth=SIGNED, domains=("s3.example.com",))
    conditions = (["starts-with", "$key", ""],)
    created = ("success_action_status", "201")
    signed = form(signed_v4([created, *KEY], *conditions, dict([created])))
    for host, target, status in (
        ("unified.s3.example.com", "/", 201),
        ("other.s3.example.com", "/", 403),
        ("s3.example.com", "/other", 403),
    ):
        wire = await door.connect()
        wire.send(request("POST", target, FORM, body=signed, host=host))
        answer = await wire.response()
        assert answer.status == status
        if status == 201:
            assert answer.header("location") == "/a/b%20c"
    other = form(signed_v4(KEY, *conditions, bucket="other"))
    answer = await post(door, other, target="/other")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


@pytest_twisted.ensureDeferred
async def test_a_form_with_a_token(make_door: MakeDoor) -> None:
    """It has no policy; a signed form's policy is not made good by a token."""
    door = make_door(auth=evolve(SIGNED, token="t"))
    right, wrong = "X-Proxy-Token: t", "X-Proxy-Token: x"
    assert (await post(door, form(KEY), right)).status == 204
    assert (await post(door, form(KEY), wrong)).status == 403
    answer = await post(door, form(signed_v4(KEY, secret="wrong")), right)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


@pytest_twisted.ensureDeferred
async def test_a_stranger_is_refused_before_the_file(make_door: MakeDoor) -> None:
    """The answer comes while almost nothing of a large file has been sent."""
    door = make_door(auth=SIGNED)
    wire = await door.connect()
    whole = request("POST", "/unified", FORM, "Expect: 100-continue", body=form(KEY))
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.decode().replace(f": {len(body)}", ": 5000000000")
    wire.send(lines.encode() + b"\r\n\r\n")
    assert (await wire.response()).status == 100
    wire.send(body[:-30])
    answer = await wire.response()
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.header("connection") == "close"
    assert door.objects.events == []


@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ([], 204, b""),
        ([("success_action_status", "204")], 204, b""),
        ([("success_action_status", "200")], 200, b""),
        ([("success_action_status", "404")], 204, b""),
        ([("success_action_redirect", "javascript:alert(1)")], 204, b""),
        ([("success_action_redirect", "/relative")], 204, b""),
        ([("success_action_redirect", "http://h/\r\nX: y")], 204, b""),
        ([("success_action_redirect", "http://[")], 204, b""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_browser_is_answered(
    door: Door, fields: Fields, status: int, body: bytes
) -> None:
    answer = await post(door, form([*fields, *KEY]))
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("location") == "/unified/a/b%20c"


@pytest_twisted.ensureDeferred
async def test_a_document(door: Door) -> None:
    fields = [("success_action_status", "201"), ("key", "<&>")]
    answer = await post(door, form(fields))
    assert (answer.status, answer.header("content-type")) == (201, "application/xml")
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "PostResponse"
    assert {each.tag: each.text for each in root} == {
        "Location": "/unified/%3C%26%3E",
        "Bucket": "unified",
        "Key": "<&>",
        "ETag": ETAG,
    }


@pytest.mark.parametrize(
    ("name", "url", "to"),
    [
        ("success_action_redirect", "http://h:1/x", "http://h:1/x?"),
        ("success_action_redirect", "https://h/x?y=z", "https://h/x?y=z&"),
        ("redirect", "https://h", "https://h?"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_redirect(door: Door, name: str, url: str, to: str) -> None:
    answer = await post(door, form([*KEY, (name, url)]))
    etag = ETAG.strip('"')
    told = f"bucket=unified&key=a%2Fb+c&etag=%22{etag}%22"
    assert (answer.status, answer.header("location")) == (303, to + told)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ([], 400, "InvalidArgument"),
        ([("key", "")], 400, "InvalidArgument"),
        ([("key", "a\0b")], 400, "InvalidArgument"),
        ([("key", "k" * 1025)], 400, "KeyTooLongError"),
        ([*KEY, ("x-amz-meta-a", "x" * 2048)], 400, "MetadataTooLarge"),
        ([*KEY, ("x-amz-meta-a", "x\r\ny")], 400, "InvalidArgument"),
        ([*KEY, ("x-amz-meta-a b", "x")], 400, "InvalidArgument"),
        ([*KEY, ("x-amz-server-side-encryption", "AES256")], 501, "NotImplemented"),
        ([*KEY, ("x-amz-copy-source", "/unified/k")], 501, "NotImplemented"),
        ([*KEY, ("acl", "public")], 400, "InvalidArgument"),
        ([*KEY, ("tagging", "<Tag/>")], 400, "MalformedXML"),
        ([*KEY, ("x-amz-checksum-sha256", "sailorjerry")], 400, "BadDigest"),
        ([*KEY, ("x-amz-checksum-crc32", "AAAAAA==")], 400, "BadDigest"),
        ([*KEY, ("Content-MD5", "AAAA")], 400, "InvalidDigest"),
        ([*KEY, *[(f"x{n}", "y") for n in range(100)]], 400, "MalformedPOSTRequest"),
        ([*KEY, ("x", "y" * 21_000)], 400, "MaxPostPreDataLengthExceeded"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_fields_that_are_refused(
    door: Door, fields: Fields, status: int, code: str
) -> None:
    answer = await post(door, form(fields))
    assert (answer.status, answer.code) == (status, code)
    assert door.objects.objects == {}


@pytest_twisted.ensureDeferred
async def test_checksums_of_the_file(door: Door) -> None:
    digest = base64.b64encode(hashlib.sha256(FILE).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(FILE).digest()).decode()
    fields = [*KEY, ("x-amz-checksum-sha256", digest), ("content-md5", md5)]
    answer = await post(door, form(fields))
    assert answer.status == 204
    assert answer.header("x-amz-checksum-sha256") == digest


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (["Authorization: AWS4-HMAC-SHA256 x"], 400, "InvalidArgument"),
        (["If-None-Match: *"], 501, "NotImplemented"),
        (["x-amz-tagging: a=b"], 501, "NotImplemented"),
        (["Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg=="], 400, "InvalidRequest"),
        ([f"x-amz-content-sha256: {'0' * 64}"], 400, "InvalidRequest"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_headers_that_are_refused(
    door: Door, lines: list[str], status: int, code: str
) -> None:
    answer = await post(door, form(KEY), *lines)
    assert (answer.status, answer.code) == (status, code)
    assert door.objects.objects == {}


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (FORM, form(KEY, None), "InvalidArgument"),
        (FORM, form(KEY)[:-4], "MalformedPOSTRequest"),
        (FORM, b"x", "MalformedPOSTRequest"),
        ("Content-Type: multipart/form-data", form(KEY), "MalformedPOSTRequest"),
        ("Content-Type: application/x-www-form-urlencoded", b"x", "PreconditionFailed"),
        ("X-No: type", b"x", "PreconditionFailed"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_bodies_that_are_refused(
    door: Door, kind: str, body: bytes, code: str
) -> None:
    answer = await door.ask("POST", "/unified", kind, body=body)
    assert answer.status == (412 if code == "PreconditionFailed" else 400)
    assert answer.code == code
    assert door.objects.objects == {}


@pytest_twisted.ensureDeferred
async def test_a_form_of_unknown_length(door: Door) -> None:
    wire = await door.connect()
    wire.send(
        f"POST /unified HTTP/1.1\r\nHost: h\r\n{FORM}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
    )
    answer = await wire.response()
    assert (answer.status, answer.code) == (411, "MissingContentLength")


BIG = bytes(range(256)) * 400


@pytest.mark.parametrize(
    "sizes", [{}, {"KEPT_BYTES": 1000}, {"KEPT_TOTAL_BYTES": 0}], ids=str
)
@pytest.mark.parametrize("file", [b"", FILE, BIG, BIG + b"\r\n", b"\r\n--"], ids=len)
@pytest_twisted.ensureDeferred
async def test_kept_and_streamed_are_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int], file: bytes
) -> None:
    for name, value in sizes.items():
        monkeypatch.setattr(forms, name, value)
    wire = await door.connect()
    body = form(KEY, file)
    sent = request("POST", "/unified", FORM, body=body)
    for start in range(0, len(sent), 70_000):
        wire.send(sent[start : start + 70_000])
    assert (await wire.response()).status == 204
    assert stored(door) == file
    # The connection goes on.
    wire.send(request("GET", "/unified/a/b%20c"))
    assert (await wire.response()).body == file


@pytest.mark.parametrize(
    ("after", "ending"),
    [
        ([("submit", "Upload")], "--\r\n"),
        ([], "--"),
        ([], "--\r\n\r\n"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_follows_the_file(
    door: Door, monkeypatch: pytest.MonkeyPatch, after: Fields, ending: str
) -> None:
    """Nothing of it counts where the file is kept; else the form is refused whole."""
    body = form(KEY, BIG, after=after, ending=ending)
    assert (await post(door, body)).status == 204
    assert stored(door) == BIG
    door.objects.objects.clear()
    monkeypatch.setattr(forms, "KEPT_BYTES", 1000)
    answer = await post(door, body)
    assert (answer.status, answer.code) == (400, "MalformedPOSTRequest")
    assert "last field" in (answer.field("Message") or "")
    assert door.objects.objects == {}


@pytest_twisted.ensureDeferred
async def test_a_key_after_the_file_is_no_key(door: Door) -> None:
    answer = await post(door, form([], after=KEY))
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.field("ArgumentName") == "key"


@pytest_twisted.ensureDeferred
async def test_sizes(make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door = make_door(max_object_size=len(FILE) - 1)
    answer = await post(door, form(KEY))
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    monkeypatch.setattr(forms, "KEPT_BYTES", 0)
    answer = await post(door, form(KEY))
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    assert answer.field("ProposedSize") == str(len(FILE))
    assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_kept_bytes_are_given_back(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a form ends: there is room for one, and a kept one may go on."""
    body = form(KEY, BIG, after=[("submit", "Upload")])
    monkeypatch.setattr(forms, "KEPT_TOTAL_BYTES", len(body))
    for _ in range(3):
        assert (await post(door, form(KEY, BIG)[:-4])).status == 400
        assert (await post(door, body)).status == 204


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_in_mid_form(door: Door) -> None:
    wire = await door.connect()
    wire.send(request("POST", "/unified", FORM, body=form(KEY, BIG))[:50_000])
    await door.until(lambda: door.site.drain.in_flight)
    wire.abort()
    await door.until(lambda: not door.site.drain.in_flight)
    assert door.objects.objects == {}


@pytest_twisted.ensureDeferred
async def test_other_origins_may_be_let_post(door: Door) -> None:
    door.cors.rules["unified"] = (CorsRule(("https://example.com",), ("POST",)),)
    for body, status in ((form(KEY), 204), (b"x", 400)):
        answer = await post(door, body, "Origin: https://example.com")
        assert answer.status == status
        assert answer.header("access-control-allow-origin") == "https://example.com"
