"""
AWS Signature Version 4: the verifier of clients' requests, for both of its forms.

There is one verifier, and a request comes through it once. SigV2 and ECDSA are refused
by name: a form that is not verified is never let through.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from attrs import frozen

from s3proxy.errors import AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch
from s3proxy.s3 import framing
from s3proxy.s3.authorization import (
    Form,
    form_of,
    header_claim,
    is_presigned,
    is_sigv2,
)
from s3proxy.s3.canonical import (
    DUMMY_SECRET,
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    canonical_pairs,
    canonical_path,
    canonical_request,
    signature,
    signing_key,
    string_to_sign,
    uri_encode,
)
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.claims import Claim
from s3proxy.s3.framing import sha256_of
from s3proxy.s3.presigned import query_claim
from s3proxy.s3.signer import sign_headers
from s3proxy.s3.target import decode_query

__all__ = [
    "EMPTY_SHA256",
    "UNSIGNED_PAYLOAD",
    "Verified",
    "is_signed",
    "payload_hash",
    "sha256_of",
    "sign_headers",
    "uri_encode",
    "verify",
]


@frozen
class Verified:
    """
    Who signed a request, and what they signed of its body.

    :ivar payload_hash: See :func:`payload_hash`.
    :ivar seed: Where the body's chunks are signed: what the first signature builds on.
    :ivar told_sha256: What the body must have where its hash was not signed.
    :ivar headers: Those that a presigned URL's parameters stand for.
    """

    access_key_id: str
    payload_hash: str
    seed: StreamingSeed | None = None
    told_sha256: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str | None:
        """The hash that the body must have; None where neither signed nor told."""
        return sha256_of(self.payload_hash) or self.told_sha256

    @property
    def payload_signed(self) -> bool:
        """Whether nobody but the signer can have made the body."""
        return sha256_of(self.payload_hash) is not None or self.seed is not None


def is_signed(headers: Sequence[tuple[str, str]], raw_query: bytes) -> bool:
    """
    Whether a request shows a signature of any kind, right or wrong.

    :param headers: Lower-case names, latin-1 decoded values, in wire order.
    """
    if any(name == "authorization" for name, _ in headers):
        return True
    query = decode_query(raw_query) if raw_query else ()
    return is_presigned(query) or is_sigv2((), query)


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
    Verify a request's signature, in its Authorization header or its query.

    The body's hash, or the signatures of its chunks, are for the caller to check.

    :param raw_path: As sent, up to the first ``?``; *raw_query* is what follows it.
    :param headers: Lower-case names, latin-1 decoded values, in wire order.
    :param secret_of: The secret of an access key, or None for an unknown one.
    :param regions: Regions that a scope may name; errors tell the first one.
    :param now: Aware.
    :raises AccessDenied: Nothing is signed, there is no usable date, a presigned URL
        is past its time or before it, or the host or an ``x-amz-…`` header is not
        signed (403).
    :raises AuthorizationHeaderMalformed: A part is missing or wrong (400); of a
        presigned URL it is AuthorizationQueryParametersError.
    :raises InvalidAccessKeyId: The key is unknown (403).
    :raises InvalidArgument: No form of authorization that S3 has, or two at once.
    :raises InvalidRequest: SigV2 or SigV4A, or no x-amz-content-sha256.
    :raises NotImplementedYet: Chunks signed with ECDSA.
    :raises RequestTimeTooSkewed: Signed more than 15 minutes from *now*.
    :raises SignatureDoesNotMatch: The signature is wrong (403).
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    query = decode_query(raw_query) if raw_query else ()
    sent = [value.strip() for value in values.get("authorization", ())]
    in_query = form_of(sent, query) is Form.QUERY
    claim = (query_claim if in_query else header_claim)(values, query, regions, now)
    _require_signed(values, claim)
    canonical = canonical_request(
        method.decode("latin-1"),
        canonical_path(raw_path),
        canonical_pairs(claim.query),
        [(name, values[name]) for name in claim.signed_headers],
        claim.payload_hash,
    )
    secret, computed = _check(claim, canonical, secret_of)
    hashed = framing.payload_hash((claim.payload_hash,))
    form = framing.form_of(hashed)
    seed = None
    if form is not None and form.signed:
        scope = claim.credential.scope
        key = signing_key(secret, scope)
        seed = StreamingSeed(key, claim.timestamp, scope, computed)
    return Verified(
        claim.credential.access_key_id, hashed, seed, claim.told_sha256, claim.headers
    )


def payload_hash(headers: Sequence[tuple[str, str]]) -> str:
    """
    The value of x-amz-content-sha256: lower-case hex, ``UNSIGNED-PAYLOAD``, or a key
    of :data:`s3proxy.s3.framing.FORMS`.

    For requests that are let in without a signature but carry the header all the same.

    :raises InvalidArgument: It is neither.
    :raises InvalidRequest: It is absent, or sent twice.
    :raises NotImplementedYet: The body's chunks are signed with ECDSA.
    """
    return framing.payload_hash([v for name, v in headers if name == framing.HASH])


def _check(
    claim: Claim, canonical: bytes, secret_of: Callable[[str], str | None]
) -> tuple[str, str]:
    """
    Compare the signature with the one that the key's holder would make.

    :returns: The key's secret, and the signature.
    """
    scope = claim.credential.scope
    access_key_id = claim.credential.access_key_id
    to_sign = string_to_sign(claim.timestamp, scope, canonical)
    secret = secret_of(access_key_id)
    computed = signature(DUMMY_SECRET if secret is None else secret, scope, to_sign)
    matches = hmac.compare_digest(computed.encode(), claim.signature.encode())
    if secret is None:
        raise InvalidAccessKeyId(fields={"AWSAccessKeyId": access_key_id})
    if not matches:
        raise SignatureDoesNotMatch(
            fields={
                "AWSAccessKeyId": access_key_id,
                "StringToSign": to_sign,
                "CanonicalRequest": canonical.decode("latin-1"),
            }
        )
    return secret, computed


def _require_signed(values: Mapping[str, list[str]], claim: Claim) -> None:
    """Refuse a header that means something and that the signature does not cover."""
    signed = frozenset(claim.signed_headers)
    unsigned = sorted(
        name
        for name in values
        if name not in signed
        and name.startswith("x-amz-")
        # Its value is a line of the canonical request, or says more than that line.
        and name != framing.HASH
    )
    if "host" not in signed:
        unsigned.append("host")
    if unsigned:
        raise AccessDenied(
            "There were headers present in the request which were not signed.",
            fields={"HeadersNotSigned": ", ".join(unsigned)},
        )
    absent = [name for name in claim.signed_headers if name not in values]
    if absent:
        raise SignatureDoesNotMatch(
            f"SignedHeaders names headers that did not arrive: {', '.join(absent)}."
        )
