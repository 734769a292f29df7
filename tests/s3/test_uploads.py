"""What requests about multipart uploads become, and how they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.model import WriteConditions
from s3proxy.s3 import operation as op
from s3proxy.s3.uploads import MAX_PART_BYTES

PART = "/b/k?partNumber=7&uploadId=u"


def parse(method: str, target: str, **headers: str) -> op.Operation:
    """Parse a request with these headers (``_`` for ``-``)."""
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return op.parse(method.encode(), target.encode(), sent)


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("POST", "/b/k?uploads", {}, op.CreateMultipartUpload("b", "k")),
        (
            "POST",
            "/b/k?uploads=",
            {
                "content_type": "text/plain",
                "cache_control": "no-cache",
                "x_amz_meta_one": "1",
                "x_amz_checksum_algorithm": "crc32c",
                "x_amz_checksum_type": "full_object",
                "content_length": "0",
            },
            op.CreateMultipartUpload(
                "b",
                "k",
                "text/plain",
                {"cache-control": "no-cache"},
                {"one": "1"},
                "CRC32C",
                "FULL_OBJECT",
            ),
        ),
        (  # s3fs-fuse sends it before it copies parts; S3 takes no notice.
            "POST",
            "/b/k?uploads",
            {"x_amz_metadata_directive": "REPLACE", "x_amz_meta_one": "1"},
            op.CreateMultipartUpload("b", "k", user_metadata={"one": "1"}),
        ),
        ("PUT", PART, {"content_length": "5"}, op.UploadPart("b", "k", "u", 7, 5)),
        (
            "PUT",
            "/b/a%2Fb?uploadId=a%2Fb%20c&partNumber=010000&x-id=UploadPart",
            {
                "content_length": str(MAX_PART_BYTES),
                "content_md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
                "x_amz_checksum_crc32": "AAAAAA==",
            },
            op.UploadPart(
                "b",
                "a/b",
                "a/b c",
                10000,
                MAX_PART_BYTES,
                "d41d8cd98f00b204e9800998ecf8427e",
                {"crc32": "AAAAAA=="},
            ),
        ),
        ("POST", "/b/k?uploadId=u", {}, op.CompleteMultipartUpload("b", "k", "u")),
        (
            "POST",
            "/b/k?uploadId=u",
            {
                "if_match": '"abc"',
                "if_none_match": "*",
                "content_md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
                "x_amz_mp_object_size": "12",
                "x_amz_checksum_crc32": "AAAAAA==-3",
                "x_amz_checksum_type": "COMPOSITE",
            },
            op.CompleteMultipartUpload(
                "b",
                "k",
                "u",
                WriteConditions(("abc",), ("*",)),
                "d41d8cd98f00b204e9800998ecf8427e",
                12,
                {"crc32": "AAAAAA==-3"},
                "COMPOSITE",
            ),
        ),
        ("DELETE", "/b/k?uploadId=u", {}, op.AbortMultipartUpload("b", "k", "u")),
        # Not the object, whatever became of the id.
        ("DELETE", "/b/k?uploadId", {}, op.AbortMultipartUpload("b", "k", "")),
        ("GET", "/b/k?uploadId=u", {}, op.ListParts("b", "k", "u")),
        (
            "GET",
            "/b/k?uploadId=u&max-parts=2000&part-number-marker=9&encoding-type=url",
            {},
            op.ListParts("b", "k", "u", 1000, 9, "url"),
        ),
        (
            "GET",
            f"/b/k?uploadId=u&max-parts=0&part-number-marker={'9' * 5000}",
            {},
            op.ListParts("b", "k", "u", 0, 10000),
        ),
        ("GET", "/b?uploads", {}, op.ListMultipartUploads("b")),
        (
            "GET",
            "/b?uploads&prefix=p%2F&delimiter=%2F&max-uploads=7&key-marker=a+b"
            "&upload-id-marker=u&encoding-type=url",
            {},
            op.ListMultipartUploads("b", "p/", "/", 7, "a b", "u", "url"),
        ),
        # An id alone is no place in the list.
        ("GET", "/b?uploads&upload-id-marker=u", {}, op.ListMultipartUploads("b")),
        ("GET", "/b/k?partNumber=2", {}, op.GetObject("b", "k", part_number=2)),
        ("HEAD", "/b/k?partNumber=2", {}, op.HeadObject("b", "k", part_number=2)),
    ],
)
def test_operations(
    method: str, target: str, headers: dict[str, str], expected: op.Operation
) -> None:
    """Each header and parameter lands in its field."""
    assert parse(method, target, **headers) == expected


@pytest.mark.parametrize(
    ("algorithm", "kind", "expected"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32C", None, "COMPOSITE"),
        ("SHA1", None, "COMPOSITE"),
        ("SHA256", None, "COMPOSITE"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT", "FULL_OBJECT"),
        ("SHA256", "FULL_OBJECT", errors.InvalidRequest),
        ("SHA1", "FULL_OBJECT", errors.InvalidRequest),
        ("CRC64NVME", "COMPOSITE", errors.InvalidRequest),
        ("CRC32", "BOTH", errors.InvalidRequest),
        (None, "COMPOSITE", errors.InvalidRequest),
        ("CRC16", None, errors.InvalidRequest),
        ("", None, errors.InvalidRequest),
        ("XXHASH64", None, errors.NotImplementedYet),
    ],
)
def test_announced_checksums(
    algorithm: str | None, kind: str | None, expected: str | type[S3Error]
) -> None:
    """The type goes with the algorithm, and has S3's default."""
    headers = {"x_amz_checksum_algorithm": algorithm, "x_amz_checksum_type": kind}
    sent = {name: value for name, value in headers.items() if value is not None}
    if isinstance(expected, str):
        created: Any = parse("POST", "/b/k?uploads", **sent)
        assert (created.checksum_algorithm, created.checksum_type) == (
            algorithm,
            expected,
        )
    else:
        with pytest.raises(expected):
            parse("POST", "/b/k?uploads", **sent)


