"""
AWS Signature Version 4 in the Authorization header: the verifier of clients' requests
and the signer of ours.

Presigned URLs, SigV2 and ECDSA are refused by name: a form that is not verified is
never let through.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from attrs import frozen

from s3proxy.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
)
from s3proxy.s3.authorization import Credential, authorization, parse_credential
from s3proxy.s3.canonical import (
    ALGORITHM,
    EMPTY_SHA256,
    TERMINAL,
    UNSIGNED_PAYLOAD,
    canonical_path,
    canonical_query,
    canonical_request,
    signature,
    signing_key,
    string_to_sign,
    uri_encode,
)
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.dates import amz_date, parse_amz_date, parse_http_date, rfc3339
from s3proxy.s3.framing import form_of

__all__ = [
    "EMPTY_SHA256",
    "UNSIGNED_PAYLOAD",
    "Verified",
    "payload_hash",
    "sha256_of",
    "sign_headers",
    "uri_encode",
    "verify",
]

MAX_SKEW_SECONDS = 900

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
# Signed with for keys that do not exist, so that they cost the same time.
_DUMMY_SECRET = "no such access key has this secret"


@frozen
class Verified:
    """
    Who signed a request, and what they signed of its body.

    :ivar payload_hash: See :func:`payload_hash`.
    :ivar seed: Where the body's chunks are signed: what the first signature builds on.
    """

    access_key_id: str
    payload_hash: str
    seed: StreamingSeed | None = None

    @property
    def sha256(self) -> str | None:
        """The hash that the body must have; None when it was not signed."""
        return sha256_of(self.payload_hash)


def verify(
    method: bytes,
    raw_path: bytes,
    raw_query: bytes,
    headers: Sequence[tuple[str, str]],
    *,
    secret_of: Callable[[str], str | None],
    regions: Sequence[str],
    now: datetime,
) -> Verified:
    """
    Verify a request's Authorization header.

    The body's hash, or the signatures of its chunks, are for the caller to check.

    :param raw_path: As sent, up to the first ``?``; *raw_query* is what follows it.
    :param headers: Lower-case names, latin-1 decoded values, in wire order.
    :param secret_of: The secret of an access key, or None for an unknown one.
    :param regions: Regions that a scope may name; errors tell the first one.
    :param now: Aware.
    :raises AccessDenied: Nothing is signed, there is no usable date, or the host or an
        ``x-amz-…`` header is not signed.
    :raises AuthorizationHeaderMalformed: A part is missing or wrong (400).
    :raises InvalidAccessKeyId: The key is unknown (403).
    :raises InvalidArgument: No form of authorization that S3 has, or two at once.
    :raises InvalidRequest: SigV2, or no x-amz-content-sha256.
    :raises NotImplementedYet: A presigned URL, or chunks signed with ECDSA.
    :raises RequestTimeTooSkewed: Signed more than 15 minutes from *now*.
    :raises SignatureDoesNotMatch: The signature is wrong (403).
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    credential = parse_credential(authorization(values, raw_query), regions)
    timestamp = _timestamp(values, credential, now)
    hashed = _payload_hash(values)
    _require_signed(values, credential)
    canonical = canonical_request(
        method.decode("latin-1"),
        canonical_path(raw_path),
        canonical_query(raw_query),
        [(name, values[name]) for name in credential.signed_headers],
        # As sent, since that is what was signed; the hex digits may be upper case.
        values["x-amz-content-sha256"][0].strip(),
    )
    to_sign = string_to_sign(timestamp, credential.scope, canonical)
    secret = secret_of(credential.access_key_id)
    expected = signature(
        _DUMMY_SECRET if secret is None else secret, credential.scope, to_sign
    )
    matches = hmac.compare_digest(
        expected.encode(), credential.signature.encode("latin-1")
    )
    if secret is None:
        raise InvalidAccessKeyId(fields={"AWSAccessKeyId": credential.access_key_id})
    if not matches:
        raise SignatureDoesNotMatch(
            fields={
                "AWSAccessKeyId": credential.access_key_id,
                "StringToSign": to_sign,
                "CanonicalRequest": canonical.decode("latin-1"),
            }
        )
    form = form_of(hashed)
    seed = None
    if form is not None and form.signed:
        key = signing_key(secret, credential.scope)
        seed = StreamingSeed(key, timestamp, credential.scope, expected)
    return Verified(credential.access_key_id, hashed, seed)


