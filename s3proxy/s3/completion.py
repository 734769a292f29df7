"""
The body of CompleteMultipartUpload: which parts, in which order, become the object.

Text of strangers, up to 10,000 parts of it: it is read as it is parsed, so that nothing
but the list is kept, whatever else the document holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from s3proxy.errors import InvalidPartOrder, MalformedXML
from s3proxy.model import CompletedPart
from s3proxy.s3 import checksums, safe_xml
from s3proxy.s3.parameters import MAX_PARTS

#: Of the document. 10,000 parts with their checksums, indented, are half of it.
MAX_BYTES = 4 * 1024**2

# Of one document; 10,000 parts have 60,000 at the most that mean something.
_MAX_ELEMENTS = 100_000
# The list's own elements are three deep.
_MAX_DEPTH = 16
_NUMBER = re.compile(r"0*[1-9]\d{0,4}", re.ASCII)
_CHECKSUMS = {f"Checksum{name.upper()}": name for name in checksums.ALGORITHMS}
_MEANT = frozenset({"PartNumber", "ETag", *_CHECKSUMS})


def parse(document: bytes) -> tuple[CompletedPart, ...]:
    """
    Read the list of parts.

    Elements may be of S3's namespace or of none; unknown ones are passed over. ETags
    come with quotes or without.

    :raises MalformedXML: It is no such document, names no part or over 10,000, or is
        larger than :data:`MAX_BYTES`.
    :raises InvalidPartOrder: The numbers do not ascend.
    """
    if len(document) > MAX_BYTES:
        raise MalformedXML()
    reader = _Reader()
    safe_xml.feed(document, reader)
    parts = tuple(reader.parts)
    if not parts:
        raise MalformedXML()
    if any(a.part_number >= b.part_number for a, b in pairwise(parts)):
        raise InvalidPartOrder()
    return parts


class _Reader:
    """
    What the parser calls.

    :ivar parts: Those that were read to their ends.
    """

    def __init__(self) -> None:
        self.parts: list[CompletedPart] = []
        self._path: list[str] = []
        self._elements = 0
        self._found: dict[str, str] = {}
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._elements += 1
        name = tag.rpartition("}")[2]
        path = self._path
        path.append(name)
        depth = len(path)
        if self._elements > _MAX_ELEMENTS or depth > _MAX_DEPTH:
            raise MalformedXML()
        if path[0] != "CompleteMultipartUpload":
            raise MalformedXML()
        if self._text is not None:
            raise MalformedXML()  # Something inside a number or an ETag.
        if depth == 2 and name == "Part":
            self._found = {}
        elif depth == 3 and path[1] == "Part" and name in _MEANT:
            self._text = []

    def data(self, text: str) -> None:
        """A piece of text."""
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        name = self._path.pop()
        if self._text is not None:
            if name in self._found:
                raise MalformedXML()
            self._found[name], self._text = "".join(self._text).strip(), None
        elif name == "Part" and len(self._path) == 1:
            if len(self.parts) == MAX_PARTS:
                raise MalformedXML()
            self.parts.append(_part(self._found))

    def close(self) -> None:
        """The document ends."""


def _part(found: Mapping[str, str]) -> CompletedPart:
    number, etag = found.get("PartNumber", ""), found.get("ETag", "").strip('"')
    if not _NUMBER.fullmatch(number) or int(number) > MAX_PARTS or not etag:
        raise MalformedXML()
    values = {}
    for name, algorithm in _CHECKSUMS.items():
        if name in found:
            value = checksums.parse_value(algorithm, found[name])
            if value is None:
                raise MalformedXML()
            values[algorithm] = value
    return CompletedPart(int(number), etag, values)
