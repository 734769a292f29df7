"""A document that comes as a body: what a request's headers say of it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from s3proxy.errors import InvalidRequest
from s3proxy.s3 import checksum_headers, framing
from s3proxy.s3.framing import Framing


@frozen
class SentDocument:
    """
    :ivar content_md5: 32 hex digits, or None.
    :ivar checksums: ``x-amz-checksum-*`` sent as headers: algorithm to base64 value.
    :ivar framing: Of an aws-chunked body.
    :ivar content_length: In bytes, without its framing; 0 where there is none: a plain
        body ends where it ends.
    """

    content_md5: str | None = None
    checksums: dict[str, str] = field(factory=dict)
    framing: Framing | None = None
    content_length: int = 0


def read(headers: Mapping[str, str], *, digest_demanded: bool = False) -> SentDocument:
    """
    Read the headers of a document.

    :param headers: By lower-case name.
    :param digest_demanded: The hash in the signature is none: a proxy may have changed
        the body before it was signed, and what is lost by that cannot be had again.
    :raises InvalidRequest: A digest is demanded, and there is none; or InvalidDigest,
        MissingContentLength, and what a PUT's checksums raise.
    """
    framed = framing.parse(headers)
    document = SentDocument(
        checksum_headers.parse_content_md5(headers.get("content-md5")),
        checksum_headers.parse_checksums(
            headers, framed.trailer_algorithm if framed else None
        ),
        framed,
        framing.content_length(headers, framed) if framed else 0,
    )
    announced = framed is not None and framed.trailer_algorithm is not None
    if digest_demanded and not (
        document.content_md5 or document.checksums or announced
    ):
        raise InvalidRequest(
            "Missing required header for this request: Content-MD5 or x-amz-checksum-*."
        )
    return document
