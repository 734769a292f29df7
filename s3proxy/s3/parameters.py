"""Readers of single headers and query parameters, each with S3's limits and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from s3proxy.errors import (
    EntityTooLarge,
    InvalidArgument,
    MetadataTooLarge,
    MissingContentLength,
    NoSuchVersion,
)

MAX_BUCKETS = 10_000
MAX_KEYS = 1000
MAX_PARTS = 10_000
MAX_METADATA_BYTES = 2048
#: The id of the only version that an object has.
NULL_VERSION = "null"

# Kept with the object and given back; Content-Type has a field of its own.
_KEPT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
_META = "x-amz-meta-"
# Parameter to the header that it overrides.
OVERRIDES = {
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-content-language": "content-language",
    "response-content-type": "content-type",
    "response-expires": "expires",
}
_DIGITS = re.compile(r"\d+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# A token of RFC 9110 §5.6.2, in lower case.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")


def fold(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """
    Join the values of repeated headers with commas.

    :raises InvalidArgument: A name is no token, or a value has control characters
        (a tab is none): they could be neither stored nor given back.
    """
    folded: dict[str, str] = {}
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise InvalidArgument("A header's name has characters that it may not.")
        if _CONTROL_BUT_TAB.search(value):
            raise bad_argument(name, f"The header '{name}' has control characters.")
        folded[name] = f"{folded[name]},{value}" if name in folded else value
    return folded


def single(pairs: Sequence[tuple[str, str]], known: frozenset[str]) -> dict[str, str]:
    """
    The query's pairs by name.

    :param known: Names that mean something here, and so may not be sent twice.
    :raises InvalidArgument: One was.
    """
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query and name in known:
            raise bad_argument(name, f"The parameter '{name}' is sent more than once.")
        query[name] = value
    return query


def limit(query: Mapping[str, str], name: str, most: int = MAX_KEYS) -> int:
    """
    Read the size of a page (``max-keys`` …); over *most* is *most*, absent too.

    :raises InvalidArgument: It is no whole number, or negative.
    """
    return min(_whole(query.get(name, str(most)), name), most)


def part_number(text: str) -> int:
    """
    Read ``partNumber``.

    :raises InvalidArgument: It is not 1 to 10000.
    """
    number = _whole(text, "partNumber") if _DIGITS.fullmatch(text) else 0
    if not 1 <= number <= MAX_PARTS:
        raise bad_argument(
            "partNumber",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive.",
        )
    return number


def part_number_marker(
    query: Mapping[str, str], name: str = "part-number-marker"
) -> int:
    """
    Read ``part-number-marker``; 0 when absent, and never past the last part there is.

    :raises InvalidArgument: It is no whole number, or negative.
    """
    return min(_whole(query.get(name, "0"), name), MAX_PARTS)


def object_size(headers: Mapping[str, str]) -> int | None:
    """
    Read ``x-amz-mp-object-size``, in bytes; None when absent.

    :raises InvalidArgument: It is no whole number.
    """
    name = "x-amz-mp-object-size"
    return _whole(headers[name], name) if name in headers else None


def encoding_type(text: str | None) -> str | None:
    """
    Read ``encoding-type``.

    :raises InvalidArgument: It is not "url".
    """
    if text is not None and text != "url":
        raise bad_argument("encoding-type", "Invalid Encoding Method: want 'url'.")
    return text


def version_id(query: Mapping[str, str]) -> str | None:
    """
    Read ``versionId``; None when absent.

    :raises InvalidArgument: It is empty.
    :raises NoSuchVersion: It is another than ``null``.
    """
    name = "versionId"
    if name not in query:
        return None
    if not query[name]:
        raise bad_argument(name, "Version id cannot be the empty string.")
    if query[name] != NULL_VERSION:
        raise NoSuchVersion(fields={"VersionId": query[name]})
    return NULL_VERSION


def directive(headers: Mapping[str, str], name: str) -> bool:
    """
    Read a directive of a copy: false for COPY, or when absent, true for REPLACE.

    :raises InvalidArgument: It is neither.
    """
    value = headers.get(name, "COPY").strip().upper()
    if value not in ("COPY", "REPLACE"):
        raise bad_argument(name, f"Unknown {name}: want COPY or REPLACE.")
    return value == "REPLACE"


def overrides(query: Mapping[str, str]) -> dict[str, str]:
    """
    Read the ``response-*`` parameters.

    :returns: Header name (lower-case) to value: its UTF-8, latin-1 decoded, as header
        values are everywhere.
    :raises InvalidArgument: A value could inject a header: it has control characters.
    """
    values = {}
    for name, header in OVERRIDES.items():
        if name in query:
            if _CONTROL.search(query[name]):
                raise bad_argument(name, f"'{name}' has control characters.")
            values[header] = query[name].encode().decode("latin-1")
    return values


def content_length(headers: Mapping[str, str]) -> int:
    """
    Read the length of an upload, in bytes.

    :raises MissingContentLength: There is none, or the body comes chunked.
    :raises EntityTooLarge: No object could be so large.
    :raises InvalidArgument: It is no whole number.
    """
    text = headers.get("content-length")
    if text is None or "transfer-encoding" in headers:
        raise MissingContentLength()
    if not _DIGITS.fullmatch(text):
        raise bad_argument("Content-Length", "Content-Length is not a whole number.")
    if len(text.lstrip("0")) > 18:
        raise EntityTooLarge(fields={"ProposedSize": text[:100]})
    return int(text.lstrip("0") or "0")


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """
    The standard headers to keep with an object; empty ones are none.

    ``aws-chunked`` tells of the request, not of the object.
    """
    kept = {name: headers[name] for name in _KEPT if headers.get(name)}
    codings = kept.pop("content-encoding", "")
    if is_aws_chunked(codings):
        rest = [each for each in codings.split(",") if not is_aws_chunked(each)]
        codings = ",".join(rest).strip()
    return kept | {"content-encoding": codings} if codings else kept


def is_aws_chunked(codings: str) -> bool:
    """Whether ``aws-chunked`` is among the codings of a Content-Encoding."""
    return any(coding.strip().lower() == "aws-chunked" for coding in codings.split(","))


def user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """
    The ``x-amz-meta-`` headers, without that prefix.

    :raises MetadataTooLarge: Names and values sum up to over 2048 bytes.
    """
    metadata = {
        name.removeprefix(_META): value
        for name, value in headers.items()
        if name.startswith(_META)
    }
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise MetadataTooLarge(
            fields={"Size": str(size), "MaxSizeAllowed": str(MAX_METADATA_BYTES)}
        )
    return metadata


def _whole(text: str, name: str) -> int:
    """Read a whole number of any length; what nothing reaches is cut."""
    if not _DIGITS.fullmatch(text):
        raise bad_argument(name, f"Provided {name} not an integer or negative.")
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) < 19 else 10**18


def bad_argument(name: str, message: str) -> InvalidArgument:
    """An InvalidArgument that names its argument."""
    return InvalidArgument(message, fields={"ArgumentName": name})
