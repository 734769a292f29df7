"""The raw target: any key goes in and comes out; what cannot be one is refused."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import InvalidURI, KeyTooLongError, S3Error
from s3proxy.s3 import target
from s3proxy.s3.canonical import canonical_path, canonical_query, uri_encode
from tests import strategies


def escaped_somehow(text: str, random: Random, bare: str) -> bytes:
    """Escape what must be, and some of the rest, in either case of hex digits."""
    escapes = ("%{:02X}", "%{:02x}")
    return b"".join(
        bytes([byte])
        if chr(byte) in bare and random.random() < 0.7
        else random.choice(escapes).format(byte).encode()
        for byte in text.encode()
    )


@given(strategies.keys(), st.randoms())
def test_any_key_round_trips_however_it_is_escaped(key: str, random: Random) -> None:
    """Clients differ in what they escape; the key is the same, and so is the form."""
    raw_key = escaped_somehow(key, random, "abcXYZ019/+=&;:@!$',()*-._~")
    raw = b"/unified/" + raw_key
    assert target.parse(raw) == target.Target("unified", key, ())
    assert canonical_path(raw) == "/unified/" + uri_encode(key, slash=False)


@given(strategies.keys(), st.sampled_from(["?x=1", "?", ""]))
def test_any_key_round_trips_by_the_aws_rule(key: str, query: str) -> None:
    """The form that SDKs send."""
    raw = f"/unified/{uri_encode(key, slash=False)}{query}".encode()
    parsed = target.parse(raw)
    assert (parsed.bucket, parsed.key) == ("unified", key)


@given(strategies.queries(), st.randoms())
def test_any_query_round_trips(query: list[tuple[str, str]], random: Random) -> None:
    """Names and values keep their order, their repeats, and every character."""
    bare = "abcXYZ019/;:@!$',()*-._~?"
    raw = b"&".join(
        escaped_somehow(name, random, bare)
        + b"="
        + escaped_somehow(value, random, bare)
        for name, value in query
    )
    assert list(target.parse(b"/unified?" + raw).query) == query
    random.shuffle(query)
    again = "&".join(
        f"{uri_encode(name, slash=True)}={uri_encode(value, slash=True)}"
        for name, value in query
    )
    assert canonical_query(raw) == canonical_query(again.encode())


@pytest.mark.parametrize(
    ("raw", "bucket", "key"),
    [
        (b"/", "", ""),
        (b"/b", "b", ""),
        (b"/b/", "b", ""),
        (b"/b//", "b", "/"),
        (b"/b//k", "b", "/k"),
        (b"/b/a/../c/./", "b", "a/../c/./"),
        (b"/b/..", "b", ".."),
        (b"/../x", "..", "x"),
        (b"/b/a+b%2Bc%20d", "b", "a+b+c d"),
        (b"/b/%252F", "b", "%2F"),
        (b"/b/a%2Fb", "b", "a/b"),
        (b"/b%2Fk", "b", "k"),
        ("/b/é".encode(), "b", "é"),
        (b"/b/a;b=c:d@e", "b", "a;b=c:d@e"),
        (b"/b/k#f", "b", "k#f"),
        (b"/b/" + b"k" * 1024, "b", "k" * 1024),
    ],
)
def test_paths(raw: bytes, bucket: str, key: str) -> None:
    """Decoded once, nothing normalised."""
    parsed = target.parse(raw)
    assert (parsed.bucket, parsed.key) == (bucket, key)


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        (b"/b?uploads", (("uploads", ""),)),
        (b"/b?uploads=", (("uploads", ""),)),
        (b"/b?a=1;b=2", (("a", "1;b=2"),)),
        (b"/b?a=b+c%2B", (("a", "b c+"),)),
        (b"/b?a=1&&a=2&", (("a", "1"), ("a", "2"))),
        (b"/b?a=1?b=2", (("a", "1?b=2"),)),
        (b"/b?a==", (("a", "="),)),
        (b"/b?=v", (("", "v"),)),
    ],
)
def test_query_forms(raw: bytes, query: tuple[tuple[str, str], ...]) -> None:
    """Only ``&`` separates; ``+`` is a space; valueless names stay."""
    assert target.parse(raw).query == query


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"http://evil/b/k", InvalidURI),
        (b"*", InvalidURI),
        (b"", InvalidURI),
        (b"b/k", InvalidURI),
        (b"//", InvalidURI),
        (b"//b/k", InvalidURI),
        (b"/%2Fk", InvalidURI),
        (b"/b/%FF", InvalidURI),
        (b"/b/\xff", InvalidURI),
        (b"/b/%ED%A0%80", InvalidURI),
        (b"/b/%00", InvalidURI),
        (b"/b/%", InvalidURI),
        (b"/b/%4", InvalidURI),
        (b"/b/%zz", InvalidURI),
        (b"/b/%+1", InvalidURI),
        (b"/b?prefix=%FF", InvalidURI),
        (b"/b?prefix=%00", InvalidURI),
        (b"/b?prefix=%2", InvalidURI),
        (b"/b/" + b"k" * 1025, KeyTooLongError),
        (b"/b/" + b"%C3%A9" * 513, KeyTooLongError),
    ],
)
def test_refused_targets(raw: bytes, error: type[S3Error]) -> None:
    """Each with its error, never a traceback."""
    with pytest.raises(error):
        target.parse(raw)


@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    """No target raises anything but S3's errors."""
    try:
        parsed = target.parse(b"/" + raw)
    except S3Error:
        return
    assert "\0" not in parsed.key and len(parsed.key.encode()) <= 1024
