"""The Authorization header of SigV4, taken apart; every other form refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from s3proxy.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    InvalidArgument,
    InvalidRequest,
    NotImplementedYet,
)
from s3proxy.s3.canonical import ALGORITHM, TERMINAL
from s3proxy.s3.target import decode_query

_SERVICE = "s3"
_SCOPE_DATE = re.compile(r"\d{8}", re.ASCII)
_PRESIGNED = frozenset({"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"})
_QUERY_V2 = frozenset({"AWSAccessKeyId", "Signature"})


@frozen
class Credential:
    """
    The Authorization header, taken apart.

    :ivar scope: ``date/region/service/aws4_request``.
    :ivar signed_headers: Lower-case, sorted, no repeats.
    """

    access_key_id: str
    date: str
    region: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope, as it enters the string to sign."""
        return f"{self.date}/{self.region}/{_SERVICE}/{TERMINAL}"


def authorization(values: Mapping[str, list[str]], raw_query: bytes) -> str:
    """
    Take the one Authorization header, refusing every other form by name.

    :param values: Every header's values by lower-case name.
    :returns: What follows ``AWS4-HMAC-SHA256`` and its space.
    :raises AccessDenied: The request is not signed at all.
    :raises InvalidArgument: No form of authorization that S3 has, or two at once.
    :raises InvalidRequest: SigV2.
    :raises NotImplementedYet: A presigned URL.
    """
    sent = [value.strip() for value in values.get("authorization", ())]
    names = {name for name, _ in decode_query(raw_query)}
    ours = any(value.startswith(("AWS4-", "AWS ")) for value in sent)
    if not names.isdisjoint(_PRESIGNED) or names >= _QUERY_V2:
        if ours:
            raise InvalidArgument(
                "Only one auth mechanism allowed: the Authorization header or the "
                "query string, not both."
            )
        if names.isdisjoint(_PRESIGNED):
            raise _sigv2()
        raise NotImplementedYet(
            "Presigned URLs are not served here yet: sign with an Authorization header."
        )
    if not sent:
        raise AccessDenied("The request is not signed.")
    if len(sent) > 1:
        raise InvalidArgument("There is more than one Authorization header.")
    kind, space, rest = sent[0].partition(" ")
    if not space:
        raise InvalidArgument("Authorization header is invalid: it has no space.")
    if kind == "AWS":
        raise _sigv2()
    if kind != ALGORITHM:
        raise InvalidArgument(f"Unsupported Authorization type: want {ALGORITHM}.")
    return rest


def _sigv2() -> InvalidRequest:
    return InvalidRequest(
        "The authorization mechanism that you have provided (signature version 2) is "
        f"not supported. Please use {ALGORITHM}."
    )


def parse_credential(text: str, regions: Sequence[str]) -> Credential:
    """
    Take ``Credential=…, SignedHeaders=…, Signature=…`` apart.

    :param regions: Regions that the scope may name; the error tells the first one.
    :raises AuthorizationHeaderMalformed: A part is missing or wrong.
    """
    parts: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in parts:
            raise AuthorizationHeaderMalformed(
                "The authorization header is malformed: want Credential=…, "
                "SignedHeaders=… and Signature=…, once each."
            )
        parts[name] = value
    if parts.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed: it must have Credential, "
            "SignedHeaders and Signature, and nothing else."
        )
    scope = parts["Credential"].split("/")
    if len(scope) != 5 or not scope[0]:
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed: the Credential is mal-formed; "
            "expecting <access key>/YYYYMMDD/REGION/SERVICE/aws4_request."
        )
    access_key_id, date, region, service, terminal = scope
    if service != _SERVICE or terminal != TERMINAL or not _SCOPE_DATE.fullmatch(date):
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed: the scope must be "
            f"YYYYMMDD/REGION/{_SERVICE}/{TERMINAL}."
        )
    if region not in regions:
        raise AuthorizationHeaderMalformed(
            f"The authorization header is malformed; the region '{region}' is wrong; "
            f"expecting '{regions[0]}'",
            fields={"Region": regions[0]},
        )
    signed = parts["SignedHeaders"].split(";")
    if signed != sorted(set(signed)) or any(n != n.lower() or not n for n in signed):
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed: SignedHeaders must be lower-case "
            "names, sorted, without repeats."
        )
    return Credential(access_key_id, date, region, tuple(signed), parts["Signature"])
