"""The XML of uploads and copies: SDKs find in it what went in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.parsers import create_parser
from botocore.session import get_session
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.model import (
    Completed,
    ObjectInfo,
    PartInfo,
    PartPage,
    UploadInfo,
    UploadPage,
)
from s3proxy.s3 import upload_documents as documents
from s3proxy.s3.operation import (
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
)
from tests import strategies

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
WHEN = datetime(2026, 5, 24, 12, 0, 0, 5000, tzinfo=UTC)
SHOWN = "2026-05-24T12:00:00.005Z"
UPLOAD = UploadInfo("u&1", "a&b", WHEN, "CRC32", "COMPOSITE")
PEOPLE = {
    "Initiator": {"ID": "s3proxy", "DisplayName": "s3proxy"},
    "Owner": {"ID": "s3proxy", "DisplayName": "s3proxy"},
    "StorageClass": "STANDARD",
}


def read(operation: str, body: bytes) -> dict[str, Any]:
    """What botocore's own parser makes of an answer."""
    model = get_session().get_service_model("s3").operation_model(operation)
    parsed: dict[str, Any] = create_parser("rest-xml").parse(
        {"body": body, "headers": {}, "status_code": 200}, model.output_shape
    )
    del parsed["ResponseMetadata"]
    return parsed


def test_created() -> None:
    """The id, beside what it is of."""
    body = documents.created(CreateMultipartUpload("b", "a&b"), "u&1")
    assert ElementTree.fromstring(body).tag == f"{S3}InitiateMultipartUploadResult"
    assert read("CreateMultipartUpload", body) == {
        "Bucket": "b",
        "Key": "a&b",
        "UploadId": "u&1",
    }


@pytest.mark.parametrize(
    ("value", "kind"), [("AAAAAA==-2", "COMPOSITE"), ("AAAAAA==", "FULL_OBJECT")]
)
def test_completed(value: str, kind: str) -> None:
    """The ETag in quotes; a checksum's form says its type."""
    operation = CompleteMultipartUpload("b", "a b&c", "u")
    body = documents.completed(operation, Completed("0f-2", {"crc32": value}))
    assert ElementTree.fromstring(body).tag == f"{S3}CompleteMultipartUploadResult"
    assert read("CompleteMultipartUpload", body) == {
        "Location": "/b/a%20b%26c",
        "Bucket": "b",
        "Key": "a b&c",
        "ETag": '"0f-2"',
        "ChecksumCRC32": value,
        "ChecksumType": kind,
    }
    plain = read(
        "CompleteMultipartUpload", documents.completed(operation, Completed("e"))
    )
    assert not {name for name in plain if name.startswith("Checksum")}


def test_copied() -> None:
    """Word for word: ETag and time, and a checksum where there is one."""
    info = ObjectInfo("b", "k", "i", 1, "0f", None, WHEN)
    assert documents.copied(info).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LastModified>{SHOWN}</LastModified><ETag>&quot;0f&quot;</ETag>"
        "</CopyObjectResult>"
    )
    part = PartInfo(1, "0f", 1, {"sha1": "x"}, WHEN)
    assert read("UploadPartCopy", documents.part_copied(part)) == {
        "CopyPartResult": {"ETag": '"0f"', "LastModified": WHEN, "ChecksumSHA1": "x"}
    }


def test_parts() -> None:
    """A page in the middle of a list."""
    parts = (
        PartInfo(2, "0f", 5, {"crc32": "AAAAAA=="}, WHEN),
        PartInfo(9, "1f", 0, {}, WHEN),
    )
    operation = ListParts("b", "a&b", "u&1", max_parts=2, part_number_marker=1)
    assert read(
        "ListParts", documents.list_parts(operation, PartPage(UPLOAD, parts, 9))
    ) == {
        "Bucket": "b",
        "Key": "a&b",
        "UploadId": "u&1",
        "PartNumberMarker": 1,
        "NextPartNumberMarker": 9,
        "MaxParts": 2,
        "IsTruncated": True,
        "ChecksumAlgorithm": "CRC32",
        "ChecksumType": "COMPOSITE",
        **PEOPLE,
        "Parts": [
            {
                "PartNumber": 2,
                "LastModified": WHEN,
                "ETag": '"0f"',
                "Size": 5,
                "ChecksumCRC32": "AAAAAA==",
            },
            {"PartNumber": 9, "LastModified": WHEN, "ETag": '"1f"', "Size": 0},
        ],
    }


def test_no_parts() -> None:
    """The last page has no marker; what was not announced is not told."""
    upload = UploadInfo("u", "k", WHEN)
    parsed = read(
        "ListParts",
        documents.list_parts(ListParts("b", "k", "u"), PartPage(upload, (), None)),
    )
    assert parsed["IsTruncated"] is False
    assert not {"Parts", "NextPartNumberMarker", "ChecksumAlgorithm"} & parsed.keys()


def test_uploads() -> None:
    """A page of uploads and prefixes."""
    operation = ListMultipartUploads("b", "p", "/", 2, "k", "m")
    page = UploadPage((UPLOAD,), ("p/",), "p/", None)
    assert read("ListMultipartUploads", documents.list_uploads(operation, page)) == {
        "Bucket": "b",
        "KeyMarker": "k",
        "UploadIdMarker": "m",
        "NextKeyMarker": "p/",
        "NextUploadIdMarker": "",
        "Prefix": "p",
        "Delimiter": "/",
        "MaxUploads": 2,
        "IsTruncated": True,
        "Uploads": [
            {
                "Key": "a&b",
                "UploadId": "u&1",
                "Initiated": WHEN,
                "ChecksumAlgorithm": "CRC32",
                "ChecksumType": "COMPOSITE",
                **PEOPLE,
            }
        ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }
    last = read(
        "ListMultipartUploads",
        documents.list_uploads(ListMultipartUploads("b"), UploadPage((), ())),
    )
    assert last["IsTruncated"] is False
    assert not {"NextKeyMarker", "NextUploadIdMarker", "Uploads"} & last.keys()


@given(strategies.keys(), strategies.texts(), strategies.texts(0, 3), st.uuids())
def test_encoded_lists_parse_back(
    key: str, prefix: str, delimiter: str, upload_id: object
) -> None:
    """With encoding-type=url, any key at all, wherever one is written."""
    upload = UploadInfo(str(upload_id), key, WHEN)
    operation = ListMultipartUploads(
        "b", prefix, delimiter, key_marker=key, encoding_type="url"
    )
    page = UploadPage((upload,), (key,), key, str(upload_id))
    root = ElementTree.fromstring(documents.list_uploads(operation, page))
    for path in (
        f"{S3}KeyMarker",
        f"{S3}NextKeyMarker",
        f"{S3}Upload/{S3}Key",
        f"{S3}CommonPrefixes/{S3}Prefix",
    ):
        assert unquote(root.findtext(path)) == key
    assert unquote(root.findtext(f"{S3}Prefix")) == prefix
    assert unquote(root.findtext(f"{S3}Delimiter") or "") == delimiter
    assert root.findtext(f"{S3}NextUploadIdMarker") == str(upload_id)
    assert root.findtext(f"{S3}EncodingType") == "url"
    parts = documents.list_parts(
        ListParts("b", key, "u", encoding_type="url"), PartPage(upload, (), None)
    )
    root = ElementTree.fromstring(parts)
    assert unquote(root.findtext(f"{S3}Key")) == key
    assert root.findtext(f"{S3}EncodingType") == "url"
