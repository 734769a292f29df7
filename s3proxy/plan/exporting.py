"""Under which names objects become files, and how their bytes are verified."""

from __future__ import annotations

import re
from hashlib import sha256

from attrs import frozen

from s3proxy.model import ObjectInfo, Part
from s3proxy.s3.checksums import ALGORITHMS, COUNT

#: The export's own directory, which no bucket can be called.
OWN = ".s3proxy-export"
ESCAPED = "escaped"

#: Of one segment of a path, in bytes, on the usual file systems.
_SEGMENT_BYTES = 255
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_READABLE = 100


@frozen
class FilePath:
    """
    Where an object's file is, below the export's directory.

    :ivar is_escaped: It is not called as the object is.
    """

    segments: tuple[str, ...]
    is_escaped: bool


def file_path(bucket: str, key: str, *, is_directory: bool) -> FilePath:
    """
    The path of an object's file; two objects never have the same one.

    :param is_directory: There are keys that begin with this one and a slash.
    """
    segments = tuple(key.split("/"))
    if is_directory or not all(_is_name(each) for each in segments):
        return FilePath((OWN, ESCAPED, bucket, escaped_name(key)), True)
    return FilePath((bucket, *segments), False)


def escaped_name(key: str) -> str:
    """What of a key is harmless, to be recognised by, and the SHA-256 of all of it."""
    readable = _UNSAFE.sub("_", key)[-_READABLE:].lstrip(".")
    return f"{readable}~{sha256(key.encode()).hexdigest()}"


def _is_name(segment: str) -> bool:
    return (
        segment not in ("", ".", "..")
        and "\0" not in segment
        and len(segment.encode()) <= _SEGMENT_BYTES
    )


@frozen
class Check:
    """
    What bytes have to show.

    :ivar algorithm: ``md5`` or one of S3's checksums.
    :ivar value: In hex for an MD5, in base64 else.
    """

    algorithm: str
    value: str


def check_of(info: ObjectInfo, part: Part, *, is_only: bool) -> Check | None:
    """
    How a part's bytes can be verified; None where nothing is known of them.

    :param is_only: It is the whole object.
    """
    if part.md5:
        return Check("md5", part.md5)
    if is_only:
        for algorithm, value in sorted(info.checksums.items()):
            if algorithm in ALGORITHMS and COUNT.search(value) is None:
                return Check(algorithm, value)
    return None
