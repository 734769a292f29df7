"""The forms of time on the wire: HTTP dates, the one of SigV4, the one in XML."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# RFC 9110 §5.6.7, in the order of its text: IMF-fixdate, RFC 850, asctime.
_HTTP_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) "
        rf"{_CLOCK} GMT",
        rf"[A-Z][a-z]+, (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {_CLOCK} GMT",
        rf"[A-Z][a-z]{{2}} (?P<month>\w{{3}}) (?P<day>[ \d]\d) {_CLOCK} "
        r"(?P<year>\d{4})",
    )
)
_AMZ_FORM = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def parse_http_date(text: str) -> datetime | None:
    """
    Read an HTTP date in any of its three forms.

    Two-digit years from 70 on are of the last century.

    :returns: None when the text is no HTTP date.
    """
    for form in _HTTP_FORMS:
        match = form.fullmatch(text.strip())
        if match is None:
            continue
        year = int(match["year"])
        if len(match["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        try:
            return datetime(
                year,
                _MONTHS.index(match["month"]) + 1,
                int(match["day"]),
                int(match["hour"]),
                int(match["minute"]),
                min(int(match["second"]), 59),  # a leap second
                tzinfo=UTC,
            )
        except ValueError:
            return None
    return None


def http_date(when: datetime) -> str:
    """
    Write an IMF-fixdate, as ``Date`` and ``Last-Modified`` have it.

    :param when: Aware; parts of a second are dropped.
    """
    when = when.astimezone(UTC)
    return (
        f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} "
        f"{when.year:04} {when.hour:02}:{when.minute:02}:{when.second:02} GMT"
    )


def parse_amz_date(text: str) -> datetime | None:
    """Read ``20130524T000000Z``; None when the text is nothing like it."""
    match = _AMZ_FORM.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def amz_date(when: datetime) -> str:
    """Write ``20130524T000000Z``, from an aware time."""
    when = when.astimezone(UTC)
    return (
        f"{when.year:04}{when.month:02}{when.day:02}"
        f"T{when.hour:02}{when.minute:02}{when.second:02}Z"
    )


def rfc3339(when: datetime) -> str:
    """Write ``2013-05-24T00:00:00.000Z``, from an aware time."""
    when = when.astimezone(UTC)
    return f"{when.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
