"""How the XML of answers is written: by hand, since documents are small and fixed."""

from __future__ import annotations

import re
from collections.abc import Callable

from s3proxy.s3.canonical import uri_encode

#: Who owns the configuration's buckets: whoever runs the server.
OWNER = "s3proxy"

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

_SPECIAL = re.compile("[&<>\"'\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


def element(tag: str, text: str) -> str:
    """An element that holds text."""
    return f"<{tag}>{escape(text)}</{tag}>"


def person(identifier: str) -> str:
    """Somebody, inside of ``Owner`` and its like: the name is the id."""
    return element("ID", identifier) + element("DisplayName", identifier)


def escape(text: str) -> str:
    """
    Text for XML.

    What XML 1.0 cannot carry is written as character references, as S3 does: strict
    parsers refuse them, and clients that care ask for ``encoding-type=url``.
    """
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(_reference, text)


def namer(encoding_type: str | None) -> Callable[[str], str]:
    """How keys and their like are written: percent-encoded (but for ``/``), or XML."""
    if encoding_type == "url":
        return lambda text: uri_encode(text, slash=False)
    return escape


def document(root: str) -> bytes:
    """A whole document."""
    return (DECLARATION + root).encode()


def _reference(match: re.Match[str]) -> str:
    return _NAMED.get(match[0]) or f"&#x{ord(match[0]):x};"
