"""
Presigned URLs: SigV4 in the query.

The parameters that are not the signature's own and begin with ``x-amz-`` stand for
headers: SDKs move a request's headers there, since whoever uses the URL would not send
them. Checksums are the exception, as at S3: an SDK that presigns has no body, and puts
the checksum of nothing into the URL of an upload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from s3proxy.errors import (
    AccessDenied,
    AuthorizationQueryParametersError,
    ExpiresOutOfRange,
    InvalidArgument,
    S3Error,
)
from s3proxy.s3 import framing
from s3proxy.s3.authorization import MAX_SKEW_SECONDS, unsupported
from s3proxy.s3.canonical import ALGORITHM, ECDSA, UNSIGNED_PAYLOAD
from s3proxy.s3.checksums import ALGORITHMS
from s3proxy.s3.claims import (
    Claim,
    check_scope_date,
    parse_credential,
    parse_signed_headers,
)
from s3proxy.s3.dates import parse_amz_date, rfc3339

#: A week.
MAX_EXPIRES_SECONDS = 604_800

_SIGNATURE = "X-Amz-Signature"
_REQUIRED = (
    *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"),
    *("X-Amz-SignedHeaders", _SIGNATURE),
)
_HASH = "X-Amz-Content-Sha256"
_PREFIX = "x-amz-"
# The signature's own, and what S3 does not read as a header.
_NO_HEADERS = frozenset(
    {name.lower() for name in (*_REQUIRED, _HASH, "X-Amz-Security-Token")}
    | {"x-amz-sdk-checksum-algorithm"}
    | {f"x-amz-checksum-{algorithm}" for algorithm in ALGORITHMS}
)
_WHOLE = re.compile(r"-?0*(\d+)", re.ASCII)


def query_claim(
    values: Mapping[str, list[str]],
    query: Sequence[tuple[str, str]],
    regions: Sequence[str],
    now: datetime,
) -> Claim:
    """
    Read a presigned URL.

    :param values: Every header's values by lower-case name.
    :param query: Its pairs, decoded.
    :param regions: Regions that the scope may name; the error tells the first one.
    :raises AccessDenied: It is past its time, or before it (403).
    :raises AuthorizationQueryParametersError: A parameter is missing, wrong or sent
        twice (400).
    :raises ExpiresOutOfRange: X-Amz-Expires is not 1 to 604800 (403).
    :raises InvalidArgument: Something is said twice, and not the same (400).
    :raises InvalidRequest: SigV4A (400).
    """
    sent = _parameters(query)
    credential = parse_credential(sent["X-Amz-Credential"], regions, _malformed)
    signed_headers = parse_signed_headers(sent["X-Amz-SignedHeaders"], _malformed)
    timestamp = sent["X-Amz-Date"]
    when = parse_amz_date(timestamp)
    if when is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    check_scope_date(credential, timestamp, _malformed)
    _check_time(when, _expires(sent["X-Amz-Expires"]), now)
    signed_hash, told = _hashes(
        sent.get(_HASH), values.get(framing.HASH, ()), signed_headers
    )
    return Claim(
        credential,
        signed_headers,
        sent[_SIGNATURE],
        timestamp,
        signed_hash,
        [(name, value) for name, value in query if name != _SIGNATURE],
        told,
        headers_in(query, values),
    )


def headers_in(
    query: Sequence[tuple[str, str]], values: Mapping[str, list[str]]
) -> tuple[tuple[str, str], ...]:
    """
    The headers that a presigned URL's parameters stand for.

    :returns: Lower-case names, values as headers have them: their UTF-8, latin-1
        decoded. Those that are among *values* too are left out.
    :raises InvalidArgument: A header of the same name has another value.
    """
    found = []
    for name, value in query:
        header = name.lower()
        if not header.startswith(_PREFIX) or header in _NO_HEADERS:
            continue
        text = value.encode().decode("latin-1")
        if header not in values:
            found.append((header, text))
        elif [each.strip() for each in values[header]] != [text.strip()]:
            raise InvalidArgument(
                f"'{header}' is a parameter of the URL, and a header with another "
                "value.",
                fields={"ArgumentName": header},
            )
    return tuple(found)


def _parameters(query: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """The ``X-Amz-…`` parameters by name, the required ones among them."""
    sent: dict[str, str] = {}
    seen = set()
    for name, value in query:
        if name.lower().startswith(_PREFIX):
            if name.lower() in seen:
                raise AuthorizationQueryParametersError(
                    f"The parameter '{name}' is sent more than once."
                )
            seen.add(name.lower())
            sent[name] = value
    algorithm = sent.get("X-Amz-Algorithm", ALGORITHM)
    if algorithm == ECDSA:
        raise unsupported(f"signature version 4A, {ECDSA}")
    missing = [name for name in _REQUIRED if name not in sent]
    if missing:
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the "
            f"{', '.join(_REQUIRED)} parameters: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
    if algorithm != ALGORITHM:
        raise AuthorizationQueryParametersError(
            f'X-Amz-Algorithm only supports "{ALGORITHM}"'
        )
    return sent


def _expires(text: str) -> int:
    """Read X-Amz-Expires, in seconds."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    seconds = int(text) if len(match[1]) < 10 else -1
    if not 1 <= seconds <= MAX_EXPIRES_SECONDS:
        raise ExpiresOutOfRange(
            f"X-Amz-Expires must be from 1 to {MAX_EXPIRES_SECONDS} seconds (a week): "
            "sign a new URL."
        )
    return seconds


def _check_time(when: datetime, expires_seconds: int, now: datetime) -> None:
    """Hold the URL to its time; the signer's clock may be ahead, as in a header."""
    until = when + timedelta(seconds=expires_seconds)
    if now > until:
        raise AccessDenied(
            "Request has expired",
            fields={
                "X-Amz-Expires": str(expires_seconds),
                "Expires": rfc3339(until),
                "ServerTime": rfc3339(now),
            },
        )
    if (when - now).total_seconds() > MAX_SKEW_SECONDS:
        raise AccessDenied(
            "Request is not valid yet",
            fields={"NotBefore": rfc3339(when), "ServerTime": rfc3339(now)},
        )


def _hashes(
    parameter: str | None, header: Sequence[str], signed_headers: Sequence[str]
) -> tuple[str, str | None]:
    """
    What was signed of the body, and the hash that it must have beside.

    A header that was not signed may say more of the body than the signature does,
    never less and never another thing.
    """
    if parameter is None and header and framing.HASH in signed_headers:
        framing.payload_hash(header)
        return header[0].strip(), None
    signed = UNSIGNED_PAYLOAD if parameter is None else parameter.strip()
    read = framing.payload_hash((signed,))
    told = framing.payload_hash(header) if header else None
    # Chunks are decoded by the header, so it must be there.
    if told == read or (told is None and framing.form_of(read) is None):
        return signed, None
    if read == UNSIGNED_PAYLOAD and told and framing.sha256_of(told) is not None:
        return signed, told
    raise InvalidArgument(
        f"The URL was signed for the {framing.HASH} '{signed}', and the header is "
        f"{'missing' if told is None else repr(told)}.",
        fields={"ArgumentName": framing.HASH},
    )


def _malformed(what: str, fields: dict[str, str]) -> S3Error:
    return AuthorizationQueryParametersError(
        f"Error parsing the query-string authentication parameters; {what}",
        fields=fields,
    )
