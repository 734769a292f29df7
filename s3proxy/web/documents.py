"""Documents that come as bodies, read whole and verified."""

from __future__ import annotations

from s3proxy.errors import MalformedXML
from s3proxy.manager.ports import Body
from s3proxy.s3.checksums import Digests


async def collect(body: Body, digests: Digests, max_bytes: int) -> bytes:
    """
    A whole document of bounded size.

    :raises MalformedXML: It is larger.
    :raises BadDigest: It is not what was promised; or XAmzContentSHA256Mismatch.
    """
    pieces, size = [], 0
    while data := await body.read():
        size += len(data)
        if size > max_bytes:
            raise MalformedXML()
        digests.update(data)
        pieces.append(data)
    digests.verify()
    return b"".join(pieces)
