"""A client that frames bodies, and signs the chunks where its form says so."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from attrs import define

from s3proxy.s3.canonical import EMPTY_SHA256
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.framing import FORMS

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

#: As if a head had been signed so.
SEED = StreamingSeed(
    b"a signing key",
    "20260524T120000Z",
    "20260524/us-east-1/s3/aws4_request",
    "5e" * 32,
)


@define
class Framer:
    """
    Frames a body, piece by piece.

    :ivar form: The value of x-amz-content-sha256.
    """

    form: str
    seed: StreamingSeed = SEED
    _previous: str = ""

    def chunk(self, data: bytes) -> bytes:
        """One chunk; the last one, without data, has no line break after it."""
        head = b"%x" % len(data)
        if FORMS[self.form].signed:
            digest = hashlib.sha256(data).hexdigest()
            signature = self._sign("PAYLOAD", f"{EMPTY_SHA256}\n{digest}")
            head += b";chunk-signature=" + signature.encode()
        return head + b"\r\n" + (data + b"\r\n" if data else b"")

    def signature(self, name: str, value: str) -> bytes:
        """The line of the trailer's signature."""
        digest = hashlib.sha256(f"{name}:{value}\n".encode()).hexdigest()
        return f"x-amz-trailer-signature:{self._sign('TRAILER', digest)}\r\n".encode()

    def frame(
        self, chunks: Sequence[bytes], trailer: tuple[str, str] | None = None
    ) -> bytes:
        """A whole body."""
        body = b"".join(map(self.chunk, [*chunks, b""]))
        if trailer is not None:
            body += f"{trailer[0]}:{trailer[1]}\r\n".encode()
            if FORMS[self.form].signed:
                body += self.signature(*trailer)
        return body + b"\r\n"

    def _sign(self, kind: str, rest: str) -> str:
        seed = self.seed
        to_sign = [
            f"AWS4-HMAC-SHA256-{kind}",
            seed.timestamp,
            seed.scope,
            self._previous or seed.signature,
            rest,
        ]
        self._previous = hmac.digest(
            seed.signing_key, "\n".join(to_sign).encode(), "sha256"
        ).hex()
        return self._previous
