"""
The raw request target, read once and by hand.

Routing and signature both start from what this module decodes, so the bytes that are
verified are the bytes that are routed. Nothing is normalised: ``//``, ``.`` and ``..``
are parts of keys like any other.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from attrs import frozen

from s3proxy.errors import InvalidURI, KeyTooLongError

MAX_KEY_BYTES = 1024

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@frozen
class Target:
    """
    A request target, decoded.

    :ivar bucket: "" for the service itself (``/``).
    :ivar key: "" for the bucket itself (``/{bucket}`` and ``/{bucket}/``).
    :ivar query: Names and values in the order sent; a name without ``=`` has "".
    """

    bucket: str
    key: str
    query: tuple[tuple[str, str], ...]


def split(raw_target: bytes) -> tuple[bytes, bytes]:
    """
    Cut a request target into its raw path and raw query (without the ``?``).

    :raises InvalidURI: It is in absolute, authority or asterisk form.
    """
    if not raw_target.startswith(b"/"):
        raise InvalidURI("The request target must be a path that begins with '/'.")
    raw_path, _, raw_query = raw_target.partition(b"?")
    return raw_path, raw_query


def decode_path(raw_path: bytes) -> str:
    """
    Percent-decode a path once; ``+`` stays ``+``.

    :raises InvalidURI: A broken escape, a NUL, or bytes that are not UTF-8.
    """
    return _decode(raw_path)


def decode_query(raw_query: bytes) -> tuple[tuple[str, str], ...]:
    """
    Decode a query into pairs: only ``&`` separates, and ``+`` is a space.

    :raises InvalidURI: A broken escape, a NUL, or bytes that are not UTF-8.
    """
    pairs = []
    for pair in raw_query.replace(b"+", b" ").split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            pairs.append((_decode(name), _decode(value)))
    return tuple(pairs)


def parse(raw_target: bytes, bucket: str = "") -> Target:
    """
    Decode a request target.

    The path is decoded before its first segment is taken as the bucket: an escaped
    ``/`` is a ``/`` for the signature, so it must be one for the routing too.

    :param bucket: What the Host header names; "" where the path's first segment does.
    :raises InvalidURI: It cannot be parsed, or its bucket is empty.
    :raises KeyTooLongError: The key has over 1024 bytes of UTF-8.
    """
    raw_path, raw_query = split(raw_target)
    path = decode_path(raw_path)
    if bucket:
        key = path[1:]
    else:
        bucket, _, key = path[1:].partition("/")
    if not bucket and path != "/":
        raise InvalidURI("The path names no bucket: it begins with '//'.")
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise KeyTooLongError(
            fields={"Size": str(size), "MaxSizeAllowed": str(MAX_KEY_BYTES)}
        )
    return Target(bucket, key, decode_query(raw_query))


def _decode(raw: bytes) -> str:
    if b"%" in raw:
        if _BROKEN_ESCAPE.search(raw):
            raise InvalidURI("The URI has a '%' that two hex digits do not follow.")
        raw = unquote_to_bytes(raw)
    if b"\0" in raw:
        raise InvalidURI("The URI has a NUL character.")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidURI("The URI is not UTF-8.") from None
