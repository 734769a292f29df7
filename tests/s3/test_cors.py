"""A bucket's cross-origin rules: which request they let through, and what is told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import (
    AccessForbidden,
    BadRequest,
    InvalidArgument,
    InvalidRequest,
    MalformedXML,
    S3Error,
)
from s3proxy.s3 import cors, cors_documents
from s3proxy.s3.cors import CorsRule, Preflight

VARY = (
    "Vary",
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
)
RULES = (
    CorsRule(("https://*.example.com", "https://example.com"), ("PUT", "GET"), ("*",)),
    CorsRule(("start*end",), ("GET",), ("x-amz-*", "Content-Type"), ("ETag",), 60),
    CorsRule(("*",), ("HEAD",)),
)


def preflight(origin: str, method: str, *headers: str) -> dict[str, str]:
    asked = Preflight(origin, method, headers)
    return dict(cors.answer_preflight(RULES, asked, "OBJECT"))


def test_an_allowed_preflight_is_told_all() -> None:
    assert preflight("start-1-end", "GET", "content-type", "x-amz-date") == {
        "Access-Control-Allow-Headers": "content-type, x-amz-date",
        "Access-Control-Allow-Origin": "start-1-end",
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Expose-Headers": "ETag",
        "Access-Control-Max-Age": "60",
        "Access-Control-Allow-Credentials": "true",
        **dict([VARY]),
    }


def test_the_first_rule_that_allows_answers() -> None:
    told = preflight("https://a.example.com", "GET", "x-anything")
    assert told["Access-Control-Allow-Methods"] == "PUT, GET"


def test_anybody_is_told_a_star_and_no_credentials() -> None:
    told = preflight("https://elsewhere.net", "HEAD")
    assert told["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in told
    assert "Access-Control-Allow-Headers" not in told


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://example.org", "GET", ()),
        ("https://a.example.com.evil.net", "GET", ()),
        ("http://a.example.com", "GET", ()),
        ("HTTPS://example.com", "GET", ()),
        ("https://example.com", "DELETE", ()),
        ("https://example.com", "get", ()),
        ("star-end", "GET", ()),
        ("0start-end", "GET", ()),
        # One header that is not on the list is enough.
        ("startend", "GET", ("x-amz-date", "x-other")),
        # A rule without headers allows none.
        ("https://elsewhere.net", "HEAD", ("x-amz-date",)),
    ],
)
def test_a_preflight_that_no_rule_allows(
    origin: str, method: str, headers: tuple[str, ...]
) -> None:
    with pytest.raises(AccessForbidden, match="This CORS request is not") as e:
        preflight(origin, method, *headers)
    assert e.value.fields == {"Method": method, "ResourceType": "OBJECT"}


def test_a_bucket_without_rules() -> None:
    asked = Preflight("https://example.com", "GET", ())
    with pytest.raises(AccessForbidden, match="CORS is not enabled for this bucket"):
        cors.answer_preflight(None, asked, "BUCKET")
    assert cors.answer_actual(None, "GET", {"origin": "https://example.com"}) == ()


def test_a_preflight_is_read() -> None:
    asked = cors.parse_preflight(
        {
            "origin": "https://example.com",
            "access-control-request-method": "PUT",
            "access-control-request-headers": "X-Amz-Date,content-type, ,x-B",
        }
    )
    assert asked == Preflight(
        "https://example.com", "PUT", ("x-amz-date", "content-type", "x-b")
    )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Origin request header needed"),
        ({"access-control-request-method": "GET"}, "Origin request header needed"),
        ({"origin": "o"}, "Invalid Access-Control-Request-Method: null"),
        ({"origin": "o", "access-control-request-method": "PATCH"}, "Method: PATCH"),
    ],
)
def test_no_preflight(headers: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        cors.parse_preflight(headers)


def test_an_actual_request_is_told_by_its_method_or_the_one_it_stands_for() -> None:
    sent = {"origin": "https://example.com"}
    told = dict(cors.answer_actual(RULES, "PUT", sent))
    assert told["Access-Control-Allow-Origin"] == "https://example.com"
    assert told["Access-Control-Allow-Methods"] == "PUT, GET"
    assert cors.answer_actual(RULES, "DELETE", sent) == (VARY,)
    named = sent | {"access-control-request-method": "GET"}
    assert dict(cors.answer_actual(RULES, "DELETE", named)) == told


@given(st.text("ab*", max_size=4), st.text("ab*", max_size=6))
def test_a_star_stands_for_any_run(pattern: str, origin: str) -> None:
    pattern = pattern.replace("*", "", pattern.count("*") - 1 if "*" in pattern else 0)
    form = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    rule = CorsRule((pattern,), ("GET",))
    assert rule.allows(origin, "GET", ()) == bool(re.fullmatch(form, origin))


TOKENS = st.text("abcXYZ09-_!", min_size=1, max_size=8)
STARRED = st.builds(
    lambda a, star, b: a + star + b, TOKENS, st.sampled_from(["", "*"]), TOKENS
)


def some(values: st.SearchStrategy[str], least: int) -> st.SearchStrategy:
    return st.lists(values, min_size=least, max_size=3).map(tuple)


RULE = st.builds(
    CorsRule,
    some(STARRED.map(lambda origin: f"https://{origin}"), 1),
    some(st.sampled_from(cors.METHODS), 1),
    some(STARRED | st.just("*"), 0),
    some(TOKENS, 0),
    st.none() | st.integers(0, 10**9 - 1),
    st.none() | st.text("ab &<>é", max_size=255).map(str.strip),
)


@given(st.lists(RULE, min_size=1, max_size=4))
def test_what_is_written_is_read_back(rules: list[CorsRule]) -> None:
    assert cors_documents.parse(cors_documents.write(rules)) == tuple(rules)


def rule(inside: str, outside: str = "") -> bytes:
    return (
        f"<CORSConfiguration><CORSRule>{inside}</CORSRule>{outside}</CORSConfiguration>"
    ).encode()


GET = "<AllowedMethod>GET</AllowedMethod>"
ANY = "<AllowedOrigin>*</AllowedOrigin>"


@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        (b"", MalformedXML, ""),
        (b"<x", MalformedXML, ""),
        (b"<Other/>", MalformedXML, ""),
        (b"<CORSConfiguration/>", MalformedXML, ""),
        (b"<!DOCTYPE x><CORSConfiguration/>", MalformedXML, ""),
        (rule(GET), MalformedXML, ""),
        (rule(ANY), MalformedXML, ""),
        (rule(GET + "<AllowedOrigin/>"), MalformedXML, ""),
        (rule(GET + "<AllowedOrigin><b/></AllowedOrigin>"), MalformedXML, ""),
        (rule(GET + ANY, "<Other/>"), MalformedXML, ""),
        (rule(GET + ANY + "<Other/>"), MalformedXML, ""),
        (rule(GET + ANY + "<MaxAgeSeconds/>"), MalformedXML, ""),
        (rule(GET + ANY + "<MaxAgeSeconds>-1</MaxAgeSeconds>"), MalformedXML, ""),
        (rule(GET + ANY + "<ID>a</ID><ID>b</ID>"), MalformedXML, ""),
        (rule(GET + ANY) + b" " * 65536, MalformedXML, "at most 65536 bytes"),
        (
            rule(ANY + "<AllowedMethod>PATCH</AllowedMethod>"),
            InvalidRequest,
            "Unsupported method is PATCH",
        ),
        (
            rule(ANY + "<AllowedMethod>get</AllowedMethod>"),
            InvalidRequest,
            "Unsupported method is get",
        ),
        (
            rule(GET + "<AllowedOrigin>*example*.com</AllowedOrigin>"),
            InvalidRequest,
            r'AllowedOrigin "\*example\*.com" can not have more than one wildcard',
        ),
        (
            rule(GET + "<AllowedOrigin>a b</AllowedOrigin>"),
            InvalidRequest,
            "contains invalid character",
        ),
        (
            rule(GET + ANY + "<AllowedHeader>x-*-*</AllowedHeader>"),
            InvalidRequest,
            "AllowedHeader .* more than one wildcard",
        ),
        (
            rule(GET + ANY + "<ExposeHeader>x-*</ExposeHeader>"),
            InvalidRequest,
            "do not support wildcard for ExposeHeader",
        ),
        (
            rule(GET + ANY + "<ExposeHeader>a&#10;Set-Cookie: b</ExposeHeader>"),
            InvalidRequest,
            "contains invalid character",
        ),
        (
            rule(GET + ANY + f"<ID>{'i' * 256}</ID>"),
            InvalidArgument,
            "at most 255 characters",
        ),
        (
            rule(GET + ANY, f"<CORSRule>{GET}{ANY}</CORSRule>" * 100),
            InvalidRequest,
            "allowed limit of 100 rules",
        ),
    ],
)
def test_refused_documents(document: bytes, error: type[S3Error], message: str) -> None:
    with pytest.raises(error, match=message or None):
        cors_documents.parse(document)
