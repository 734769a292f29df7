"""Cases 56 to 59 of the security checklist: what is verified is what is routed."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest
import pytest_twisted
from attrs import evolve

from s3proxy.s3.canonical import uri_encode
from tests.s3.signing import Request
from tests.security.sending import BODY, FORMS, GET, HASH, OLD, PUT, Front, sign
from tests.web.conftest import NOW

WRONG = (403, "SignatureDoesNotMatch")

KEYS = [
    pytest.param("a b", id="case-56-space"),
    pytest.param("a+b", id="case-56-plus"),
    pytest.param("a%2Bb", id="case-56-escaped-plus"),
    pytest.param("100%25", id="case-56-escaped-percent"),
    pytest.param("100%", id="case-56-percent"),
    pytest.param("a~b*c'd\"e", id="case-56-marks"),
    pytest.param("a=b&c@d:e;f,g(h)[i]{j}!$", id="interop-1-others"),
    pytest.param("é日🪣", id="case-56-utf-8"),
    pytest.param(unicodedata.normalize("NFC", "e\u0301"), id="case-56-nfc"),
    pytest.param(unicodedata.normalize("NFD", "é"), id="case-56-nfd"),
    pytest.param("a//b", id="case-56-two-slashes"),
    pytest.param("/a", id="interop-1-leading-slash"),
    pytest.param("a/./b", id="case-56-dot"),
    pytest.param("a/../b", id="case-56-dots"),
    pytest.param("../a", id="case-56-dots-first"),
    pytest.param("..", id="case-56-dots-alone"),
    pytest.param("a/", id="case-56-trailing-slash"),
    pytest.param("a%2Fb", id="interop-1-escaped-slash"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
@pytest_twisted.ensureDeferred
async def test_keys(front: Front, key: str, form: str) -> None:
    """Encoded once, never normalised: stored under exactly this key, and read back."""
    path = f"/unified/{uri_encode(key, slash=False)}"
    assert (await front.send(sign(evolve(PUT, path=path), form))).status == 200
    assert {each for _, each in front.door.objects.objects} == {"k", key}
    assert front.door.objects.data(key) == BODY
    answer = await front.send(sign(evolve(GET, path=path), form))
    assert (answer.status, answer.body) == (200, BODY)
    assert front.door.objects.data("k") == OLD


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("/unified/a+b!(c)*~'", id="case-56-escaped-little"),
        pytest.param("/unified/%61%2B%62%21%28c%29%2a%7e%27", id="case-56-escaped-all"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_however_a_client_escapes(front: Front, sent: str, form: str) -> None:
    """The canonical form does not depend on which characters came escaped."""
    assert (await front.send(sign(evolve(PUT, path=sent), form))).status == 200
    assert front.door.objects.data("a+b!(c)*~'") == BODY


QUERIES = [
    pytest.param("prefix=a&delimiter=%2F", id="case-57-order"),
    pytest.param("delimiter=%2F&prefix=a", id="case-57-other-order"),
    pytest.param("list-type=2&prefix=", id="case-57-empty"),
    pytest.param("prefix", id="case-57-valueless"),
    pytest.param("x=2&x=1&x=&x", id="case-57-repeated"),
    pytest.param("a-b=1&a=2&A=3&a%2Fb=4&a%C3%A9=5", id="case-57-sorted-encoded"),
    pytest.param("prefix=a;b&x=1;y=2", id="interop-2-semicolon"),
    pytest.param("prefix=a+b%20c%2B", id="interop-2-plus-and-space"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("query", QUERIES)
@pytest_twisted.ensureDeferred
async def test_queries(front: Front, query: str, form: str) -> None:
    """As botocore and others sort and encode them."""
    request = sign(evolve(GET, path="/unified", query=query), form)
    assert (await front.send(request)).status == 200
    kept = request.query.replace("+", "%20")
    assert (await front.send(evolve(request, query=kept))).status == 200


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "query",
    [
        pytest.param("uploads", id="case-57-uploads"),
        pytest.param("uploads=", id="case-57-uploads-equals"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_valueless_subresources(front: Front, query: str, form: str) -> None:
    """They are signed as ``uploads=``, and are the same operation."""
    request = sign(evolve(GET, path="/unified", query=query), form)
    assert (await front.send(request)).status == 200
    assert [type(op).__name__ for op in front.door.uploads.ops] == [
        "ListMultipartUploads"
    ]


def whole(request: Request, form: str) -> Request:
    """Sign every header."""
    if form == "header":
        return request.signed_whole(now=NOW, payload_hash=HASH)
    return request.presigned(now=NOW)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        pytest.param("a b", "  a   b  ", id="case-58-folded"),
        pytest.param("a b", "a\t b", id="case-58-tab"),
        pytest.param('"a b"', '"a   b"', id="case-58-quoted"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_header_values(front: Front, signed: str, sent: str, form: str) -> None:
    """Runs of white space are folded for the signature."""
    name = "x-amz-meta-a"
    request = whole(PUT.having(name, signed), form).having(name, sent)
    assert (await front.send(request)).status == 200


@pytest_twisted.ensureDeferred
async def test_case_58_repeats(front: Front) -> None:
    """They are joined by commas, in their order."""
    again = evolve(PUT, headers=(*PUT.headers, ("x-amz-meta-a", "c")))
    request = whole(again, "header")
    assert (await front.send(request)).status == 200
    info, _ = front.door.objects.objects["unified", "k"]
    assert info.user_metadata == {"a": "b,c"}
    joined = whole(PUT.having("x-amz-meta-a", "b,c"), "presigned")
    rest = joined.having("x-amz-meta-a", None).headers
    parted = evolve(
        joined, headers=(*rest, ("x-amz-meta-a", "b"), ("x-amz-meta-a", "c"))
    )
    assert (await front.send(parted)).status == 200
    swapped = evolve(
        joined, headers=(*rest, ("x-amz-meta-a", "c"), ("x-amz-meta-a", "b"))
    )
    assert (await front.send(swapped)).status == 403


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/unified/%2e%2e/unified/k", id="case-59-dots"),
        pytest.param("/unified/./k", id="case-59-dot"),
        pytest.param("/unified//k", id="case-59-slashes"),
        pytest.param("/unified/%256b", id="case-59-escaped-twice"),
        pytest.param("/unified/k%3Facl", id="case-59-question-mark"),
        pytest.param("/unified/K", id="case-59-case"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_case_59_no_other_spelling(front: Front, path: str, form: str) -> None:
    """A signature for ``k`` is none for what others would take for ``k``."""
    await front.refuses(evolve(sign(PUT, form), path=path), *WRONG)


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_59_the_same_spelling(front: Front, form: str) -> None:
    """One that decodes to the very same key is the same request, and routed so."""
    request = evolve(sign(PUT, form), path="/%75nified%2F%6B")
    assert (await front.send(request)).status == 200
    assert front.door.objects.data("k") == BODY


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_the_host_header_is_what_is_signed(front: Front, form: str) -> None:
    """Interop line 4: with its port; what proxies say of it is not looked at."""
    request = sign(PUT.having("host", "store.example:8443"), form)
    forwarded = request.having("x-forwarded-host", "other").having(
        "x-forwarded-prefix", "/s3"
    )
    assert (await front.send(forwarded)).status == 200
    rewritten = request.having("host", "other:9000")
    front.door.objects.events.clear()
    answer = await front.send(rewritten.having("x-forwarded-host", "store.example"))
    assert (answer.status, answer.code) == WRONG
    assert front.door.objects.events == []


def test_the_keys_are_escaped_by_another_rule_too() -> None:
    """The product's encoder against the library's."""
    for each in KEYS:
        key = each.values[0]
        assert isinstance(key, str)
        assert uri_encode(key, slash=False) == quote(key, safe="/-_.~")
