"""Conditional requests: RFC 9110 §13, in the precedence that S3 keeps to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from s3proxy.errors import NoSuchKey, PreconditionFailed, S3Error
from s3proxy.model import WriteConditions
from s3proxy.s3.dates import parse_http_date

# One ETag: quoted (then it may hold commas), or bare. S3's ETags are strong; a weak
# mark is a proxy's doing and is dropped.
_ETAG = re.compile(r'(?:W/)?(?:"([^"]*)"|([^",\s][^,]*))\s*(?:,|$)')


@frozen
class ReadConditions:
    """
    Conditions of a GET or HEAD, as sent.

    :ivar if_match: ETags without quotes, or ``*``; empty when absent.
    :ivar if_none_match: Likewise.
    :ivar if_modified_since: Seconds since the epoch; None when absent or unparsable.
    :ivar if_unmodified_since: Likewise.
    :ivar if_range: An ETag or a date as sent; None when absent.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: str | None = None


def parse_etags(text: str | None) -> tuple[str, ...]:
    """
    Read a list of ETags: quoted, bare, weak, or ``*``.

    :returns: Without quotes; empty for None and for "".
    """
    return tuple(
        [
            match[1] if match[1] is not None else match[2].strip()
            for match in _ETAG.finditer(text or "")
        ]
    )


def parse_read_conditions(
    headers: Mapping[str, str], prefix: str = ""
) -> ReadConditions:
    """
    Collect the conditions among *headers* (lower-case names).

    :param prefix: Before each name: ``x-amz-copy-source-`` for a copy's source.
    """
    return ReadConditions(
        if_match=parse_etags(headers.get(f"{prefix}if-match")),
        if_none_match=parse_etags(headers.get(f"{prefix}if-none-match")),
        if_modified_since=_seconds(headers.get(f"{prefix}if-modified-since")),
        if_unmodified_since=_seconds(headers.get(f"{prefix}if-unmodified-since")),
        if_range=headers.get(f"{prefix}if-range"),
    )


def check_read(conditions: ReadConditions, etag: str, last_modified: datetime) -> bool:
    """
    Whether to send the object (true) or 304 Not Modified (false).

    :param etag: The object's, without quotes.
    :param last_modified: Aware; compared in whole seconds, as it is shown.
    :raises PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
    """
    modified = int(last_modified.timestamp())
    if conditions.if_match:
        if not _matches(conditions.if_match, etag):
            raise PreconditionFailed(fields={"Condition": "If-Match"})
    elif (
        conditions.if_unmodified_since is not None
        and modified > conditions.if_unmodified_since
    ):
        raise PreconditionFailed(fields={"Condition": "If-Unmodified-Since"})
    if conditions.if_none_match:
        return not _matches(conditions.if_none_match, etag)
    return (
        conditions.if_modified_since is None or modified > conditions.if_modified_since
    )


def check_copy(conditions: ReadConditions, etag: str, last_modified: datetime) -> None:
    """
    Hold a copy's source to its conditions; parameters as of :func:`check_read`.

    :raises PreconditionFailed: One does not hold: a copy knows no 304.
    """
    failed = "If-None-Match" if conditions.if_none_match else "If-Modified-Since"
    try:
        if check_read(conditions, etag, last_modified):
            return
    except PreconditionFailed as why:
        failed = why.fields["Condition"]
    raise PreconditionFailed(fields={"Condition": f"x-amz-copy-source-{failed}"})


def write_refusal(conditions: WriteConditions, key: str, *, exists: bool) -> S3Error:
    """
    What a write is told whose *conditions* do not hold.

    :param exists: Whether there is an object under *key*: If-Match asks for one, and
        S3 answers 404 where there is none.
    """
    if conditions.if_match and not exists:
        return NoSuchKey(fields={"Key": key})
    return PreconditionFailed()


def range_applies(
    conditions: ReadConditions, etag: str, last_modified: datetime
) -> bool:
    """
    Whether the Range header counts; false when If-Range names another version.

    A client that goes on with a broken download asks so, and gets the whole object
    instead of a piece that does not fit what it has.
    """
    if conditions.if_range is None:
        return True
    when = parse_http_date(conditions.if_range)
    if when is not None:
        return int(when.timestamp()) == int(last_modified.timestamp())
    return etag in parse_etags(conditions.if_range)


def _matches(wanted: tuple[str, ...], etag: str) -> bool:
    return "*" in wanted or etag in wanted


def _seconds(text: str | None) -> int | None:
    when = None if text is None else parse_http_date(text)
    return None if when is None else int(when.timestamp())
