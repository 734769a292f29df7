"""PutBucketCors, GetBucketCors and DeleteBucketCors, as values and read."""

from __future__ import annotations

from attrs import field, frozen

from s3proxy.errors import InvalidRequest
from s3proxy.s3 import checksum_headers
from s3proxy.s3.request import Request


@frozen
class PutBucketCors:
    """
    ``PUT /{bucket}?cors``

    :ivar content_md5: 32 hex digits, or None.
    :ivar checksums: Algorithm to base64 value; where there is no MD5 there is one.
    """

    bucket: str
    content_md5: str | None = None
    checksums: dict[str, str] = field(factory=dict)


@frozen
class GetBucketCors:
    """``GET /{bucket}?cors``"""

    bucket: str


@frozen
class DeleteBucketCors:
    """``DELETE /{bucket}?cors``"""

    bucket: str


def put_cors(request: Request) -> PutBucketCors:
    """
    Read PutBucketCors.

    :raises InvalidRequest: It has neither Content-MD5 nor a checksum, as S3 wants one;
        or what bad ones raise.
    """
    headers = request.headers
    md5 = checksum_headers.parse_content_md5(headers.get("content-md5"))
    checksums = checksum_headers.parse_checksums(headers)
    if md5 is None and not checksums:
        raise InvalidRequest(
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        )
    return PutBucketCors(request.bucket, md5, checksums)


def get_cors(request: Request) -> GetBucketCors:
    """Read GetBucketCors."""
    return GetBucketCors(request.bucket)


def delete_cors(request: Request) -> DeleteBucketCors:
    """Read DeleteBucketCors."""
    return DeleteBucketCors(request.bucket)
