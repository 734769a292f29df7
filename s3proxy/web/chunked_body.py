"""A framed body, read as if it were plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import define

from s3proxy.errors import SignatureDoesNotMatch
from s3proxy.manager.ports import Body
from s3proxy.s3.chunked import ChunkDecoder
from s3proxy.s3.framing import Framing
from s3proxy.web.auth import Identity


@define(eq=False)
class ChunkedBody:
    """
    Matches :class:`s3proxy.manager.ports.Body`: what the chunks of another body hold.

    The end is reported only when every signature, the length and the trailer are right.
    """

    _framed: Body
    _decoder: ChunkDecoder

    async def read(self) -> bytes:
        """
        See :meth:`s3proxy.manager.ports.Body.read`.

        :raises S3Error: What :class:`~s3proxy.s3.chunked.ChunkDecoder` raises.
        """
        while framed := await self._framed.read():
            if data := self._decoder.feed(framed):
                return data
        self._decoder.end()
        return b""

    @property
    def trailer_checksums(self) -> Mapping[str, str]:
        """See :class:`s3proxy.manager.ports.Body`."""
        return self._decoder.trailer_checksums


class Framed(Protocol):
    """
    What is told of a body.

    :ivar framing: None for a plain one.
    :ivar content_length: In bytes, without the framing.
    """

    @property
    def framing(self) -> Framing | None: ...
    @property
    def content_length(self) -> int: ...


def unframed(op: Framed, body: Body, identity: Identity) -> Body:
    """
    What *body* holds.

    Signatures of chunks are verified where the request's was. With a token, or with
    authentication off, there is no key to verify them with: they are read over, the
    framing is decoded all the same, and a trailer's checksum is verified.
    """
    if op.framing is None:
        return body
    if identity.signed and op.framing.form.signed and identity.seed is None:
        # Whatever let it in without a seed: such chunks never go unverified.
        raise SignatureDoesNotMatch
    return ChunkedBody(body, ChunkDecoder(op.framing, op.content_length, identity.seed))
