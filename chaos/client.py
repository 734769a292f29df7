"""An HTTP client on asyncio that keeps what came of an answer that broke off."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import define, field, frozen

from chaos.http_messages import PIECE_BYTES, abort, body_of_answer, read_head
from chaos.http_messages import Head as Message
from s3proxy.s3.sigv4 import sign_headers
from tests.daemon import KEY_ID, SECRET, TOKEN
from tests.system.wire import encode_query, target

TIMEOUT_SECONDS = 20.0


@frozen
class Answer:
    """
    What came.

    :ivar status: 0 where no head did, and where a 200 turned out to be an error.
    :ivar is_whole: Whether the body came to its end.
    :ivar is_sent: False where nobody was there to take the request.
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = b""
    is_whole: bool = True
    is_sent: bool = True

    @property
    def etag(self) -> str:
        """Without its quotes; of a copy or Complete, as its document tells it."""
        found = re.search(rb"<ETag>(?:&quot;|\")?([^<&\"]+)", self.body)
        if "etag" not in self.headers and found:
            return found[1].decode()
        return self.headers.get("etag", "").strip('"')

    @property
    def code(self) -> str:
        """The S3 error code, or ""."""
        found = re.search(rb"<Code>(\w+)</Code>", self.body[:2000])
        return found[1].decode() if found else ""


NONE = Answer(0)
NOBODY = Answer(0, is_sent=False)


@define(eq=False)
class Client:
    """
    One client: a request at a time, over a connection to each daemon that it keeps.

    :ivar is_signing: With SigV4; else with the token.
    """

    is_signing: bool = False
    _kept: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(
        factory=dict
    )

    async def request(
        self,
        port: int,
        method: str,
        key: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        cut: int | None = None,
    ) -> Answer:
        """
        One request; never raises for what the network or the daemon does.

        :param cut: Leave for good after so many bytes of the body; or, of a GET, after
            so many of the answer's.
        """
        raw = self._head(port, method, key, body, headers or {}, query or {})
        got: list[bytes] = []
        head: Message | None = None
        try:
            reader, writer = await self._connection(port)
        except OSError:
            return NOBODY
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                writer.write(raw)
                if cut is not None and method != "GET":
                    writer.write(body[:cut])
                    await writer.drain()
                    self.close(port)
                    return NONE
                for start in range(0, len(body), PIECE_BYTES):
                    writer.write(body[start : start + PIECE_BYTES])
                    await writer.drain()
                head = await read_head(reader)
                while head is not None and head.status == 100:
                    head = await read_head(reader)
                if head is None:
                    raise EOFError
                request = Message(raw, raw.split(b"\r\n")[0].decode(), {})
                async for piece in body_of_answer(
                    request, head, reader, is_framed=False
                ):
                    got.append(piece)
                    if cut is not None and sum(map(len, got)) >= cut:
                        raise EOFError
        except (OSError, EOFError, TimeoutError, ValueError):
            self.close(port)
            if head is None:
                return NONE
            return Answer(head.status, head.headers, b"".join(got), is_whole=False)
        if not head.keeps_open:
            self.close(port)
        data = b"".join(got)
        answer = Answer(head.status, head.headers, data)
        if head.status == 200 and method != "GET" and b"<Error>" in data[:4000]:
            # A long copy or Complete says 200 first, and may have to take it back.
            status = {"PreconditionFailed": 412, "NoSuchKey": 404}.get(answer.code, 0)
            return Answer(status, head.headers, data)
        return answer

    def close(self, port: int | None = None) -> None:
        """Leave without a word; all of them, or one."""
        for each in [port] if port is not None else list(self._kept):
            if each in self._kept:
                abort(self._kept.pop(each)[1])

    async def _connection(
        self, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        kept = self._kept.get(port)
        if kept is None or kept[0].at_eof() or kept[1].is_closing():
            kept = self._kept[port] = await asyncio.open_connection("127.0.0.1", port)
        return kept

    def _head(
        self,
        port: int,
        method: str,
        key: str,
        body: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> bytes:
        path, raw_query = target(key), encode_query(query)
        sent = {"host": f"127.0.0.1:{port}", **headers}
        if self.is_signing:
            sent |= sign_headers(
                method,
                path,
                raw_query,
                sent,
                access_key_id=KEY_ID,
                secret_access_key=SECRET,
                region="us-east-1",
                payload_hash=hashlib.sha256(body).hexdigest(),
                now=datetime.now(UTC),
            )
        else:
            sent["x-proxy-token"] = TOKEN
        if method in ("PUT", "POST"):
            sent["content-length"] = str(len(body))
        url = f"{path}?{raw_query}" if raw_query else path
        lines = [f"{method} {url} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in sent.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")
