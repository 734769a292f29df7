"""What a copy that is read back is compared with."""

from __future__ import annotations

import re

from attrs import frozen

from s3proxy.model import Copy

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


@frozen
class ScrubCopy:
    """
    A live copy to be read.

    :ivar md5: Of the part, in hex; None where nobody knows it, or of a manifest copy.
    """

    copy: Copy
    is_manifest: bool
    md5: str | None

    @property
    def wanted_md5(self) -> str | None:
        """What the bytes are to hash to; None where nobody can say."""
        if self.is_manifest:
            # What this proxy has stored, the backend has acknowledged by its MD5.
            etag = self.copy.backend_etag or ""
            return etag.lower() if _MD5.fullmatch(etag) else None
        return self.md5
