"""PutBucketCors, GetBucketCors and DeleteBucketCors, as values and read."""

from __future__ import annotations

from attrs import frozen

from s3proxy.s3 import sent_document
from s3proxy.s3.request import Request
from s3proxy.s3.sent_document import SentDocument


@frozen
class PutBucketCors:
    """``PUT /{bucket}?cors``"""

    bucket: str
    document: SentDocument


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
    Read PutBucketCors, but for its body.

    :raises InvalidRequest: It has neither Content-MD5 nor a checksum, as S3 wants one;
        or what bad ones raise.
    """
    document = sent_document.read(request.headers, digest_demanded=True)
    return PutBucketCors(request.bucket, document)


def get_cors(request: Request) -> GetBucketCors:
    """Read GetBucketCors."""
    return GetBucketCors(request.bucket)


def delete_cors(request: Request) -> DeleteBucketCors:
    """Read DeleteBucketCors."""
    return DeleteBucketCors(request.bucket)
