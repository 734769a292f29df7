"""Operations on multipart uploads, as values, and how they are read from a request."""

from __future__ import annotations

from attrs import field, frozen

from s3proxy.errors import EntityTooLarge
from s3proxy.model import WriteConditions
from s3proxy.s3 import checksum_headers, framing, parameters, tagging
from s3proxy.s3.framing import Framing
from s3proxy.s3.parameters import MAX_KEYS
from s3proxy.s3.request import Request

MAX_PART_BYTES = 5 * 1024**3


@frozen
class CreateMultipartUpload:
    """
    ``POST /{bucket}/{key}?uploads``

    :ivar headers: Standard headers to keep (see ObjectInfo.headers).
    :ivar checksum_algorithm: ``CRC32`` …, as announced, or None.
    :ivar checksum_type: ``COMPOSITE`` or ``FULL_OBJECT``; where an algorithm was
        announced without a type, the one that S3 takes for it.
    :ivar tags: Key to value.
    """

    bucket: str
    key: str
    content_type: str | None = None
    headers: dict[str, str] = field(factory=dict)
    user_metadata: dict[str, str] = field(factory=dict)
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    tags: dict[str, str] = field(factory=dict)


@frozen
class UploadPart:
    """
    ``PUT /{bucket}/{key}?partNumber&uploadId``

    :ivar content_length: In bytes, at most 5 GiB, without any framing.
    :ivar content_md5: 32 hex digits, or None.
    :ivar checksums: ``x-amz-checksum-*`` sent as headers: algorithm to base64 value.
    :ivar framing: Of an aws-chunked body.
    """

    bucket: str
    key: str
    upload_id: str
    part_number: int
    content_length: int
    content_md5: str | None = None
    checksums: dict[str, str] = field(factory=dict)
    framing: Framing | None = None


@frozen
class CompleteMultipartUpload:
    """
    ``POST /{bucket}/{key}?uploadId``; s3.completion reads the body.

    :ivar content_md5: Of the list in the body: 32 hex digits, or None.
    :ivar object_size: What the client takes the object's size to be, in bytes.
    :ivar checksums: What it takes the object's checksum to be: algorithm to base64
        value, which ``-N`` follows where it is of the parts' checksums and was sent so.
    :ivar checksum_type: ``COMPOSITE`` or ``FULL_OBJECT``, where told.
    """

    bucket: str
    key: str
    upload_id: str
    conditions: WriteConditions = field(factory=WriteConditions)
    content_md5: str | None = None
    object_size: int | None = None
    checksums: dict[str, str] = field(factory=dict)
    checksum_type: str | None = None


@frozen
class AbortMultipartUpload:
    """``DELETE /{bucket}/{key}?uploadId``"""

    bucket: str
    key: str
    upload_id: str


@frozen
class ListParts:
    """
    ``GET /{bucket}/{key}?uploadId``; a page has at most 1000 parts.

    :ivar part_number_marker: The page begins after this number.
    """

    bucket: str
    key: str
    upload_id: str
    max_parts: int = MAX_KEYS
    part_number_marker: int = 0
    encoding_type: str | None = None


@frozen
class ListMultipartUploads:
    """
    ``GET /{bucket}?uploads``; a page has at most 1000 entries.

    :ivar upload_id_marker: Counts beside a *key_marker* only.
    """

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    max_uploads: int = MAX_KEYS
    key_marker: str = ""
    upload_id_marker: str = ""
    encoding_type: str | None = None


def create(request: Request) -> CreateMultipartUpload:
    """
    Read CreateMultipartUpload.

    :raises InvalidRequest: An unknown checksum algorithm or type, or a type that does
        not go with the algorithm; or MetadataTooLarge, InvalidTag.
    """
    headers = request.headers
    algorithm, kind = checksum_headers.parse_announced(headers)
    return CreateMultipartUpload(
        request.bucket,
        request.key,
        content_type=headers.get("content-type") or None,
        headers=parameters.kept_headers(headers),
        user_metadata=parameters.user_metadata(headers),
        checksum_algorithm=algorithm,
        checksum_type=kind,
        tags=tagging.parse_header(headers),
    )


def upload_part(request: Request) -> UploadPart:
    """
    Read UploadPart.

    :raises InvalidArgument: The part number is not 1 to 10000; and what a PUT raises.
    """
    headers = request.headers
    framed = framing.parse(headers)
    size = framing.content_length(headers, framed)
    if size > MAX_PART_BYTES:
        raise EntityTooLarge(
            fields={"ProposedSize": str(size), "MaxSizeAllowed": str(MAX_PART_BYTES)}
        )
    return UploadPart(
        request.bucket,
        request.key,
        request.query["uploadId"],
        parameters.part_number(request.query["partNumber"]),
        content_length=size,
        content_md5=checksum_headers.parse_content_md5(headers.get("content-md5")),
        checksums=checksum_headers.parse_checksums(
            headers, framed.trailer_algorithm if framed else None
        ),
        framing=framed,
    )


def complete(request: Request) -> CompleteMultipartUpload:
    """
    Read CompleteMultipartUpload, but for its body.

    :raises InvalidArgument: The object's size is no number.
    :raises InvalidRequest: The object's checksum or its type is none.
    """
    headers = request.headers
    return CompleteMultipartUpload(
        request.bucket,
        request.key,
        request.query["uploadId"],
        conditions=request.write_conditions,
        content_md5=checksum_headers.parse_content_md5(headers.get("content-md5")),
        object_size=parameters.object_size(headers),
        checksums=checksum_headers.parse_object_checksums(headers),
        checksum_type=checksum_headers.parse_type(headers),
    )


def abort(request: Request) -> AbortMultipartUpload:
    """Read AbortMultipartUpload."""
    return AbortMultipartUpload(request.bucket, request.key, request.query["uploadId"])


def list_parts(request: Request) -> ListParts:
    """
    Read ListParts.

    :raises InvalidArgument: A limit or marker is no number, or the encoding unknown.
    """
    query = request.query
    return ListParts(
        request.bucket,
        request.key,
        query["uploadId"],
        max_parts=parameters.limit(query, "max-parts"),
        part_number_marker=parameters.part_number_marker(query),
        encoding_type=parameters.encoding_type(query.get("encoding-type")),
    )


def list_uploads(request: Request) -> ListMultipartUploads:
    """
    Read ListMultipartUploads.

    :raises InvalidArgument: The limit is no number, or the encoding unknown.
    """
    query = request.query
    key_marker = query.get("key-marker", "")
    return ListMultipartUploads(
        request.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        max_uploads=parameters.limit(query, "max-uploads"),
        key_marker=key_marker,
        upload_id_marker=query.get("upload-id-marker", "") if key_marker else "",
        encoding_type=parameters.encoding_type(query.get("encoding-type")),
    )
