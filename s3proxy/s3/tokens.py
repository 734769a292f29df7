"""
Continuation tokens: where a listing goes on, opaque to clients.

A token holds its place and nothing else, so it never expires and any process can serve
the next page. The check catches damage and guesses; it guards nothing, since a client
may ask for any place with start-after anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from s3proxy.errors import InvalidArgument

_VERSION = b"\x01"
_CHECK_BYTES = 4


def encode(after: str) -> str:
    """
    Make a token.

    :param after: The last key or common prefix of the page before.
    """
    place = _VERSION + after.encode()
    return base64.urlsafe_b64encode(_check(place) + place).rstrip(b"=").decode()


def decode(token: str) -> str:
    """
    Read a token back.

    :raises InvalidArgument: It is none of ours.
    """
    try:
        raw = base64.b64decode(
            token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True
        )
        check, place = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _check(place) and place.startswith(_VERSION):
            after = place.removeprefix(_VERSION).decode()
            if "\0" not in after and encode(after) == token:
                return after
    except (UnicodeError, binascii.Error):
        pass
    raise InvalidArgument(
        "The continuation token provided is incorrect.",
        fields={"ArgumentName": "continuation-token"},
    )


def _check(place: bytes) -> bytes:
    return hashlib.sha256(place).digest()[:_CHECK_BYTES]
