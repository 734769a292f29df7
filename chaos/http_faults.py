"""
An HTTP proxy before an S3 server, which breaks some of the requests.

Everything passes as it is, piece by piece, until a :class:`~chaos.http_rules.Rule` says
otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from urllib.parse import urlsplit

from attrs import define, evolve, field

from chaos.http_messages import (
    Head,
    Pieces,
    abort,
    body_of_answer,
    body_of_request,
    read_head,
)
from chaos.http_rules import OFF_BY, Rule
from s3proxy.config import BackendConfig


@define(eq=False)
class BackendProxy:
    """
    ``async with BackendProxy(backend, Random(1)) as proxy: … proxy.config``

    :ivar rules: What is to go wrong now; the first that meets a request counts.
    :ivar counts: How often each kind did.
    :ivar config: The backend by way of this proxy.
    """

    backend: BackendConfig
    random: Random
    rules: list[Rule] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    requests: int = 0
    _server: asyncio.Server | None = None
    _late: set[asyncio.Task[None]] = field(factory=set)
    _serving: set[asyncio.Task[None]] = field(factory=set)

    async def __aenter__(self) -> BackendProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in (*self._serving, *self._late):
            task.cancel()
        await asyncio.gather(*self._serving, *self._late, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def config(self) -> BackendConfig:
        """See the class."""
        return evolve(self.backend, endpoint=f"http://127.0.0.1:{self.port}")

    async def settle(self) -> None:
        """Until no request is still to land late."""
        while self._late:
            await asyncio.wait(tuple(self._late))

    async def _serve(
        self, near: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        far: _Far | None = None
        try:
            while head := await read_head(near):
                if far is None:
                    far = await _Far.connect(self.backend.endpoint)
                self.requests += 1
                if not await self._one(head, near, answers, far):
                    break
        except (OSError, EOFError, asyncio.LimitOverrunError):
            # Whoever went away, the other one hears of it.
            pass
        except asyncio.CancelledError:
            # The proxy ends; asyncio's streams would log it as a failure.
            pass
        finally:
            self._serving.discard(task)
            abort(answers)
            if far is not None:
                abort(far.requests)

    def _fate(self, head: Head) -> Rule | None:
        for rule in tuple(self.rules):
            if rule.meets(head, self.random):
                self.counts[rule.kind] += 1
                return rule
        return None

    async def _one(
        self,
        head: Head,
        near: asyncio.StreamReader,
        answers: asyncio.StreamWriter,
        far: _Far,
    ) -> bool:
        """One request; returns whether the connection lives on."""
        body = body_of_request(head, near)
        rule = self._fate(head)
        kind = rule.kind if rule is not None else ""
        if "expect" in head.headers and kind != "hang_before":
            answers.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if rule is not None and kind == "hang_before":
            await asyncio.sleep(rule.seconds)
            return False
        if kind in ("error", "missing", "skewed"):
            async for _ in body:
                pass
            answers.write(self._refusal(kind, head))
            await answers.drain()
            return True
        if rule is not None and kind == "late":
            data = b"".join([piece async for piece in body])
            self._later(head, data, rule.seconds)
            return False
        far.requests.write(head.raw)
        if kind == "reset":
            await self._half(body, far, head)
            return False
        async for piece in body:
            far.requests.write(piece)
            await far.requests.drain()
        answer = await far.answer()
        if rule is not None and kind in ("hang_after", "lost"):
            async for _ in body_of_answer(head, answer, far.answers):
                pass
            if kind == "hang_after":
                await asyncio.sleep(rule.seconds)
            return False
        return await self._pass_answer(rule, head, answer, far, answers)

    async def _half(self, body: Pieces, far: _Far, head: Head) -> None:
        half = head.length // 2
        async for piece in body:
            far.requests.write(piece[:half])
            half -= len(piece)
            if half <= 0:
                break
        await far.requests.drain()

    async def _pass_answer(
        self,
        rule: Rule | None,
        head: Head,
        answer: Head,
        far: _Far,
        answers: asyncio.StreamWriter,
    ) -> bool:
        kind = rule.kind if rule is not None else ""
        sized = answer.length if answer.status in (200, 206) else 0
        left: int | None = None
        if kind == "cut":
            left = sized // 2
        elif kind == "short" and sized:
            left = sized // 2
            answer = answer.replaced("content-length", str(left))
        elif kind == "long" and sized:
            answer = answer.replaced("content-length", str(sized + 1000))
        elif kind == "clock":
            answer = answer.replaced("date", _ahead())
        answers.write(answer.raw)
        async for piece in body_of_answer(head, answer, far.answers, sized=sized):
            if left is not None:
                piece, left = piece[:left], left - len(piece)
            if rule is not None and kind == "drip":
                await _drip(piece, rule.seconds * len(piece) / sized, answers)
            else:
                answers.write(piece)
                await answers.drain()
            if left is not None and left <= 0:
                break
        await answers.drain()
        if kind in ("short", "long"):
            answers.close()
            await answers.wait_closed()
        return kind not in ("cut", "short", "long") and answer.keeps_open

    def _refusal(self, kind: str, head: Head) -> bytes:
        status, code = {
            "missing": (404, "NoSuchKey"),
            "skewed": (403, "RequestTimeTooSkewed"),
        }.get(kind) or self.random.choice([(500, "InternalError"), (503, "SlowDown")])
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
            f"<Message>As the script says.</Message></Error>"
        ).encode()
        date = f"Date: {_ahead()}\r\n" if kind == "skewed" else ""
        return (
            f"HTTP/1.1 {status} As Scripted\r\nContent-Type: application/xml\r\n{date}"
            f"Content-Length: {len(text)}\r\n\r\n"
        ).encode() + (b"" if head.method == "HEAD" else text)

    def _later(self, head: Head, data: bytes, seconds: float) -> None:
        async def deliver() -> None:
            await asyncio.sleep(seconds)
            # A server that is gone by then has lost it: as good as never sent.
            with contextlib.suppress(OSError, EOFError):
                far = await _Far.connect(self.backend.endpoint)
                far.requests.write(head.raw + data)
                answer = await read_head(far.answers)
                if answer is not None:
                    async for _ in body_of_answer(head, answer, far.answers):
                        pass
                far.requests.close()

        task = asyncio.create_task(deliver())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


@define(eq=False)
class _Far:
    """A connection to the server."""

    answers: asyncio.StreamReader
    requests: asyncio.StreamWriter

    @classmethod
    async def connect(cls, endpoint: str) -> _Far:
        target = urlsplit(endpoint)
        return cls(*await asyncio.open_connection(target.hostname, target.port))

    async def answer(self) -> Head:
        """The final answer's head; who asked has been told to go on already."""
        while True:
            await self.requests.drain()
            head = await read_head(self.answers)
            if head is None:
                raise EOFError
            if head.status != 100:
                return head


async def _drip(piece: bytes, seconds: float, answers: asyncio.StreamWriter) -> None:
    steps = 8
    size = max(1, len(piece) // steps)
    for start in range(0, len(piece), size):
        answers.write(piece[start : start + size])
        await answers.drain()
        await asyncio.sleep(seconds / steps)


def _ahead() -> str:
    return format_datetime(datetime.now(UTC) + OFF_BY, usegmt=True)
