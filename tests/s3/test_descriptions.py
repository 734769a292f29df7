"""Attributes, versions, access control lists and settings, read and written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import evolve
from hypothesis import given

from s3proxy import errors
from s3proxy.model import ListPage, ObjectAttributes, ObjectInfo, ObjectPart
from s3proxy.s3 import access_lists, object_documents, settings
from s3proxy.s3 import operation as op
from s3proxy.s3.markup import NAMESPACE
from tests.strategies import list_pages

WHEN = datetime(2026, 11, 20, 10, 30, 15, 250_000, tzinfo=UTC)
INFO = ObjectInfo("b", "k", "id", 30, "ab-2", None, WHEN)
ALL = "ETag,Checksum, ObjectParts ,StorageClass,ObjectSize"


def tree(document: bytes) -> ElementTree.Element:
    """A document, its namespace taken away."""
    return ElementTree.fromstring(document.replace(NAMESPACE.encode(), b""))


def attributes(found: ObjectAttributes, **headers: str) -> ElementTree.Element:
    """The answer to a GetObjectAttributes with these headers."""
    sent = [("x-amz-object-attributes", headers.pop("wanted", ALL))]
    sent += [(f"x-amz-{n.replace('_', '-')}", value) for n, value in headers.items()]
    operation: Any = op.parse(b"GET", b"/b/k?attributes", sent)
    return tree(object_documents.attributes(operation, found))


def texts(root: ElementTree.Element) -> dict[str, str | None]:
    """Elements that hold text, by name."""
    return {each.tag: each.text for each in root if not len(each)}


def test_attributes_of_an_upload() -> None:
    """A page of its parts, each with its checksums."""
    parts = (ObjectPart(2, 10, {"crc32": "A"}), ObjectPart(3, 20))
    info = evolve(INFO, checksums={"crc32": "AAAAAA==-2"})
    root = attributes(ObjectAttributes(info, 5, parts, 3), part_number_marker="1")
    assert texts(root) == {
        "ETag": "ab-2",
        "StorageClass": "STANDARD",
        "ObjectSize": "30",
    }
    checksum, shown = root.find("Checksum"), root.find("ObjectParts")
    assert checksum is not None and shown is not None
    assert texts(checksum) == {
        "ChecksumCRC32": "AAAAAA==-2",
        "ChecksumType": "COMPOSITE",
    }
    assert texts(shown) == {
        "PartsCount": "5",
        "PartNumberMarker": "1",
        "NextPartNumberMarker": "3",
        "MaxParts": "1000",
        "IsTruncated": "true",
    }
    assert [texts(each) for each in shown.findall("Part")] == [
        {"PartNumber": "2", "Size": "10", "ChecksumCRC32": "A"},
        {"PartNumber": "3", "Size": "20"},
    ]


def test_attributes_of_a_plain_object() -> None:
    """It has no parts, and what was not asked for is not told."""
    info = evolve(INFO, etag="ab")
    found = ObjectAttributes(info, 1, (ObjectPart(1, 30),), None)
    assert [each.tag for each in attributes(found)] == [
        *("ETag", "StorageClass", "ObjectSize")
    ]
    assert [each.tag for each in attributes(found, wanted="ObjectSize")] == [
        "ObjectSize"
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-object-attributes": ""},
        {"x-amz-object-attributes": "ETag,Colour"},
        {"x-amz-object-attributes": "ETag", "x-amz-max-parts": "-1"},
        {"x-amz-object-attributes": "ETag", "x-amz-part-number-marker": "x"},
    ],
)
def test_attributes_refused(headers: dict[str, str]) -> None:
    """By the name of the header."""
    with pytest.raises(errors.InvalidArgument) as raised:
        op.parse(b"GET", b"/b/k?attributes", list(headers.items()))
    assert raised.value.fields["ArgumentName"] in headers


@given(list_pages())
def test_every_object_is_its_only_version(page: ListPage) -> None:
    """Of whatever page, url-encoded or not."""
    operation: Any = op.parse(b"GET", b"/b?versions&encoding-type=url", [])
    root = tree(object_documents.versions(operation, page))
    versions = root.findall("Version")
    assert len(versions) == len(page.contents)
    assert len(root.findall("CommonPrefixes")) == len(page.common_prefixes)
    for shown, info in zip(versions, page.contents, strict=True):
        found = texts(shown)
        assert (found["VersionId"], found["IsLatest"]) == ("null", "true")
        assert found["ETag"] == f'"{info.etag}"'
    more = root.findtext("IsTruncated")
    assert more == str(page.next_after is not None).lower()
    assert (root.find("NextKeyMarker") is None) == (page.next_after is None)


def test_where_the_next_page_of_versions_begins() -> None:
    """After a key its version is named; after a common prefix there is none."""
    operation: Any = op.parse(b"GET", b"/b?versions&delimiter=/&max-keys=2", [])
    page = ListPage((INFO,), ("a/",), "k")
    root = tree(object_documents.versions(operation, page))
    assert (root.findtext("NextKeyMarker"), root.findtext("NextVersionIdMarker")) == (
        "k",
        "null",
    )
    root = tree(object_documents.versions(operation, ListPage((INFO,), ("z/",), "z/")))
    assert root.findtext("NextKeyMarker") == "z/"
    assert root.find("NextVersionIdMarker") is None


def test_our_own_list_is_private() -> None:
    """What GET tells can be put again."""
    shown = object_documents.private_acl()
    access_lists.check(shown, "s3proxy")
    with pytest.raises(errors.NotImplementedYet):
        access_lists.check(shown, "somebody else")


GRANT = (
    "<Grant><Grantee><ID>me</ID></Grantee><Permission>{}</Permission></Grant>".format
)
EVERYBODY = (
    '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>'
    "</Grantee><Permission>READ</Permission></Grant>"
)


@pytest.mark.parametrize(
    ("grants", "error"),
    [
        (EVERYBODY, errors.NotImplementedYet),
        (GRANT("FULL_CONTROL") + EVERYBODY, errors.NotImplementedYet),
        (GRANT("READ"), errors.NotImplementedYet),
        ("", errors.NotImplementedYet),
        ("<Grant/>", errors.MalformedXML),
        ("<Odd/>", errors.MalformedXML),
    ],
)
def test_lists_that_let_others_in(grants: str, error: type[errors.S3Error]) -> None:
    """Are refused: nobody would be let in, whatever the answer was."""
    policy = (
        "<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList>"
        f"{grants}</AccessControlList></AccessControlPolicy>"
    )
    with pytest.raises(error):
        access_lists.check(policy.encode(), "me")


def test_no_list() -> None:
    """Neither a header nor a body."""
    with pytest.raises(errors.InvalidRequest):
        access_lists.check(b"", "me")


@pytest.mark.parametrize("name", ["private", "public-read", "log-delivery-write"])
def test_canned_lists_are_accepted(name: str) -> None:
    """With anything that is stored, and by themselves."""
    for method, target in [
        ("PUT", "/b/k"),
        ("PUT", "/b/k?acl"),
        ("POST", "/b/k?uploads"),
    ]:
        headers = [("content-length", "0"), ("x-amz-acl", name)]
        assert op.parse(method.encode(), target.encode(), headers)


def test_canned_lists_that_are_none() -> None:
    """S3 does not know them either."""
    with pytest.raises(errors.InvalidArgument):
        op.parse(b"PUT", b"/b/k", [("content-length", "0"), ("x-amz-acl", "mine")])


@pytest.mark.parametrize("name", sorted(settings.READABLE))
def test_settings(name: str) -> None:
    """Each is a document that parses, or an error with a code of its own."""
    try:
        root = tree(settings.answer(name))
    except errors.NotConfigured as why:
        assert why.status == 404
        assert why.code.endswith(("Error", "Configuration", "Policy"))
    else:
        assert root.tag.endswith(("Configuration", "Status"))


def test_what_settings_say() -> None:
    """Nothing that would mislead: no versions, nobody else, no other payer."""
    assert len(tree(settings.answer("versioning"))) == 0
    assert tree(settings.answer("policyStatus")).findtext("IsPublic") == "false"
    assert tree(settings.answer("requestPayment")).findtext("Payer") == "BucketOwner"
