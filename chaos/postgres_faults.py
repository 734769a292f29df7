"""
A PostgreSQL proxy that loses what is said about a commit, and cuts sessions.

It knows the wire protocol as far as that takes: messages have lengths, a simple query
is a ``Q``, and ReadyForQuery ends what the server has to say to one.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import struct
import tempfile
from collections import Counter
from pathlib import Path
from typing import Literal

from attrs import define, evolve, field

from s3proxy.config import DatabaseConfig
from tests.crash.statements import Statements

#: lose: the server does it, its answer is lost, and the session with it.
#: drop: the statement never reaches the server; the session is lost.
#: cut: the session is lost at once; the server may be at work on it for a while yet.
#: full: the server's disk is full, it says; the session goes on.
Fate = Literal["lose", "drop", "cut", "full"]
FATES: tuple[Fate, ...] = ("lose", "drop", "cut", "full")

_FULL_FIELDS = (
    b"SERROR\0VERROR\0C53100\0Mcould not extend file: No space left on device\0\0"
)
#: ErrorResponse, and ReadyForQuery outside of a transaction.
_FULL = b"E" + struct.pack("!I", len(_FULL_FIELDS) + 4) + _FULL_FIELDS + b"Z\0\0\0\x05I"

#: What a commit of whatever kind says.
COMMITS = (
    "FROM ledger_commit(",
    "FROM ledger_commit_part(",
    "FROM ledger_complete(",
    "SELECT ledger_delete_if(",
    "SELECT ledger_delete_many(",
)

PATIENCE_SECONDS = 10.0


@define(eq=False)
class Order:
    """
    The fate of the statements to come that have one of *words* in them.

    :ivar left: How many of them.
    """

    fate: Fate
    words: tuple[str, ...] = COMMITS
    left: int = 1


@define(eq=False)
class DatabaseProxy:
    """
    A Unix socket before PostgreSQL's: ``async with DatabaseProxy(database) as proxy``.

    :ivar database: Behind it; may be another from one moment to the next.
    :ivar orders: What is to go wrong.
    :ivar counts: What did, by its fate.
    """

    database: DatabaseConfig
    orders: list[Order] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    _directory: Path = field(init=False)
    _server: asyncio.Server | None = None
    _sessions: set[asyncio.StreamWriter] = field(factory=set)
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    async def __aenter__(self) -> DatabaseProxy:
        self._directory = Path(tempfile.mkdtemp(prefix="s3p-chaos-", dir="/var/tmp"))
        path = _socket_of(evolve(self.database, host=str(self._directory)))
        self._server = await asyncio.start_unix_server(self._serve, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def config(self) -> DatabaseConfig:
        """The database by way of this proxy."""
        return evolve(self.database, host=str(self._directory))

    def cut(self) -> int:
        """Cut every session, whatever it is doing; returns how many there were."""
        for writer in tuple(self._sessions):
            writer.transport.abort()
        return len(self._sessions)

    async def _serve(
        self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._sessions.add(to_near)
        far: _Server | None = None
        try:
            reader, writer = await asyncio.open_unix_connection(
                _socket_of(self.database)
            )
            far = _Server(reader, writer, to_near)
            await self._session(near, far)
        except (OSError, EOFError, asyncio.CancelledError):
            # Cancelled: the proxy ends; asyncio's streams would log it as a failure.
            pass
        finally:
            self._tasks.discard(task)
            self._sessions.discard(to_near)
            to_near.transport.abort()
            if far is not None:
                far.close()

    async def _session(self, near: asyncio.StreamReader, far: _Server) -> None:
        # The startup message has no type.
        head = await near.readexactly(4)
        await far.send(head + await near.readexactly(struct.unpack("!I", head)[0] - 4))
        statements = Statements()
        while True:
            head = await near.readexactly(5)
            content = await near.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            fate = None
            if head[:1] == b"Q":
                text = statements.text_of(content.rstrip(b"\0").decode())
                fate = self._fate(text)
            if fate is None:
                await far.send(head + content)
                continue
            if fate == "full":
                far.say(_FULL)
                continue
            far.mute()
            if fate != "drop":
                await far.send(head + content)
            if fate == "cut":
                far.hang_up_near()
            if fate != "drop":
                # A server that sees its client leave may give the statement up.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(far.ready.wait(), PATIENCE_SECONDS)
            return

    def _fate(self, text: str) -> Fate | None:
        for order in self.orders:
            if order.left and any(words in text for words in order.words):
                order.left -= 1
                self.counts[order.fate] += 1
                return order.fate
        return None


class _Server:
    """The server's side of one session, and what it says."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_near: asyncio.StreamWriter,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._to_near = to_near
        self._is_muted = False
        self._last = b""
        self.ready = asyncio.Event()
        self._passing = asyncio.create_task(self._pass_on())

    async def send(self, data: bytes) -> None:
        """To the server."""
        self._writer.write(data)
        await self._writer.drain()

    def say(self, data: bytes) -> None:
        """In the server's name."""
        self._to_near.write(data)

    def mute(self) -> None:
        """From now on the client hears nothing; :attr:`ready` when all was said."""
        self._is_muted = True

    def hang_up_near(self) -> None:
        """The client loses the session now."""
        self._to_near.transport.abort()

    def close(self) -> None:
        """End both."""
        self._passing.cancel()
        self._writer.transport.abort()

    async def _pass_on(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(64 * 1024):
                if not self._is_muted:
                    self._to_near.write(data)
                    await self._to_near.drain()
                    continue
                self._last = (self._last + data)[-6:]
                # ReadyForQuery, outside of a transaction.
                if self._last == b"Z\0\0\0\x05I":
                    self.ready.set()
        self.ready.set()
        self._to_near.transport.abort()


def _socket_of(database: DatabaseConfig) -> str:
    return str(Path(database.host) / f".s.PGSQL.{database.port}")