def payload_hash(headers: Sequence[tuple[str, str]]) -> str:
    """
    The value of x-amz-content-sha256: lower-case hex, ``UNSIGNED-PAYLOAD``, or a key
    of :data:`s3proxy.s3.framing.FORMS`.

    For requests that are let in without a signature but carry the header all the same.

    :raises InvalidArgument: It is neither.
    :raises InvalidRequest: It is absent, or sent twice.
    :raises NotImplementedYet: The body's chunks are signed with ECDSA.
    """
    return _payload_hash(
        {
            "x-amz-content-sha256": [
                value for name, value in headers if name == "x-amz-content-sha256"
            ]
        }
    )


def sha256_of(payload_hash: str) -> str | None:
    """The hash that the body as it comes must have; None where none was told."""
    if payload_hash == UNSIGNED_PAYLOAD or form_of(payload_hash) is not None:
        return None
    return payload_hash


def _timestamp(
    values: Mapping[str, list[str]], credential: Credential, now: datetime
) -> str:
    """The request's time as it is signed: x-amz-date, or else Date."""
    sent = ",".join(values.get("x-amz-date") or values.get("date") or ()).strip()
    when = parse_amz_date(sent) or parse_http_date(sent)
    if when is None:
        raise AccessDenied(
            "AWS authentication requires a valid Date or x-amz-date header."
        )
    timestamp = amz_date(when)
    if not timestamp.startswith(credential.date):
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed: the Credential's date "
            f"{credential.date} is not that of the request, {timestamp[:8]}."
        )
    if abs((now - when).total_seconds()) > MAX_SKEW_SECONDS:
        raise RequestTimeTooSkewed(
            fields={
                "RequestTime": timestamp,
                "ServerTime": rfc3339(now),
                "MaxAllowedSkewMilliseconds": str(MAX_SKEW_SECONDS * 1000),
            }
        )
    return timestamp


def _payload_hash(values: Mapping[str, list[str]]) -> str:
    sent = values.get("x-amz-content-sha256") or []
    if len(sent) != 1:
        raise InvalidRequest(
            "The header x-amz-content-sha256 must be sent, and sent once."
        )
    value = sent[0].strip()
    if value == UNSIGNED_PAYLOAD or form_of(value) is not None:
        return value
    if not _SHA256.fullmatch(value):
        raise InvalidArgument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."
        )
    return value.lower()


def _require_signed(values: Mapping[str, list[str]], credential: Credential) -> None:
    """Refuse a header that means something and that the signature does not cover."""
    signed = frozenset(credential.signed_headers)
    unsigned = sorted(
        name
        for name in values
        if name not in signed
        and name.startswith("x-amz-")
        # Its value is a line of the canonical request, so it is signed all the same.
        and name != "x-amz-content-sha256"
    )
    if "host" not in signed:
        unsigned.append("host")
    if unsigned:
        raise AccessDenied(
            "There were headers present in the request which were not signed.",
            fields={"HeadersNotSigned": ", ".join(unsigned)},
        )
    absent = [name for name in credential.signed_headers if name not in values]
    if absent:
        raise SignatureDoesNotMatch(
            f"SignedHeaders names headers that did not arrive: {', '.join(absent)}."
        )


def sign_headers(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    access_key_id: str,
    secret_access_key: str,
    region: str,
    payload_hash: str,
    now: datetime,
    service: str = "s3",
) -> dict[str, str]:
    """
    Sign a request that we send.

    Signed are ``host``, ``content-md5``, ``content-type`` and every ``x-amz-…`` of
    *headers*, and what comes back. Others (``Accept-Encoding``, ``Range``) are left
    out, since intermediaries change some of them.

    :param path: Encoded, as sent; likewise *query*, without ``?`` and maybe "".
    :param headers: What will be sent, ``host`` included; names in any case.
    :param payload_hash: The body's SHA-256 in hex, or ``UNSIGNED-PAYLOAD``.
    :param now: Aware.
    :returns: The headers to add: ``x-amz-date``, ``x-amz-content-sha256``,
        ``authorization``.
    """
    timestamp = amz_date(now)
    added = {"x-amz-date": timestamp, "x-amz-content-sha256": payload_hash}
    signed = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in ("host", "content-md5", "content-type")
        or name.lower().startswith("x-amz-")
    } | added
    names = sorted(signed)
    canonical = canonical_request(
        method,
        canonical_path(path.encode()),
        canonical_query(query.encode()),
        [(name, (signed[name],)) for name in names],
        payload_hash,
    )
    scope = f"{timestamp[:8]}/{region}/{service}/{TERMINAL}"
    to_sign = string_to_sign(timestamp, scope, canonical)
    return added | {
        "authorization": (
            f"{ALGORITHM} Credential={access_key_id}/{scope}, "
            f"SignedHeaders={';'.join(names)}, "
            f"Signature={signature(secret_access_key, scope, to_sign)}"
        )
    }
