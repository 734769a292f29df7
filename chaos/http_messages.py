"""HTTP messages as they go by: heads that are kept as they came, bodies in pieces."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator

from attrs import frozen

PIECE_BYTES = 64 * 1024
Pieces = AsyncIterator[bytes]


@frozen
class Head:
    """
    A request's or an answer's first line and headers.

    :ivar raw: As it came, with the empty line.
    :ivar headers: Names in lower case; of one given twice, the last.
    """

    raw: bytes
    first: str
    headers: dict[str, str]

    @property
    def method(self) -> str:
        """Of a request."""
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        """Of a request, as it was sent."""
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(" ")[1])

    @property
    def length(self) -> int:
        """What Content-Length says; 0 without it."""
        return int(self.headers.get("content-length", 0))

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def keeps_open(self) -> bool:
        """Whether another message may follow this one."""
        return self.headers.get("connection", "").lower() != "close"

    def replaced(self, name: str, value: str) -> Head:
        """With another value of a header that is there, or that is added."""
        pattern = re.compile(rb"(?im)^%s:[^\r]*\r\n" % re.escape(name.encode()))
        raw = pattern.sub(b"", self.raw)[:-2] + f"{name}: {value}\r\n\r\n".encode()
        return Head(raw, self.first, {**self.headers, name: value})


async def read_head(source: asyncio.StreamReader) -> Head | None:
    """
    The next message's head; None where the connection ended before it began.

    :raises EOFError: It ended within.
    """
    try:
        raw = await source.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as why:
        if why.partial:
            raise EOFError from why
        return None
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(raw, first, headers)


async def body_of_request(head: Head, source: asyncio.StreamReader) -> Pieces:
    """A request's body, which has a Content-Length or is none."""
    assert not head.is_chunked, "backends are not sent chunks"
    async for piece in sized_body(head.length, source):
        yield piece


async def body_of_answer(
    request: Head,
    answer: Head,
    source: asyncio.StreamReader,
    *,
    sized: int = 0,
    is_framed: bool = True,
) -> Pieces:
    """
    An answer's body.

    :param sized: Its length, where the head does not tell the truth any more.
    :param is_framed: Whether chunks come with their framing.
    :raises EOFError: It ended before its end.
    """
    if request.method == "HEAD" or answer.status in (204, 304):
        return
    if answer.is_chunked:
        while True:
            line = await source.readline()
            size = int(line.split(b";")[0], 16)
            chunk = await source.readexactly(size + 2)
            yield line + chunk if is_framed else chunk[:-2]
            if not size:
                return
    elif "content-length" in answer.headers:
        async for piece in sized_body(sized or answer.length, source):
            yield piece
    else:
        while piece := await source.read(PIECE_BYTES):
            yield piece


async def sized_body(length: int, source: asyncio.StreamReader) -> Pieces:
    """:raises EOFError: It ended before its end."""
    while length:
        piece = await source.read(min(length, PIECE_BYTES))
        if not piece:
            raise EOFError
        length -= len(piece)
        yield piece


def abort(writer: asyncio.StreamWriter) -> None:
    """Reset a connection; what was not sent is lost."""
    handle = writer.get_extra_info("socket")
    if writer.transport.is_closing():
        return
    if handle is not None and handle.family in (socket.AF_INET, socket.AF_INET6):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
