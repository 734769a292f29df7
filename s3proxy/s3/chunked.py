"""
The decoder of aws-chunked bodies: bytes in, the object's bytes out, no I/O.

::

    10000;chunk-signature=…\\r\\n        (without ``;…`` where chunks are not signed)
    65536 bytes\\r\\n
    0;chunk-signature=…\\r\\n
    x-amz-checksum-crc32c:…\\r\\n        (forms with a trailer)
    x-amz-trailer-signature:…\\r\\n      (those that are signed)
    \\r\\n

Clients differ in the blank lines after the zero chunk, so any number of them is read,
and it is the end of the input that ends the body: at least one must come last.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum, auto

from s3proxy.errors import (
    BadDigest,
    IncompleteBody,
    InvalidChunkSizeError,
    InvalidRequest,
    MalformedTrailerError,
    S3Error,
)
from s3proxy.s3 import checksums
from s3proxy.s3.chunk_signatures import ChunkChain, StreamingSeed
from s3proxy.s3.framing import Framing

MAX_LINE_BYTES = 1024
MAX_TRAILER_BYTES = 4096
#: Only the last chunk that has data may be smaller.
MIN_CHUNK_BYTES = 8192

_SIGNED = re.compile(rb"([0-9A-Fa-f]+);chunk-signature=([0-9A-Fa-f]{64})\r\n")
_UNSIGNED = re.compile(rb"([0-9A-Fa-f]+)()\r\n")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class _Expect(Enum):
    """What the next line is."""

    CHUNK = auto()
    #: The line break after a chunk's data.
    BREAK = auto()
    TRAILER = auto()


class ChunkDecoder:
    """
    Decodes one body. However the input is cut, output and error are the same.

    What is kept between two calls is at most a line. Data comes out as it comes in,
    but for a chunk's last bytes, which wait for the chunk's signature.

    :ivar trailer_checksums: After :meth:`end`: algorithm to base64 value, verified.
    """

    def __init__(
        self, framing: Framing, length: int, seed: StreamingSeed | None
    ) -> None:
        """
        :param length: Of the decoded body, in bytes, as declared.
        :param seed: None where the client has no key here to sign with: then
            signatures are read and not verified.
        """
        form = framing.form
        self.trailer_checksums: Mapping[str, str] = {}
        self._form = form
        self._algorithm = framing.trailer_algorithm
        self._chain = ChunkChain(seed) if form.signed and seed is not None else None
        self._header = _SIGNED if form.signed else _UNSIGNED
        self._checksum = (
            None if self._algorithm is None else checksums.running(self._algorithm)
        )
        self._expect = _Expect.CHUNK
        # Bytes of the body and of the chunk that are still to come.
        self._missing = length
        self._left = 0
        self._was_short = False
        self._signature = ""
        self._sha256 = hashlib.sha256()
        self._trailer: dict[str, str] = {}
        self._trailer_bytes = 0
        self._trailer_signature: str | None = None
        self._is_closed = False
        self._rest = b""
        self._failure: S3Error | None = None

    def feed(self, data: bytes) -> bytes:
        """
        Take the next bytes of the input.

        :returns: What they bring of the body, maybe nothing.
        :raises SignatureDoesNotMatch: A chunk's signature is wrong (403).
        :raises InvalidChunkSizeError: A chunk under 8192 bytes is not the last (400).
        :raises IncompleteBody: A chunk is malformed, or the decoded length is not the
            declared one (400).
        :raises MalformedTrailerError: A line of the trailer is malformed (400).
        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._decode(self._rest + data if self._rest else data)
        except S3Error as why:
            self._failure = why
            raise

    def end(self) -> None:
        """
        The input has ended.

        :raises IncompleteBody: Too early (400).
        :raises MalformedTrailerError: The trailer is not the announced one (400).
        :raises SignatureDoesNotMatch: Its signature is wrong or absent (403).
        :raises InvalidRequest: Its checksum is not base64, or of a wrong length (400).
        :raises BadDigest: Its checksum is another (400).
        """
        if self._failure is not None:
            raise self._failure
        if self._rest or not self._is_closed:
            raise _incomplete()
        if not self._form.has_trailer:
            return
        name = f"x-amz-checksum-{self._algorithm}"
        if set(self._trailer) != ({name} if self._algorithm is not None else set()):
            raise MalformedTrailerError()
        if self._chain is not None:
            lines = [f"{each}:{value}\n" for each, value in self._trailer.items()]
            self._chain.check_trailer(
                "".join(lines).encode("latin-1"), self._trailer_signature or ""
            )
        if self._algorithm is not None and self._checksum is not None:
            value = checksums.parse_value(self._algorithm, self._trailer[name])
            if value is None:
                raise InvalidRequest(f"Value for {name} trailing header is invalid.")
            if value != checksums.shown(self._checksum):
                raise BadDigest(
                    f"The {self._algorithm.upper()} you specified did not match the "
                    "calculated checksum."
                )
            self.trailer_checksums = {self._algorithm: value}

    def _decode(self, data: bytes) -> bytes:
        pieces, at = [], 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._take(piece)
                pieces.append(piece)
                continue
            end = data.find(b"\n", at, at + MAX_LINE_BYTES + 1) + 1
            if not end:
                if len(data) - at > MAX_LINE_BYTES:
                    raise self._malformed()
                break
            self._take_line(data[at:end])
            at = end
        self._rest = data[at:]
        return b"".join(pieces)

    def _take(self, piece: bytes) -> None:
        """Bytes of a chunk's data."""
        self._left -= len(piece)
        if self._chain is not None:
            self._sha256.update(piece)
        if self._checksum is not None:
            self._checksum.update(piece)
        if not self._left:
            self._check_chunk()
            self._expect = _Expect.BREAK

    def _take_line(self, line: bytes) -> None:
        if self._expect is _Expect.CHUNK:
            self._begin_chunk(line)
        elif self._expect is _Expect.TRAILER:
            self._read_trailer(line)
        elif line != b"\r\n":
            raise _incomplete()
        else:
            self._expect = _Expect.CHUNK

    def _begin_chunk(self, line: bytes) -> None:
        header = self._header.fullmatch(line)
        if header is None:
            raise _incomplete()
        size = int(header[1], 16)
        if size > self._missing:
            raise _incomplete()
        if size and self._was_short:
            raise InvalidChunkSizeError()
        self._was_short = size < MIN_CHUNK_BYTES
        self._signature = header[2].decode()
        self._sha256 = hashlib.sha256()
        self._left = size
        self._missing -= size
        if not size:
            self._check_chunk()
            if self._missing:
                raise _incomplete()
            self._expect = _Expect.TRAILER

    def _check_chunk(self) -> None:
        if self._chain is not None:
            self._chain.check_chunk(self._sha256.hexdigest(), self._signature)

    def _read_trailer(self, line: bytes) -> None:
        """A line after the zero chunk."""
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise self._malformed()
        text = line.rstrip(b"\r\n").decode("latin-1")
        self._is_closed = not text
        if not text:
            return
        name, colon, value = text.partition(":")
        name = name.strip().lower()
        if (
            not colon
            or not self._form.has_trailer
            or name in self._trailer
            # Nothing follows it, so that everything is under it.
            or self._trailer_signature is not None
        ):
            raise self._malformed()
        if self._form.signed and name == _TRAILER_SIGNATURE:
            self._trailer_signature = value.strip()
        else:
            self._trailer[name] = value.strip()

    def _malformed(self) -> S3Error:
        """The error for what cannot be read, where the decoder is."""
        if self._expect is _Expect.TRAILER and self._form.has_trailer:
            return MalformedTrailerError()
        return _incomplete()


def _incomplete() -> IncompleteBody:
    return IncompleteBody(
        "The request body terminated unexpectedly: its chunks are malformed, or their "
        "sizes do not sum up to x-amz-decoded-content-length."
    )
