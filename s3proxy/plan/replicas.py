"""Copies of copies: what one is made of, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from s3proxy.model import Copy, Part

_OF_UPLOAD = re.compile(r"(?:~/|.+~)[0-7][0-9A-HJKMNP-TV-Z]{25}(\.[0-9]{5})", re.DOTALL)
_MD5 = re.compile(r"[0-9a-f]{32}")


@frozen
class PartToCopy:
    """
    A part of an object, with what is recorded of that.

    :ivar part: With its live copies, of which there is at least one.
    """

    bucket: str
    key: str
    etag: str
    content_type: str | None
    headers: Mapping[str, str]
    user_metadata: Mapping[str, str]
    tags: Mapping[str, str]
    checksums: Mapping[str, str]
    part: Part

    @property
    def md5(self) -> str | None:
        """In hex; None where nobody knows it (some adopted objects)."""
        return self.part.md5 if _MD5.fullmatch(self.part.md5) else None

    @property
    def suffix(self) -> str:
        """What a copy's key ends in: a part of an upload keeps its number."""
        for copy in self.part.copies:
            if suffix := part_suffix(copy):
                return suffix
        return ""

    @property
    def of_upload(self) -> Copy | None:
        """A copy that tells which upload the part came with, if it came with one."""
        return next((each for each in self.part.copies if part_suffix(each)), None)


def part_suffix(copy: Copy) -> str:
    """``.00007`` of a copy that is named as an upload's part, else ""."""
    match = _OF_UPLOAD.fullmatch(copy.backend_key)
    return match[1] if match else ""
