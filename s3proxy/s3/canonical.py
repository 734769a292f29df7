"""What AWS Signature Version 4 signs: the canonical form, and the signature of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import quote

from s3proxy.s3.target import decode_path, decode_query

ALGORITHM = "AWS4-HMAC-SHA256"
#: Of version 4A, which is not served.
ECDSA = "AWS4-ECDSA-P256-SHA256"
TERMINAL = "aws4_request"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
#: Signed with for keys that do not exist, so that they cost the same time.
DUMMY_SECRET = "no such access key has this secret"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def uri_encode(text: str | bytes, *, slash: bool) -> str:
    """
    Percent-encode by the AWS rule: all but ``A-Z a-z 0-9 - . _ ~``, in upper case.

    :param slash: Whether ``/`` is encoded too: false for a key in a path, true for a
        query's names and values.
    """
    return quote(text, safe="" if slash else "/")


def canonical_path(raw_path: bytes) -> str:
    """
    The path as S3 signs it: decoded once, encoded again, nothing normalised.

    Clients differ in which characters they escape; this form does not.

    :raises InvalidURI: The path cannot be decoded.
    """
    return uri_encode(decode_path(raw_path), slash=False)


def canonical_query(raw_query: bytes) -> str:
    """
    The query as S3 signs it: every pair decoded and encoded again, then sorted.

    :raises InvalidURI: The query cannot be decoded.
    """
    return canonical_pairs(decode_query(raw_query))


def canonical_pairs(query: Sequence[tuple[str, str]]) -> str:
    """The pairs of a query, decoded, as S3 signs them."""
    pairs = sorted(
        [
            (uri_encode(name, slash=True), uri_encode(value, slash=True))
            for name, value in query
        ]
    )
    return "&".join([f"{name}={value}" for name, value in pairs])


def canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Sequence[tuple[str, Iterable[str]]],
    payload_hash: str,
) -> bytes:
    """
    Put a canonical request together.

    :param path: In canonical form, as is *query*.
    :param headers: The signed ones: lower-case names, sorted, each with its values as
        sent (latin-1 decoded). Ends are trimmed, runs of white space folded, repeats
        joined by commas.
    :param payload_hash: The value of x-amz-content-sha256.
    """
    lines = [method.encode("latin-1"), path.encode(), query.encode()]
    for name, values in headers:
        folded = [b" ".join(value.encode("latin-1").split()) for value in values]
        lines.append(name.encode("latin-1") + b":" + b",".join(folded))
    lines.append(b"")
    lines.append(";".join([name for name, _ in headers]).encode("latin-1"))
    lines.append(payload_hash.encode("latin-1"))
    return b"\n".join(lines)


def string_to_sign(timestamp: str, scope: str, canonical: bytes) -> str:
    """
    What the signature signs.

    :param timestamp: As in x-amz-date.
    :param scope: ``date/region/service/aws4_request``.
    """
    digest = hashlib.sha256(canonical).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def signature(secret_access_key: str, scope: str, to_sign: str) -> str:
    """
    Sign; 64 lower-case hex digits.

    :param scope: ``date/region/service/aws4_request``.
    """
    key = signing_key(secret_access_key, scope)
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


# Bounded: secrets are ours, and dates and regions are checked before they come here.
@lru_cache(maxsize=128)
def signing_key(secret_access_key: str, scope: str) -> bytes:
    """The key that signs under a scope."""
    key = f"AWS4{secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
