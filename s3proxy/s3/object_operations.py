"""Operations on one object, as values, and how they are read from a request."""

from __future__ import annotations

from attrs import field, frozen

from s3proxy.errors import InvalidRequest
from s3proxy.model import WriteConditions
from s3proxy.s3 import checksum_headers, framing, parameters, tagging
from s3proxy.s3.conditions import ReadConditions, parse_read_conditions
from s3proxy.s3.framing import Framing
from s3proxy.s3.request import Request


@frozen
class PutObject:
    """
    ``PUT /{bucket}/{key}``

    :ivar content_length: In bytes, without any framing.
    :ivar content_md5: 32 hex digits, or None.
    :ivar checksums: ``x-amz-checksum-*`` sent as headers: algorithm to base64 value.
    :ivar headers: Standard headers to keep (see ObjectInfo.headers).
    :ivar framing: Of an aws-chunked body.
    :ivar tags: Key to value.
    """

    bucket: str
    key: str
    content_length: int
    content_md5: str | None = None
    checksums: dict[str, str] = field(factory=dict)
    content_type: str | None = None
    headers: dict[str, str] = field(factory=dict)
    user_metadata: dict[str, str] = field(factory=dict)
    conditions: WriteConditions = field(factory=WriteConditions)
    framing: Framing | None = None
    tags: dict[str, str] = field(factory=dict)


@frozen
class _Read:
    """
    What GetObject and HeadObject have in common.

    :ivar range_header: The Range header as sent, or None (s3.ranges resolves it).
    :ivar part_number: Only this part of the object, 1 to 10000; None for all of it.
    :ivar overrides: ``response-*`` parameters: header name (lower-case) to value,
        latin-1 decoded, without control characters.
    :ivar version_id: ``null`` where it was named.
    """

    bucket: str
    key: str
    range_header: str | None = None
    conditions: ReadConditions = field(factory=ReadConditions)
    overrides: dict[str, str] = field(factory=dict)
    checksum_mode: bool = False
    part_number: int | None = None
    version_id: str | None = None


@frozen
class GetObject(_Read):
    """``GET /{bucket}/{key}``"""


@frozen
class HeadObject(_Read):
    """``HEAD /{bucket}/{key}``"""


def read_object(
    kind: type[GetObject] | type[HeadObject], request: Request
) -> GetObject | HeadObject:
    """
    Read GetObject or HeadObject.

    :raises InvalidArgument: An override or the part number has a bad value.
    :raises NoSuchVersion: A version other than ``null`` is named.
    :raises InvalidRequest: A range and a part number are asked for at once.
    """
    number = request.query.get("partNumber")
    if number is not None and "range" in request.headers:
        raise InvalidRequest(
            "Cannot specify both Range header and partNumber query parameter."
        )
    return kind(
        request.bucket,
        request.key,
        range_header=request.headers.get("range"),
        conditions=parse_read_conditions(request.headers),
        overrides=parameters.overrides(request.query),
        checksum_mode=(
            request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        ),
        part_number=None if number is None else parameters.part_number(number),
        version_id=parameters.version_id(request.query),
    )


def put_object(request: Request) -> PutObject:
    """
    Read PutObject.

    :raises MissingContentLength: Or EntityTooLarge, MetadataTooLarge, InvalidDigest,
        InvalidRequest, InvalidArgument, InvalidTag, MalformedTrailerError,
        NotImplementedYet.
    """
    headers = request.headers
    framed = framing.parse(headers)
    return PutObject(
        request.bucket,
        request.key,
        content_length=framing.content_length(headers, framed),
        content_md5=checksum_headers.parse_content_md5(headers.get("content-md5")),
        checksums=checksum_headers.parse_checksums(
            headers, framed.trailer_algorithm if framed else None
        ),
        content_type=headers.get("content-type") or None,
        headers=parameters.kept_headers(headers),
        user_metadata=parameters.user_metadata(headers),
        conditions=request.write_conditions,
        framing=framed,
        tags=tagging.parse_header(headers),
    )
