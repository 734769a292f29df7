"""Request bodies that are documents: of bounded size, and read whole."""

from __future__ import annotations

from s3proxy.errors import MalformedXML
from s3proxy.manager.ports import Body
from s3proxy.s3.checksums import Digests


async def collect(body: Body, digests: Digests, max_bytes: int) -> bytes:
    """
    A whole document.

    :raises MalformedXML: It is larger than *max_bytes*.
    :raises BadDigest: It is not what its headers say; or XAmzContentSHA256Mismatch.
    """
    pieces, size = [], 0
    while data := await body.read():
        size += len(data)
        if size > max_bytes:
            raise MalformedXML(
                f"The document of this request has at most {max_bytes} bytes, this one "
                "has more."
            )
        digests.update(data)
        pieces.append(data)
    digests.verify()
    return b"".join(pieces)
