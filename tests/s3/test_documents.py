"""The XML: it parses back to what went in, for any key."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

import pytest
from botocore.parsers import create_parser
from botocore.session import get_session
from defusedxml import ElementTree
from hypothesis import assume, given
from hypothesis import strategies as st

from s3proxy import errors
from s3proxy.model import ListPage, ObjectInfo
from s3proxy.s3 import documents, tokens
from s3proxy.s3.operation import ListBuckets, ListObjects, ListObjectsV2
from tests import strategies

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
WHEN = datetime(2026, 5, 24, 12, 0, 0, 5000, tzinfo=UTC)
INFO = ObjectInfo("unified", "a&b", "01J", 3, "abc", None, WHEN)


def texts(root: Any, path: str) -> list[str]:
    """The texts of all elements at *path*, of S3's namespace."""
    found = root.findall("/".join(S3 + tag for tag in path.split("/")))
    return [element.text or "" for element in found]


listings = st.builds(
    ListObjectsV2,
    bucket=st.just("unified"),
    prefix=strategies.texts(),
    delimiter=strategies.texts(0, 3),
    max_keys=st.integers(0, 1000),
    start_after=strategies.texts(),
    encoding_type=st.just("url"),
    fetch_owner=st.booleans(),
)


@given(listings, strategies.list_pages())
def test_an_encoded_listing_parses_back(
    operation: ListObjectsV2, page: ListPage
) -> None:
    """With encoding-type=url, any key at all; by either way of decoding."""
    root = ElementTree.fromstring(documents.list_objects_v2(operation, page))
    for decode in (unquote, unquote_plus):
        assert [decode(k) for k in texts(root, "Contents/Key")] == [
            info.key for info in page.contents
        ]
        assert [decode(p) for p in texts(root, "CommonPrefixes/Prefix")] == list(
            page.common_prefixes
        )
        assert [decode(p) for p in texts(root, "Prefix")] == [operation.prefix]
    assert texts(root, "KeyCount") == [
        str(len(page.contents) + len(page.common_prefixes))
    ]
    following = texts(root, "NextContinuationToken")
    assert [tokens.decode(t) for t in following] == (
        [] if page.next_after is None else [page.next_after]
    )
    assert texts(root, "IsTruncated") == [str(page.is_truncated).lower()]
    owners = len(page.contents) if operation.fetch_owner else 0
    assert len(texts(root, "Contents/Owner/ID")) == owners
    assert "EncodingType" in {element.tag.removeprefix(S3) for element in root}


@given(strategies.keys(), strategies.texts(), strategies.texts(0, 3))
def test_a_plain_listing_parses_back(key: str, prefix: str, delimiter: str) -> None:
    """Without an encoding: every key that XML 1.0 can carry, line ends included."""
    assume(not FORBIDDEN.search(key + prefix + delimiter))
    operation = ListObjects("unified", prefix, delimiter, marker=key)
    page = ListPage((ObjectInfo("b", key, "i", 1, "e", None, WHEN),), (key,), key)
    root = ElementTree.fromstring(documents.list_objects(operation, page))
    assert texts(root, "Contents/Key") == [key]
    assert texts(root, "CommonPrefixes/Prefix") == [key]
    assert texts(root, "Prefix") == [prefix]
    assert texts(root, "Marker") == [key]
    assert texts(root, "Delimiter") == ([delimiter] if delimiter else [])
    assert texts(root, "NextMarker") == ([key] if delimiter else [])
    assert len(texts(root, "Contents/Owner/ID")) == 1


def test_control_characters_are_character_references() -> None:
    """What no XML 1.0 can carry is written as S3 writes it, never raw."""
    page = ListPage(
        (ObjectInfo("b", "\x01\x1f\ufffe\t\x85", "i", 1, "e", None, WHEN),), (), None
    )
    text = documents.list_objects_v2(ListObjectsV2("b"), page).decode()
    assert "<Key>&#x1;&#x1f;&#xfffe;&#x9;&#x85;</Key>" in text


def test_a_listing_word_for_word() -> None:
    """The shape that clients know, version 2."""
    operation = ListObjectsV2("unified", "", "/", 2, "s", tokens.encode("q"))
    page = ListPage((INFO,), ("c/",), "c/")
    assert documents.list_objects_v2(operation, page).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<Name>unified</Name><Prefix></Prefix><MaxKeys>2</MaxKeys>"
        "<Delimiter>/</Delimiter><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>"
        f"<ContinuationToken>{tokens.encode('q')}</ContinuationToken>"
        f"<NextContinuationToken>{tokens.encode('c/')}</NextContinuationToken>"
        "<StartAfter>s</StartAfter>"
        "<Contents><Key>a&amp;b</Key><LastModified>2026-05-24T12:00:00.005Z"
        "</LastModified><ETag>&quot;abc&quot;</ETag><Size>3</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes></ListBucketResult>"
    )


