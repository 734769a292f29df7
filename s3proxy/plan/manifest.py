"""
The manifest copy: an object as a JSON document, from which a lost ledger is rebuilt.

It names the parts, not where their copies are: a copy may move, and each backend object
tells its own part id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from s3proxy.model import ObjectInfo

#: Raised by one when a reader of today could not make sense of what is written.
VERSION = 1


class ManifestError(ValueError):
    """This is no manifest, or not one of a version that is known; the text says why."""


@frozen
class ManifestPart:
    """A run of the object's bytes; a line of ``object_parts``."""

    part_number: int
    part_id: str
    offset_bytes: int
    size_bytes: int
    md5: str


@frozen
class Manifest:
    """
    Everything that the ledger knows of an object.

    :ivar parts: In order; together they are the object's bytes.
    """

    installation_id: str
    info: ObjectInfo
    parts: tuple[ManifestPart, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the parts follow one another and add up to the object."""
        offset, number = 0, 0
        for part in self.parts:
            if part.part_number <= number or part.offset_bytes != offset:
                return False
            if part.size_bytes < 0:
                return False
            offset, number = offset + part.size_bytes, part.part_number
        return bool(self.parts) and offset == self.info.size_bytes


@frozen
class WantedManifest:
    """
    An object whose manifest copy is to be written.

    :ivar wanted_at: Of which change: a later one wants another.
    """

    info: ObjectInfo
    wanted_at: datetime


def encode(manifest: Manifest) -> bytes:
    """The document: ASCII, about 100 bytes a part."""
    info = manifest.info
    document = {
        "version": VERSION,
        "installation_id": manifest.installation_id,
        "bucket": info.bucket,
        "key": info.key,
        "object_id": info.object_id,
        "size_bytes": info.size_bytes,
        "etag": info.etag,
        "content_type": info.content_type,
        "headers": dict(info.headers),
        "user_metadata": dict(info.user_metadata),
        "tags": dict(info.tags),
        "checksums": dict(info.checksums),
        "last_modified": info.last_modified.astimezone(UTC).isoformat(),
        "parts": [
            [p.part_number, p.part_id, p.offset_bytes, p.size_bytes, p.md5]
            for p in manifest.parts
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Manifest:
    """
    What :func:`encode` wrote; names that are not known are passed over.

    :raises ManifestError: It is something else, or its parts are not a whole object.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as why:
        raise ManifestError(f"no JSON: {why}") from why
    if not isinstance(document, dict):
        raise ManifestError("no JSON object")
    version = _get(document, "version", int)
    if version != VERSION:
        raise ManifestError(f"version {version} is not known, {VERSION} is")
    content_type = document.get("content_type")
    if content_type is not None:
        content_type = _get(document, "content_type", str)
    info = ObjectInfo(
        bucket=_get(document, "bucket", str),
        key=_get(document, "key", str),
        object_id=_get(document, "object_id", str),
        size_bytes=_get(document, "size_bytes", int),
        etag=_get(document, "etag", str),
        content_type=content_type,
        last_modified=_time(_get(document, "last_modified", str)),
        headers=_texts(document, "headers"),
        user_metadata=_texts(document, "user_metadata"),
        checksums=_texts(document, "checksums"),
        tags=_texts(document, "tags"),
    )
    manifest = Manifest(
        _get(document, "installation_id", str),
        info,
        tuple(_part(each) for each in _get(document, "parts", list)),
    )
    if not manifest.is_whole:
        raise ManifestError("the parts do not add up to the object")
    return manifest


def _get(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if type(value) is not kind:  # a bool is no number here
        raise ManifestError(f"{name}: want {kind.__name__}, got {value!r:.50}")
    return value


def _texts(document: Mapping[str, Any], name: str) -> dict[str, str]:
    texts: dict[str, str] = _get(document, name, dict)
    for value in texts.values():
        if type(value) is not str:
            raise ManifestError(f"{name}: want texts, got {value!r:.50}")
    return texts


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as why:
        raise ManifestError(f"last_modified: {why}") from why
    if found.tzinfo is None:
        raise ManifestError(f"last_modified: {text!r:.50} has no time zone")
    return found


def _part(line: Any) -> ManifestPart:
    kinds = [int, str, int, int, str]
    if type(line) is not list or [type(each) for each in line] != kinds:
        raise ManifestError(f"parts: {line!r:.80} is no part")
    return ManifestPart(*line)
