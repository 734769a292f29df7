"""What a request says of its own signature, whichever form says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import frozen

from s3proxy.errors import S3Error
from s3proxy.s3.canonical import TERMINAL

_SERVICE = "s3"
_SCOPE_DATE = re.compile(r"\d{8}", re.ASCII)

#: Makes the error of a form from what is wrong, and more elements for the document.
Malformed = Callable[[str, dict[str, str]], S3Error]


@frozen
class Credential:
    """A key, and what its signing key is narrowed to."""

    access_key_id: str
    date: str
    region: str

    @property
    def scope(self) -> str:
        """The credential scope, as it enters the string to sign."""
        return f"{self.date}/{self.region}/{_SERVICE}/{TERMINAL}"


@frozen
class Claim:
    """
    What is to be verified.

    :ivar signed_headers: Lower-case, sorted, no repeats.
    :ivar signature: As sent.
    :ivar timestamp: As it was signed: ``20130524T000000Z``.
    :ivar payload_hash: As it was signed: the canonical request's last line.
    :ivar query: The pairs of the query that are signed, decoded.
    :ivar told_sha256: What the body must have where the signature leaves it open, in
        lower-case hex.
    :ivar headers: Parameters that stand for headers, as headers.
    """

    credential: Credential
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    payload_hash: str
    query: Sequence[tuple[str, str]]
    told_sha256: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def parse_credential(
    text: str, regions: Sequence[str], malformed: Malformed
) -> Credential:
    """
    Take ``key/date/region/s3/aws4_request`` apart.

    :param regions: Regions that the scope may name; the error tells the first one.
    :raises S3Error: What *malformed* makes.
    """
    parts = text.split("/")
    if len(parts) != 5 or not parts[0]:
        raise malformed(
            "the Credential is mal-formed; expecting "
            f"<access key>/YYYYMMDD/REGION/{_SERVICE}/{TERMINAL}.",
            {},
        )
    access_key_id, date, region, service, terminal = parts
    if service != _SERVICE or terminal != TERMINAL or not _SCOPE_DATE.fullmatch(date):
        raise malformed(f"the scope must be YYYYMMDD/REGION/{_SERVICE}/{TERMINAL}.", {})
    if region not in regions:
        raise malformed(
            f"the region '{region}' is wrong; expecting '{regions[0]}'",
            {"Region": regions[0]},
        )
    return Credential(access_key_id, date, region)


def parse_signed_headers(text: str, malformed: Malformed) -> tuple[str, ...]:
    """
    Take ``host;x-amz-date`` apart.

    :raises S3Error: What *malformed* makes.
    """
    names = text.split(";")
    if names != sorted(set(names)) or any(n != n.lower() or not n for n in names):
        raise malformed(
            "SignedHeaders must be lower-case names, sorted, without repeats.", {}
        )
    return tuple(names)


def check_scope_date(
    credential: Credential, timestamp: str, malformed: Malformed
) -> None:
    """
    Hold the scope to the day of the request.

    :raises S3Error: What *malformed* makes.
    """
    if not timestamp.startswith(credential.date):
        raise malformed(
            f"the Credential's date {credential.date} is not that of the request, "
            f"{timestamp[:8]}.",
            {},
        )
