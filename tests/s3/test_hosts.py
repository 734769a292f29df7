"""Virtual-host style: a Host header names a bucket, and the path is the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import InvalidURI, KeyTooLongError, S3Error, SignatureDoesNotMatch
from s3proxy.s3 import operation
from s3proxy.s3.canonical import uri_encode
from s3proxy.s3.hosts import bucket_of
from tests import strategies
from tests.s3.signing import Request

DOMAINS = ("s3.example.com", "eu.s3.example.com", "localhost")


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("photos.s3.example.com", "photos"),
        ("photos.s3.example.com:9000", "photos"),
        ("PHOTOS.S3.Example.COM", "photos"),
        ("photos.s3.example.com.", "photos"),
        ("photos.s3.example.com.:80", "photos"),
        ("my.dotted.bucket.s3.example.com", "my.dotted.bucket"),
        ("photos.localhost:9000", "photos"),
        # The longest of the domains counts, and a domain is no bucket of another.
        ("photos.eu.s3.example.com", "photos"),
        ("eu.s3.example.com", ""),
        # Path style.
        ("s3.example.com", ""),
        ("S3.example.com:9000", ""),
        ("localhost", ""),
        (".s3.example.com", ""),
        ("photos-s3.example.com", ""),
        ("photoss3.example.com", ""),
        ("s3.example.com.evil.net", ""),
        ("127.0.0.1:9000", ""),
        ("[::1]:9000", ""),
        ("[::1]", ""),
        ("", ""),
    ],
)
def test_hosts(host: str, bucket: str) -> None:
    assert bucket_of(host, DOMAINS) == bucket


def test_without_domains_every_host_is_path_style() -> None:
    assert bucket_of("photos.s3.example.com", ()) == ""


REQUESTS = [
    ("GET", ""),
    ("HEAD", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("GET", "list-type=2&prefix=a%2Fb"),
    ("GET", "uploads"),
    ("GET", "uploadId=x&max-parts=7"),
    ("POST", "uploads"),
    ("PUT", "partNumber=3&uploadId=x"),
    ("GET", "location"),
]


def outcome(
    method: str, raw_target: str, host: str
) -> operation.Operation | tuple[type[S3Error], str]:
    """What a request asks for, or how it is refused."""
    headers = [("host", host), ("content-length", "0")]
    try:
        return operation.parse(method.encode(), raw_target.encode(), headers, DOMAINS)
    except S3Error as why:
        return type(why), why.message


@given(
    strategies.keys() | st.just(""),
    st.sampled_from(["photos", "my.dotted.bucket", "s3"]),
    st.sampled_from(DOMAINS),
    st.sampled_from(REQUESTS),
    st.sampled_from(["", ":9000"]),
)
def test_both_styles_are_the_same_operation(
    key: str, bucket: str, domain: str, request: tuple[str, str], port: str
) -> None:
    method, query = request
    path = "/" + uri_encode(key, slash=False)
    asked = f"?{query}" if query else ""
    by_path = outcome(method, f"/{bucket}{path}{asked}", domain + port)
    by_host = outcome(method, f"{path}{asked}", f"{bucket}.{domain}{port}")
    assert by_host == by_path


def test_the_bare_domain_lists_buckets() -> None:
    assert outcome("GET", "/", "s3.example.com:9000") == operation.ListBuckets()
    listed = outcome("GET", "/", "b.s3.example.com:9000")
    assert listed == operation.ListObjects("b")


def test_the_path_is_the_key_from_its_second_byte_on() -> None:
    """Slashes and dots are the key's."""
    for key in ("/lead", "//", "a//b", "../x", "health"):
        by_host = outcome("GET", f"/{key}", "b.localhost")
        assert by_host == operation.GetObject("b", key)


def test_limits_hold_in_either_style() -> None:
    kind, _ = outcome("GET", "/" + "k" * 1025, "b.localhost")
    assert kind is KeyTooLongError
    kind, _ = outcome("GET", "http://b.localhost/k", "b.localhost")
    assert kind is InvalidURI


def test_the_signature_covers_host_and_path_as_sent() -> None:
    """With a port that is no default one, and behind a proxy that keeps the name."""
    for host in ("photos.s3.example.com:9000", "photos.s3.example.com"):
        request = Request("GET", "/a%20b", headers=(("host", host),)).signed()
        request.verify()
        moved = request.having("host", host.replace("photos", "others"))
        with pytest.raises(SignatureDoesNotMatch):
            moved.verify()
