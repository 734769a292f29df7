"""Which form of authorization a request has; and the Authorization header of SigV4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum, auto

from s3proxy.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    InvalidArgument,
    InvalidRequest,
    RequestTimeTooSkewed,
    S3Error,
)
from s3proxy.s3 import framing
from s3proxy.s3.canonical import ALGORITHM, ECDSA
from s3proxy.s3.claims import (
    Claim,
    check_scope_date,
    parse_credential,
    parse_signed_headers,
)
from s3proxy.s3.dates import amz_date, parse_amz_date, parse_http_date, rfc3339

MAX_SKEW_SECONDS = 900

# Any of them makes a URL a presigned one, however their letters are: a URL that looks
# signed is refused rather than taken for an unsigned one.
_PRESIGNED = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature"})
_QUERY_V2 = frozenset({"AWSAccessKeyId", "Signature"})
_PARTS = frozenset({"Credential", "SignedHeaders", "Signature"})


class Form(Enum):
    """Where a signature of version 4 is."""

    HEADER = auto()
    QUERY = auto()


def is_presigned(query: Sequence[tuple[str, str]]) -> bool:
    """Whether these pairs of a query are those of a presigned URL, right or wrong."""
    return any(name.lower() in _PRESIGNED for name, _ in query)


def is_sigv2(sent: Sequence[str], query: Sequence[tuple[str, str]]) -> bool:
    """
    Whether a request is signed by version 2.

    :param sent: Its Authorization headers.
    """
    names = {name for name, _ in query}
    return names >= _QUERY_V2 or any(value.startswith("AWS ") for value in sent)


def form_of(sent: Sequence[str], query: Sequence[tuple[str, str]]) -> Form:
    """
    Say where the signature is, refusing every form but those two by name.

    A foreign Authorization header (``Bearer``, ``Basic``) beside a presigned URL is
    somebody else's, and not looked at.

    :param sent: The Authorization headers.
    :param query: Its pairs, decoded.
    :raises AccessDenied: The request is not signed at all (403).
    :raises InvalidArgument: Two forms at once, or two headers (400).
    :raises InvalidRequest: SigV2 (400).
    """
    in_query = is_presigned(query)
    in_header = any(value.startswith(("AWS4-", "AWS ")) for value in sent)
    sigv2 = is_sigv2((), query)
    if in_query + in_header + sigv2 > 1:
        raise InvalidArgument(
            "Only one auth mechanism allowed: the Authorization header or the query "
            "string, and one signature version."
        )
    if sigv2:
        raise unsupported("signature version 2")
    if in_query:
        return Form.QUERY
    if not any(sent):
        raise AccessDenied("The request is not signed.")
    if len(sent) > 1:
        raise InvalidArgument("There is more than one Authorization header.")
    return Form.HEADER


def unsupported(what: str) -> InvalidRequest:
    """The refusal of a mechanism that S3 has, or had."""
    return InvalidRequest(
        f"The authorization mechanism that you have provided ({what}) is not "
        f"supported. Please use {ALGORITHM}: in boto3 and the AWS CLI, by the setting "
        "signature_version = s3v4 or the region 'auto'."
    )


def header_claim(
    values: Mapping[str, list[str]],
    query: Sequence[tuple[str, str]],
    regions: Sequence[str],
    now: datetime,
) -> Claim:
    """
    Read the Authorization header.

    :param values: Every header's values by lower-case name.
    :param regions: Regions that the scope may name; the error tells the first one.
    :raises AccessDenied: There is no usable date.
    :raises AuthorizationHeaderMalformed: A part is missing or wrong.
    :raises InvalidArgument: It is no form of authorization that S3 has.
    :raises InvalidRequest: SigV2 or SigV4A, or no x-amz-content-sha256.
    :raises RequestTimeTooSkewed: Signed more than 15 minutes from *now*.
    """
    parts = _parts(values["authorization"][0].strip())
    credential = parse_credential(parts["Credential"], regions, _malformed)
    signed_headers = parse_signed_headers(parts["SignedHeaders"], _malformed)
    when = _when(values)
    timestamp = amz_date(when)
    check_scope_date(credential, timestamp, _malformed)
    if abs((now - when).total_seconds()) > MAX_SKEW_SECONDS:
        raise RequestTimeTooSkewed(
            fields={
                "RequestTime": timestamp,
                "ServerTime": rfc3339(now),
                "MaxAllowedSkewMilliseconds": str(MAX_SKEW_SECONDS * 1000),
            }
        )
    hashes = values.get(framing.HASH, [])
    framing.payload_hash(hashes)
    return Claim(
        credential,
        signed_headers,
        parts["Signature"],
        timestamp,
        # As sent, since that is what was signed; the hex digits may be upper case.
        hashes[0].strip(),
        query,
    )


def _parts(header: str) -> Mapping[str, str]:
    """Take ``AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`` apart."""
    kind, space, text = header.partition(" ")
    if not space:
        raise InvalidArgument("Authorization header is invalid: it has no space.")
    if kind == "AWS":
        raise unsupported("signature version 2")
    if kind == ECDSA:
        raise unsupported(f"signature version 4A, {ECDSA}")
    if kind != ALGORITHM:
        raise InvalidArgument(f"Unsupported Authorization type: want {ALGORITHM}.")
    parts: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in parts:
            raise _malformed(
                "want Credential=…, SignedHeaders=… and Signature=…, once each.", {}
            )
        parts[name] = value
    if parts.keys() != _PARTS:
        raise _malformed(
            "it must have Credential, SignedHeaders and Signature, and nothing else.",
            {},
        )
    return parts


def _when(values: Mapping[str, list[str]]) -> datetime:
    """The request's time as it is signed: x-amz-date, or else Date."""
    sent = ",".join(values.get("x-amz-date") or values.get("date") or ()).strip()
    when = parse_amz_date(sent) or parse_http_date(sent)
    if when is None:
        raise AccessDenied(
            "AWS authentication requires a valid Date or x-amz-date header."
        )
    return when


def _malformed(what: str, fields: dict[str, str]) -> S3Error:
    return AuthorizationHeaderMalformed(
        f"The authorization header is malformed; {what}", fields=fields
    )
