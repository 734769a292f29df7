"""The client says what it knows: not sent, no answer, half an answer, a false 200."""

from __future__ import annotations

import asyncio

import pytest

from chaos.client import Answer, Client

HEAD = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 10\r\n\r\n'
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = b"  <Error><Code>PreconditionFailed</Code></Error>"
FAILED = b"<Error><Code>InternalError</Code></Error>"


def ask(script: bytes | None, method: str = "GET") -> tuple[Answer, bytes]:
    """The answer to a PUT or GET where the server says *script*; and what it got."""

    async def inside() -> tuple[Answer, bytes]:
        got = b""

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            nonlocal got
            got = await reader.readuntil(b"\r\n\r\n")
            writer.write(script or b"")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if script is None:
            server.close()
            await server.wait_closed()
        client = Client(is_signing=True)
        answer = await client.request(port, method, "k", b"abc" * (method == "PUT"))
        server.close()
        return answer, got

    return asyncio.run(asyncio.wait_for(inside(), 20))


def test_a_whole_answer() -> None:
    """With its ETag; the request was signed."""
    answer, got = ask(HEAD + b"0123456789")
    assert (answer.status, answer.body, answer.is_whole) == (200, b"0123456789", True)
    assert answer.etag == "e"
    assert b"authorization: AWS4-HMAC-SHA256" in got


def test_chunks_lose_their_framing() -> None:
    """Also where the data look like one."""
    answer, _ = ask(CHUNKS + b"6\r\n5\r\n\r\nx\r\n2\r\nyz\r\n0\r\n\r\n")
    assert answer.body == b"5\r\n\r\nxyz"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (None, Answer(0, is_sent=False)),
        (b"", Answer(0)),
        (b"HTTP/1.1 200 O", Answer(0)),
    ],
)
def test_no_answer(script: bytes | None, expected: Answer) -> None:
    """It makes a difference whether somebody took the request."""
    assert ask(script)[0] == expected


def test_half_an_answer() -> None:
    """What came is kept: its bytes have to be right."""
    answer, _ = ask(HEAD + b"01234")
    assert (answer.status, answer.body, answer.is_whole) == (200, b"01234", False)


@pytest.mark.parametrize(("body", "status"), [(REFUSED, 412), (FAILED, 0)])
def test_a_200_that_is_taken_back(body: bytes, status: int) -> None:
    """As of a long copy."""
    script = CHUNKS + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    assert ask(script, "PUT")[0].status == status
