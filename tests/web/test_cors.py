"""s3proxy.web.cors: preflights, headers on answers, and the rules themselves."""

from __future__ import annotations

import base64
import hashlib

import pytest_twisted

from s3proxy.config_model import AuthConfig
from s3proxy.errors import StoreUnavailable
from s3proxy.s3.cors import CorsRule
from tests.web.conftest import Door, MakeDoor
from tests.web.wire import request

ORIGIN = "Origin: https://example.com"
ASKS_PUT = "Access-Control-Request-Method: PUT"
RULES = (CorsRule(("https://example.com",), ("GET", "PUT"), ("*",), ("ETag",)),)
DOCUMENT = (
    b'<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><CORSRule>'
    b"<AllowedOrigin>https://example.com</AllowedOrigin>"
    b"<AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>"
    b"<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>"
    b"</CORSRule></CORSConfiguration>"
)


def md5(document: bytes) -> str:
    return "Content-MD5: " + base64.b64encode(hashlib.md5(document).digest()).decode()


@pytest_twisted.ensureDeferred
async def test_a_preflight_needs_no_authentication(make_door: MakeDoor) -> None:
    door = make_door(auth=AuthConfig("AKID", "secret"), domains=("s3.example.com",))
    door.cors.rules["unified"] = RULES
    target = "/unified/k?X-Amz-Signature=ignored"
    answer = await door.ask(
        "OPTIONS", target, ORIGIN, ASKS_PUT, "Access-Control-Request-Headers: x-amz-a"
    )
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("access-control-allow-origin") == "https://example.com"
    assert answer.header("access-control-allow-methods") == "GET, PUT"
    assert answer.header("access-control-allow-headers") == "x-amz-a"
    assert answer.header("vary") is not None
    wire = await door.connect()
    wire.send(request("OPTIONS", "/k", ORIGIN, ASKS_PUT, host="unified.s3.example.com"))
    assert (await wire.response()).status == 200


@pytest_twisted.ensureDeferred
async def test_refused_preflights(make_door: MakeDoor) -> None:
    """A stranger cannot tell a bucket without rules from none at all."""
    door = make_door(auth=AuthConfig("AKID", "secret"))
    for target in ("/unified/k", "/other/k", "/other", "/"):
        answer = await door.ask("OPTIONS", target, ORIGIN, ASKS_PUT)
        assert (answer.status, answer.code) == (403, "AccessForbidden")
        assert "CORS is not enabled" in (answer.field("Message") or "")
    door.cors.rules["unified"] = RULES
    asks_delete = "Access-Control-Request-Method: DELETE"
    answer = await door.ask("OPTIONS", "/unified/k", ORIGIN, asks_delete)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert "not allowed" in (answer.field("Message") or "")
    assert answer.field("ResourceType") == "OBJECT"
    assert answer.header("access-control-allow-origin") is None
    answer = await door.ask("OPTIONS", "/unified/k")
    assert (answer.status, answer.code) == (400, "BadRequest")


@pytest_twisted.ensureDeferred
async def test_every_answer_to_an_allowed_origin_says_so(make_door: MakeDoor) -> None:
    """Errors too, or a page's script could not read what is wrong."""
    token = "X-Proxy-Token: t"
    door = make_door(auth=AuthConfig(token="t"))
    door.cors.rules["unified"] = RULES
    door.objects.store("unified", "k", b"bytes")
    for target, lines, status in (
        ("/unified/k", [token], 200),
        ("/unified/none", [token], 404),
        ("/unified/k", [], 403),
        ("/unified/k", [token, "Range: bytes=9-"], 416),
        ("/unified/k?torrent", [token], 501),
    ):
        answer = await door.ask("GET", target, ORIGIN, *lines)
        assert answer.status == status
        assert answer.header("access-control-allow-origin") == "https://example.com"
        assert answer.header("access-control-expose-headers") == "ETag"
        assert answer.header("vary") is not None


@pytest_twisted.ensureDeferred
async def test_other_origins_are_told_nothing(door: Door) -> None:
    door.cors.rules["unified"] = RULES
    door.objects.store("unified", "k", b"bytes")
    answer = await door.ask("GET", "/unified/k", "Origin: https://evil.net")
    assert (answer.status, answer.body) == (200, b"bytes")
    assert answer.header("access-control-allow-origin") is None
    assert answer.header("vary") is not None


@pytest_twisted.ensureDeferred
async def test_without_an_origin_nobody_is_asked(door: Door) -> None:
    door.cors.rules["unified"] = RULES
    door.objects.store("unified", "k", b"bytes")
    answer = await door.ask("GET", "/unified/k")
    assert answer.header("vary") is None
    assert door.cors.asked == []


@pytest_twisted.ensureDeferred
async def test_a_ledger_that_is_away_stops_no_request_by_itself(door: Door) -> None:
    """Whatever else needs it tells; a preflight is a 503."""
    door.cors.failure = StoreUnavailable("away")
    door.objects.store("unified", "k", b"bytes")
    answer = await door.ask("GET", "/unified/k", ORIGIN)
    assert (answer.status, answer.body) == (200, b"bytes")
    answer = await door.ask("OPTIONS", "/unified/k", ORIGIN, ASKS_PUT)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")


@pytest_twisted.ensureDeferred
async def test_rules_are_put_got_and_deleted(door: Door) -> None:
    none = await door.ask("GET", "/unified?cors")
    assert (none.status, none.code) == (404, "NoSuchCORSConfiguration")
    put = await door.ask("PUT", "/unified?cors", md5(DOCUMENT), body=DOCUMENT)
    assert put.status == 200
    assert door.cors.rules == {"unified": RULES}
    found = await door.ask("GET", "/unified?cors")
    assert (found.status, found.body.partition(b"\n")[2]) == (200, DOCUMENT)
    for _ in range(2):
        assert (await door.ask("DELETE", "/unified?cors")).status == 204
    assert door.cors.rules == {}


@pytest_twisted.ensureDeferred
async def test_rules_that_are_refused(door: Door) -> None:
    big = DOCUMENT + b" " * 65536
    for lines, body, code in (
        ([], DOCUMENT, "InvalidRequest"),
        ([md5(b"other")], DOCUMENT, "BadDigest"),
        (["Content-MD5: x"], DOCUMENT, "InvalidDigest"),
        (["x-amz-checksum-crc32: AAAAAA=="], DOCUMENT, "BadDigest"),
        ([md5(b"<x/>")], b"<x/>", "MalformedXML"),
        ([md5(big)], big, "MalformedXML"),
    ):
        answer = await door.ask("PUT", "/unified?cors", *lines, body=body)
        assert (answer.status, answer.code) == (400, code)
    other = await door.ask("PUT", "/other?cors", md5(DOCUMENT), body=DOCUMENT)
    assert (other.status, other.code) == (404, "NoSuchBucket")
    assert door.cors.rules == {}