def test_next_marker_needs_a_delimiter() -> None:
    """Without one, clients go on from the last key, as at S3."""
    page = ListPage((INFO,), (), "a&b")
    root = ElementTree.fromstring(documents.list_objects(ListObjects("b"), page))
    assert texts(root, "NextMarker") == []
    assert texts(root, "IsTruncated") == ["true"]


def test_an_sdk_reads_a_listing() -> None:
    """botocore's own parser finds every element where it looks for it."""
    model = get_session().get_service_model("s3").operation_model("ListObjectsV2")
    body = documents.list_objects_v2(
        ListObjectsV2("unified", fetch_owner=True, delimiter="/"),
        ListPage((INFO,), ("c/",), "c/"),
    )
    parsed = create_parser("rest-xml").parse(
        {"body": body, "headers": {}, "status_code": 200}, model.output_shape
    )
    assert parsed["Contents"] == [
        {
            "Key": "a&b",
            "LastModified": WHEN,
            "ETag": '"abc"',
            "Size": 3,
            "StorageClass": "STANDARD",
            "Owner": {"ID": "s3proxy", "DisplayName": "s3proxy"},
        }
    ]
    assert parsed["CommonPrefixes"] == [{"Prefix": "c/"}]
    assert (parsed["KeyCount"], parsed["IsTruncated"]) == (2, True)


@given(strategies.texts(), strategies.texts(), st.text())
def test_any_error_parses(message: str, resource: str, value: str) -> None:
    """Whatever is echoed, even what no XML can carry."""
    error = errors.InvalidArgument(message, fields={"ArgumentValue": value})
    root = ElementTree.fromstring(
        documents.error(error, resource=resource, request_id="R1")
    )
    assert root.tag == "Error"
    assert [element.tag for element in root] == [
        "Code",
        "Message",
        "ArgumentValue",
        "Resource",
        "RequestId",
    ]
    assert root.findtext("Code") == "InvalidArgument"
    assert root.findtext("Message") == FORBIDDEN.sub("\ufffd", message)
    assert root.findtext("Resource") == FORBIDDEN.sub("\ufffd", resource)
    assert root.findtext("RequestId") == "R1"


def test_buckets() -> None:
    """Names, dates, region, owner; where the next page begins, if there is one."""
    buckets = [("a<b", WHEN), ("unified", WHEN)]
    last = documents.list_buckets(ListBuckets(), buckets, region="r-1", more=False)
    root = ElementTree.fromstring(last)
    assert texts(root, "Buckets/Bucket/Name") == ["a<b", "unified"]
    assert texts(root, "Buckets/Bucket/BucketRegion") == ["r-1"] * 2
    assert texts(root, "ContinuationToken") == texts(root, "Prefix") == []
    assert (
        texts(root, "Buckets/Bucket/CreationDate") == ["2026-05-24T12:00:00.005Z"] * 2
    )
    assert texts(root, "Owner/ID") == ["s3proxy"]
    more = ElementTree.fromstring(
        documents.list_buckets(ListBuckets("a"), buckets[:1], region="r", more=True)
    )
    (token,) = texts(more, "ContinuationToken")
    assert ListBuckets(continuation_token=token).after == "a<b"
    assert texts(more, "Prefix") == ["a"]


@pytest.mark.parametrize(
    ("region", "expected"), [("us-east-1", None), ("home-1", "home-1")]
)
def test_location(region: str, expected: str | None) -> None:
    """us-east-1 is the empty one."""
    root = ElementTree.fromstring(documents.location(region))
    assert (root.tag, root.text) == (f"{S3}LocationConstraint", expected)


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("a b/é\n", "a b/é&#xa;"),
        ("a%20b", "a%2520b"),
        ("a+b", "a%2Bb"),
        ("a\x01b", "a%01b"),
    ],
)
def test_the_prefix_of_the_first_version(prefix: str, told: str) -> None:
    """Some SDKs decode it and some do not: to both it is what was asked for."""
    operation = ListObjects("b", prefix, encoding_type="url")
    shown = documents.list_objects(operation, ListPage((), (), None)).decode()
    assert f"<Prefix>{told}</Prefix>" in shown
