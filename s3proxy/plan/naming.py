"""The names of copies on backends (design: readable, unique, digestible)."""

from __future__ import annotations

import re

_OURS = re.compile(
    r"(?:~/|(?P<key>.+)~)(?P<ulid>[0-7][0-9A-HJKMNP-TV-Z]{25})"
    r"(?:\.[0-9]{5}|\.manifest)?",
    re.DOTALL,
)
_INDIGESTIBLE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


def is_opaque(key: str) -> bool:
    """
    Whether *key* is stored under ``~/<ULID>``, since some backend could choke on it.

    Those are keys over 900 bytes, with a path segment over 200 bytes, with control
    characters or a backslash (SeaweedFS lists it as another key), with an empty, ``.``
    or ``..`` segment (a leading ``/`` among them).
    """
    if len(key.encode()) > 900 or _INDIGESTIBLE.search(key):
        return True
    return any(
        segment in ("", ".", "..") or len(segment.encode()) > 200
        for segment in key.split("/")
    )


def looks_ours(backend_key: str) -> bool:
    """
    Whether a backend's key ends in our suffix.

    Only a HEAD that shows our installation id makes it ours: anybody may spell so.
    """
    return _OURS.fullmatch(backend_key) is not None


def parse_name(backend_key: str) -> tuple[str | None, str] | None:
    """
    The object's key, None where the name does not show it, and the copy's ULID.

    None for what does not look ours.
    """
    match = _OURS.fullmatch(backend_key)
    return None if match is None else (match["key"], match["ulid"])