REFUSED: list[tuple[str, str, dict[str, str], type[S3Error]]] = [
    *(
        ("PUT", f"/b/k?partNumber={number}&uploadId=u", {}, errors.InvalidArgument)
        for number in ("0", "10001", "-1", "1.0", "", "x", "%D9%A1", "9" * 5000)
    ),
    *(
        (method, f"/b/k?partNumber={number}", {}, errors.InvalidArgument)
        for number in ("0", "10001", "")
        for method in ("GET", "HEAD")
    ),
    ("GET", "/b/k?partNumber=1", {"range": "bytes=0-1"}, errors.InvalidRequest),
    ("PUT", PART, {"content_length": ""}, errors.InvalidArgument),
    ("PUT", PART, {"transfer_encoding": "chunked"}, errors.MissingContentLength),
    ("PUT", PART, {"content_length": str(MAX_PART_BYTES + 1)}, errors.EntityTooLarge),
    ("PUT", PART, {"content_md5": "x"}, errors.InvalidDigest),
    ("PUT", PART, {"x_amz_checksum_crc32": "x"}, errors.BadDigest),
    ("PUT", PART, {"x_amz_checksum_crc32": "AAAAAA==-1"}, errors.BadDigest),
    ("PUT", PART, {"content_encoding": "aws-chunked"}, errors.NotImplementedYet),
    ("POST", "/b/k?uploads", {"x_amz_meta_a": "v" * 2048}, errors.MetadataTooLarge),
    ("POST", "/b/k?uploads", {"x_amz_tagging": "=b"}, errors.InvalidTag),
    ("PUT", PART, {"x_amz_tagging": "a=b"}, errors.NotImplementedYet),
    ("POST", "/b/k?uploads", {"x_amz_copy_source": "/b/k"}, errors.NotImplementedYet),
    ("POST", "/b/k?uploadId=u", {"x_amz_mp_object_size": "x"}, errors.InvalidArgument),
    ("POST", "/b/k?uploadId=u", {"x_amz_checksum_type": "x"}, errors.InvalidRequest),
    ("POST", "/b/k?uploadId=u", {"content_md5": "x"}, errors.InvalidDigest),
    *(
        ("POST", "/b/k?uploadId=u", {"x_amz_checksum_crc32": v}, errors.BadDigest)
        for v in ("x", "AAAAAA==-", "AAAAAA==-0", "-1", "AAAAAA==-1-1")
    ),
    (
        "POST",
        "/b/k?uploadId=u",
        {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
        errors.InvalidRequest,
    ),
    (
        "DELETE",
        "/b/k?uploadId=u",
        {"x_amz_if_match_initiated_time": "x"},
        errors.NotImplementedYet,
    ),
    ("GET", "/b/k?uploadId=u&max-parts=x", {}, errors.InvalidArgument),
    ("GET", "/b/k?uploadId=u&part-number-marker=-1", {}, errors.InvalidArgument),
    ("GET", "/b/k?uploadId=u&encoding-type=x", {}, errors.InvalidArgument),
    ("GET", "/b?uploads&max-uploads=-1", {}, errors.InvalidArgument),
    ("GET", "/b?uploads&encoding-type=x", {}, errors.InvalidArgument),
    ("GET", "/b?uploads&prefix=a&prefix=b", {}, errors.InvalidArgument),
]


@pytest.mark.parametrize(("method", "target", "headers", "error"), REFUSED)
def test_refused(
    method: str, target: str, headers: dict[str, str], error: type[S3Error]
) -> None:
    """By S3's own codes, before anything is looked up."""
    sent = {"content_length": "0"} | headers
    if "transfer_encoding" in headers:
        del sent["content_length"]
    with pytest.raises(S3Error) as raised:
        parse(method, target, **sent)
    assert type(raised.value) is error
