"""How a body is framed (aws-chunked), as a request's headers say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from s3proxy.errors import (
    EntityTooLarge,
    InvalidArgument,
    InvalidRequest,
    MalformedTrailerError,
    MissingContentLength,
    NotImplementedYet,
)
from s3proxy.s3 import checksum_headers, parameters
from s3proxy.s3.canonical import UNSIGNED_PAYLOAD

#: The header that says what a signature covers of a body.
HASH = "x-amz-content-sha256"
#: What only framed bodies have.
HEADERS = frozenset({"x-amz-decoded-content-length", "x-amz-trailer"})

_LENGTH = "x-amz-decoded-content-length"
_PREFIX = "STREAMING-"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_DIGITS = re.compile(r"\d+", re.ASCII)


@frozen
class Form:
    """
    A value of x-amz-content-sha256 that announces chunks.

    :ivar signed: Every chunk is signed, and the trailer is.
    :ivar has_trailer: Fields may follow the last chunk.
    """

    signed: bool
    has_trailer: bool


FORMS: Mapping[str, Form] = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": Form(True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": Form(True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": Form(False, True),
}


@frozen
class Framing:
    """
    What the decoder of one body must know.

    :ivar trailer_algorithm: Of the checksum that x-amz-trailer announces: ``crc32`` …,
        or None.
    """

    form: Form
    trailer_algorithm: str | None = None


def form_of(payload_hash: str) -> Form | None:
    """
    The form that a value of x-amz-content-sha256 names; None for a plain body.

    :raises InvalidArgument: It begins as such a value and is none (400).
    :raises NotImplementedYet: It is signed with ECDSA (501).
    """
    if not payload_hash.startswith(_PREFIX):
        return None
    if payload_hash.startswith(f"{_PREFIX}AWS4-ECDSA-"):
        raise NotImplementedYet(
            "Streaming signatures with ECDSA are not served here: sign with "
            "AWS4-HMAC-SHA256."
        )
    if payload_hash not in FORMS:
        raise InvalidArgument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
            f"{', '.join(FORMS)}, or a valid sha256 value."
        )
    return FORMS[payload_hash]


def payload_hash(sent: Sequence[str]) -> str:
    """
    Read the values of x-amz-content-sha256.

    :returns: Lower-case hex, ``UNSIGNED-PAYLOAD``, or a key of :data:`FORMS`.
    :raises InvalidArgument: It is none of these (400).
    :raises InvalidRequest: It is absent, or sent twice (400).
    :raises NotImplementedYet: As of :func:`form_of` (501).
    """
    if len(sent) != 1:
        raise InvalidRequest(f"The header {HASH} must be sent, and sent once.")
    value = sent[0].strip()
    if value == UNSIGNED_PAYLOAD or form_of(value) is not None:
        return value
    if not _SHA256.fullmatch(value):
        raise InvalidArgument(
            f"{HASH} must be UNSIGNED-PAYLOAD or a valid sha256 value."
        )
    return value.lower()


def sha256_of(payload_hash: str) -> str | None:
    """The hash that the body as it comes must have; None where none was told."""
    if payload_hash == UNSIGNED_PAYLOAD or form_of(payload_hash) is not None:
        return None
    return payload_hash.lower()


def parse(headers: Mapping[str, str]) -> Framing | None:
    """
    Read how an upload's body is framed; None for a plain one.

    :param headers: By lower-case name.
    :raises InvalidArgument: As of :func:`form_of`; or NotImplementedYet.
    :raises InvalidRequest: What x-amz-trailer names is no checksum.
    :raises MalformedTrailerError: It announces one where no trailer can be.
    :raises NotImplementedYet: The body is said to be aws-chunked, and not how: its
        framing would be stored as if it were the object.
    """
    payload_hash = headers.get(HASH, "").strip()
    form = form_of(payload_hash)
    announced = checksum_headers.parse_trailer(headers)
    if announced is not None and (form is None or not form.has_trailer):
        raise MalformedTrailerError()
    if form is not None:
        return Framing(form, announced)
    # The hash of the body as it comes was told, so that is what the object is.
    is_plain = _SHA256.fullmatch(payload_hash) is not None
    if _LENGTH in headers or (
        not is_plain and parameters.is_aws_chunked(headers.get("content-encoding", ""))
    ):
        raise NotImplementedYet(
            "An aws-chunked body is served with the x-amz-content-sha256 that says how "
            f"it is signed only: {', '.join(FORMS)}."
        )
    return None


def content_length(headers: Mapping[str, str], framing: Framing | None) -> int:
    """
    Read the length of what an upload's body stores, in bytes.

    :raises MissingContentLength: A framed body comes without
        x-amz-decoded-content-length, or it is no whole number (411).
    :raises EntityTooLarge: No object could be so large; and what
        :func:`parameters.content_length` raises.
    """
    if framing is None:
        return parameters.content_length(headers)
    text = headers.get(_LENGTH, "").strip()
    if headers.keys().isdisjoint({"content-length", "transfer-encoding"}):
        raise MissingContentLength()
    if not _DIGITS.fullmatch(text):
        raise MissingContentLength(
            f"You must provide the {_LENGTH} HTTP header, a whole number of bytes."
        )
    if len(text.lstrip("0")) > 18:
        raise EntityTooLarge(fields={"ProposedSize": text[:100]})
    return int(text.lstrip("0") or "0")
