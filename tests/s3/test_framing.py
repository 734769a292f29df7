"""s3proxy.s3.framing: what headers say of a framed body, and where they contradict."""

from __future__ import annotations

import pytest

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.s3 import operation as op
from s3proxy.s3.framing import FORMS, Framing
from tests.s3.chunking import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER

PUT, PART = "/b/k", "/b/k?partNumber=7&uploadId=u"
SHA256 = "ab" * 32


def parse(
    target: str, form: str | None, *, method: str = "PUT", **changes: str | None
) -> op.Operation:
    """Parse a request with a framed body (``_`` for ``-``; None drops a header)."""
    headers: dict[str, str | None] = {
        "content-length": "1000",
        "x-amz-decoded-content-length": "7",
        "x-amz-content-sha256": form,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    sent = [(name, value) for name, value in headers.items() if value is not None]
    return op.parse(method.encode(), target.encode(), sent)


@pytest.mark.parametrize("target", [PUT, PART])
@pytest.mark.parametrize("form", FORMS)
def test_a_framed_body(target: str, form: str) -> None:
    """Its length is the decoded one, and its form goes with it."""
    parsed = parse(target, form)
    assert isinstance(parsed, op.PutObject | op.UploadPart)
    assert parsed.content_length == 7
    assert parsed.framing == Framing(FORMS[form])


@pytest.mark.parametrize("target", [PUT, PART])
def test_a_plain_body(target: str) -> None:
    """It has no form."""
    parsed = parse(target, SHA256, x_amz_decoded_content_length=None)
    assert isinstance(parsed, op.PutObject | op.UploadPart)
    assert (parsed.content_length, parsed.framing) == (1000, None)


@pytest.mark.parametrize("target", [PUT, PART])
@pytest.mark.parametrize("form", [SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize("named", ["crc32c", "CRC32C", None])
def test_an_announced_checksum(target: str, form: str, named: str | None) -> None:
    """x-amz-sdk-checksum-algorithm goes with it, or is not there."""
    parsed = parse(
        target,
        form,
        x_amz_trailer=" X-Amz-Checksum-CRC32C",
        x_amz_sdk_checksum_algorithm=named,
    )
    assert isinstance(parsed, op.PutObject | op.UploadPart)
    assert parsed.framing == Framing(FORMS[form], "crc32c")
    assert parsed.checksums == {}


def test_transfer_encoding_carries_chunks() -> None:
    """boto3 sends bodies so over https: the decoded length is enough."""
    parsed = parse(
        PUT, UNSIGNED_TRAILER, content_length=None, transfer_encoding="chunked"
    )
    assert isinstance(parsed, op.PutObject)
    assert parsed.content_length == 7


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip", "gzip"),
        ("aws-chunked,gzip,AWS-Chunked", "gzip"),
        ("gzip, br ,aws-chunked", "gzip, br"),
        ("gzip,br", "gzip,br"),
        ("x-aws-chunked", "x-aws-chunked"),
    ],
)
@pytest.mark.parametrize("form", [SIGNED, SHA256])
def test_content_encoding(sent: str, kept: str | None, form: str) -> None:
    """``aws-chunked`` is never kept; others are, as they came."""
    length = "7" if form == SIGNED else None
    parsed = parse(
        PUT, form, content_encoding=sent, x_amz_decoded_content_length=length
    )
    assert isinstance(parsed, op.PutObject)
    assert parsed.headers == ({} if kept is None else {"content-encoding": kept})


LENGTH = "x_amz_decoded_content_length"
NAMED = "x_amz_sdk_checksum_algorithm"
REFUSED = [
    ("35 absent", SIGNED, {LENGTH: None}, errors.MissingContentLength),
    ("35 no number", SIGNED, {LENGTH: "x"}, errors.MissingContentLength),
    ("35 negative", SIGNED, {LENGTH: "-1"}, errors.MissingContentLength),
    ("35 empty", SIGNED, {LENGTH: ""}, errors.MissingContentLength),
    ("no length", SIGNED, {"content_length": None}, errors.MissingContentLength),
    ("63 absurd", SIGNED, {LENGTH: "9" * 30}, errors.EntityTooLarge),
    (
        "38 no trailer in this form",
        SIGNED,
        {"x_amz_trailer": "x-amz-checksum-crc32"},
        errors.MalformedTrailerError,
    ),
    (
        "38 no trailer in a plain body",
        SHA256,
        {LENGTH: None, "x_amz_trailer": "x-amz-checksum-crc32"},
        errors.MalformedTrailerError,
    ),
    *(
        (f"trailer {name}", UNSIGNED_TRAILER, {"x_amz_trailer": name}, error)
        for name, error in (
            ("", errors.InvalidRequest),
            ("content-md5", errors.InvalidRequest),
            ("x-amz-checksum-", errors.InvalidRequest),
            ("x-amz-checksum-mode", errors.InvalidRequest),
            ("x-amz-checksum-crc32,x-amz-checksum-sha1", errors.InvalidRequest),
            ("x-amz-checksum-xxhash64", errors.NotImplementedYet),
        )
    ),
    (
        "header and trailer",
        UNSIGNED_TRAILER,
        {
            "x_amz_trailer": "x-amz-checksum-crc32",
            "x_amz_checksum_crc32": "AAAAAA==",
        },
        errors.InvalidRequest,
    ),
    (
        "another algorithm",
        UNSIGNED_TRAILER,
        {"x_amz_trailer": "x-amz-checksum-crc32", NAMED: "SHA1"},
        errors.InvalidRequest,
    ),
    ("no trailer", UNSIGNED_TRAILER, {NAMED: "CRC32"}, errors.InvalidRequest),
    (
        "43 ECDSA",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        {},
        errors.NotImplementedYet,
    ),
    ("unknown", "STREAMING-X", {}, errors.InvalidArgument),
    *(
        (f"never stored raw {form}", form, headers, errors.NotImplementedYet)
        for form in (None, "UNSIGNED-PAYLOAD")
        for headers in ({}, {LENGTH: None, "content_encoding": "aws-chunked"})
    ),
]


@pytest.mark.parametrize("target", [PUT, PART])
@pytest.mark.parametrize(
    ("form", "headers", "error"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_refused(
    target: str, form: str, headers: dict[str, str | None], error: type[S3Error]
) -> None:
    """Before a byte of the body is read."""
    with pytest.raises(S3Error) as raised:
        parse(target, form, **headers)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/b/k", {}),
        ("HEAD", "/b", {}),
        ("DELETE", "/b/k", {}),
        ("PUT", "/b", {}),
        ("POST", "/b/k?uploads", {}),
        ("POST", "/b/k?uploadId=u", {}),
        ("PUT", PUT, {"x_amz_copy_source": "/b/other"}),
        ("PUT", PART, {"x_amz_copy_source": "/b/other"}),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_only_stored_bodies_are_framed(
    method: str, target: str, headers: dict[str, str], form: str
) -> None:
    """Case 41: on anything but PutObject and UploadPart it is InvalidRequest."""
    with pytest.raises(errors.InvalidRequest):
        parse(target, form, method=method, **headers)
