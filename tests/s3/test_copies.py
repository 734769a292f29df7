"""Copies: their source is read once and exactly, or refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.model import WriteConditions
from s3proxy.s3 import operation as op
from s3proxy.s3.conditions import ReadConditions
from s3proxy.s3.copies import CopySource, parse_source
from tests import strategies

PART = "/b/k?partNumber=7&uploadId=u"
SOURCE = CopySource("s", "a/b")


def parse(target: str = "/b/k", **headers: str) -> Any:
    """Parse a copy with these headers (``_`` for ``-``)."""
    sent = {"x_amz_copy_source": "/s/a/b"} | headers
    return op.parse(
        b"PUT",
        target.encode(),
        [(name.replace("_", "-"), value) for name, value in sent.items()],
    )


@given(strategies.keys(), st.booleans(), st.sampled_from(["", "/", None]))
def test_any_key_can_be_a_source(key: str, slash: bool, safe: str | None) -> None:
    """However much of it is escaped, with or without a slash before the bucket."""
    if safe is None:
        path = quote(f"/bucket/{key}", safe="")  # The first slash is escaped too.
    else:
        path = ("/" if slash else "") + "bucket/" + quote(key, safe=safe)
    assert parse_source(path) == CopySource("bucket", key)
    assert parse_source(f"{path}?versionId=null") == CopySource("bucket", key)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("b/a+b", "a+b"),
        ("b/a%2Bb", "a+b"),
        ("b/%2525", "%25"),
        ("/b//k", "/k"),
        ("b/../c", "../c"),
        ("b/a?b", "a?b"),
        ("b/k%3FversionId=x", "k?versionId=x"),
        # As bytes: clients that do not escape send UTF-8.
        ("b/\xc3\xa9", "é"),
        (" b/k ", "k"),
    ],
)
def test_sources(value: str, key: str) -> None:
    """Decoded once, normalised never."""
    assert parse_source(value) == CopySource("b", key)


@pytest.mark.parametrize(
    "value",
    [
        *("", "/", "b", "/b", "b/", "/b/", "//k", "//b/k"),
        *("b/%", "b/%zz", "b/%00", "b/%FF", "b/\xe9", "b/k?versionId="),
        "b/" + "k" * 1025,
    ],
)
def test_sources_that_are_none(value: str) -> None:
    """InvalidArgument, which names the header."""
    with pytest.raises(errors.InvalidArgument) as raised:
        parse(x_amz_copy_source=value)
    assert raised.value.fields == {"ArgumentName": "x-amz-copy-source"}


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_any_text_is_read_or_refused(value: str) -> None:
    """Never another failure."""
    try:
        source = parse_source(value)
    except (errors.InvalidArgument, errors.NoSuchVersion):
        return
    assert source.bucket and source.key and "/" not in source.bucket


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/b/k", {}, op.CopyObject("b", "k", SOURCE)),
        # What the source's metadata is copied over is not read.
        (
            "/b/k",
            {
                "x_amz_metadata_directive": "copy",
                "x_amz_tagging_directive": "COPY",
                "content_type": "text/plain",
                "cache_control": "no-cache",
                "x_amz_meta_one": "1",
            },
            op.CopyObject("b", "k", SOURCE),
        ),
        (
            "/b/k",
            {
                "x_amz_metadata_directive": "REPLACE",
                "content_type": "text/plain",
                "cache_control": "no-cache",
                "x_amz_meta_one": "1",
                "x_amz_copy_source_if_match": '"abc"',
                "x_amz_copy_source_if_none_match": "x",
                "x_amz_copy_source_if_modified_since": "Sun, 06 Nov 1994 08:49:37 GMT",
                "x_amz_copy_source_if_unmodified_since": "no date",
                "if_none_match": "*",
                "x_amz_checksum_algorithm": "sha256",
            },
            op.CopyObject(
                "b",
                "k",
                SOURCE,
                ReadConditions(("abc",), ("x",), 784111777),
                WriteConditions((), ("*",)),
                True,
                "text/plain",
                {"cache-control": "no-cache"},
                {"one": "1"},
                "SHA256",
            ),
        ),
        (PART, {}, op.UploadPartCopy("b", "k", "u", 7, SOURCE)),
        (
            PART,
            {
                "x_amz_copy_source_range": "bytes=5-9",
                "x_amz_copy_source_if_match": "abc",
            },
            op.UploadPartCopy(
                "b", "k", "u", 7, SOURCE, ReadConditions(("abc",)), (5, 10)
            ),
        ),
    ],
)
def test_operations(
    target: str, headers: dict[str, str], expected: op.Operation
) -> None:
    """Each header lands in its field; a body has no part in it."""
    assert parse(target, **headers) == expected


REFUSED: list[tuple[str, dict[str, str], type[S3Error]]] = [
    ("/b/k", {"x_amz_copy_source": "b/k"}, errors.InvalidRequest),
    ("/b/k", {"x_amz_copy_source": "s/k?versionId=3"}, errors.NoSuchVersion),
    ("/b/k", {"x_amz_copy_source_range": "bytes=0-1"}, errors.NotImplementedYet),
    ("/b/k", {"x_amz_metadata_directive": "MOVE"}, errors.InvalidArgument),
    ("/b/k", {"x_amz_tagging_directive": "MOVE"}, errors.InvalidArgument),
    (
        "/b/k",
        {"x_amz_tagging_directive": "REPLACE", "x_amz_tagging": "a=b&a"},
        errors.InvalidArgument,
    ),
    (PART, {"x_amz_tagging": "a=b"}, errors.NotImplementedYet),
    ("/b/k", {"x_amz_checksum_algorithm": "x"}, errors.InvalidRequest),
    ("/b/k", {"x_amz_storage_class": "GLACIER"}, errors.NotImplementedYet),
    (
        "/b/k",
        {"x_amz_metadata_directive": "REPLACE", "x_amz_meta_a": "v" * 2048},
        errors.MetadataTooLarge,
    ),
    (
        "/b/k",
        {"x_amz_copy_source_server_side_encryption_customer_key": "x"},
        errors.NotImplementedYet,
    ),
    (
        "/b/k",
        {"x_amz_source_expected_bucket_owner": "x"},
        errors.NotImplementedYet,
    ),
    (PART, {"x_amz_copy_source": "s"}, errors.InvalidArgument),
    (PART.replace("7", "0"), {}, errors.InvalidArgument),
    *(
        (PART, {"x_amz_copy_source_range": text}, errors.InvalidArgument)
        for text in (
            *("", "bytes=", "bytes=-", "bytes=0", "bytes=0-", "bytes=-5"),
            *("bytes=5-4", "bytes=a-b", "bytes=0-1,3-4", "0-1", "lines=0-1"),
        )
    ),
]


@pytest.mark.parametrize(("target", "headers", "error"), REFUSED)
def test_refused(target: str, headers: dict[str, str], error: type[S3Error]) -> None:
    """By S3's own codes."""
    with pytest.raises(S3Error) as raised:
        parse(target, **headers)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("directive", "tags"), [(None, None), ("COPY", None), ("REPLACE", {"a": "b"})]
)
def test_tags(directive: str | None, tags: dict[str, str] | None) -> None:
    """Of the copy's own only where it says so."""
    more = {"x_amz_tagging_directive": directive} if directive else {}
    assert parse(x_amz_tagging="a=b", **more).tags == tags
    if directive == "REPLACE":
        assert parse(**more).tags == {}


def test_a_copy_to_itself_with_new_metadata() -> None:
    """Is allowed, and known for one; the key decides, however it is escaped."""
    copy = parse(x_amz_copy_source="b/%6B", x_amz_metadata_directive="REPLACE")
    assert copy.is_to_itself
    assert not parse(x_amz_copy_source="s/k").is_to_itself
