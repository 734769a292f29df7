"""Documents that come as bodies, read whole and verified."""

from __future__ import annotations

from s3proxy.errors import MalformedXML
from s3proxy.manager.ports import Body
from s3proxy.s3.checksums import Digests
from s3proxy.s3.sent_document import SentDocument
from s3proxy.web.auth import Identity
from s3proxy.web.chunked_body import unframed


async def receive(
    document: SentDocument, body: Body, identity: Identity, max_bytes: int
) -> bytes:
    """
    A whole document of bounded size.

    :raises MalformedXML: It is larger.
    :raises BadDigest: It is not what its headers say; or XAmzContentSHA256Mismatch, and
        what a framed body raises.
    """
    digests = Digests(document.content_md5, identity.sha256, document.checksums)
    return await collect(unframed(document, body, identity), digests, max_bytes)


async def collect(body: Body, digests: Digests, max_bytes: int) -> bytes:
    """Likewise, of a body without framing and what was promised of it."""
    pieces, size = [], 0
    while data := await body.read():
        size += len(data)
        if size > max_bytes:
            raise MalformedXML()
        digests.update(data)
        pieces.append(data)
    digests.verify()
    return b"".join(pieces)
