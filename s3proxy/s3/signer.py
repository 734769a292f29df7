"""The signer of our requests: AWS Signature Version 4 in the Authorization header."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from s3proxy.s3.canonical import (
    ALGORITHM,
    TERMINAL,
    canonical_path,
    canonical_query,
    canonical_request,
    signature,
    string_to_sign,
)
from s3proxy.s3.dates import amz_date


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
