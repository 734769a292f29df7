"""
A pool of connections to the primary.

It opens connections as they are needed, never hands out one that it knows is dead,
keeps waiting callers in a bounded queue, and turns every failure into one of three:
the statement did not happen (:class:`StoreUnavailable`), nobody knows
(:class:`OutcomeUnknown`), or the server refused it for what it says
(``psycopg2.Error``, for :mod:`s3proxy.store.ledger` to read).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import psycopg2
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.observe import NOBODY, StatementWatch
from s3proxy.store.connection import Connection, Row, shield
from s3proxy.store.hosts import connect_any, first_line
from s3proxy.store.statements import name_of

# SQLSTATEs of a transaction that the server undid because of another one.
_TRY_AGAIN = frozenset({"40001", "40P01"})
# Classes that the server sends when it, or the session, is ending; whether the
# transaction had been committed by then, they do not say.
_ENDING = frozenset({"08", "57", "58", "XX"})
# The server ended a statement that took too long, and undid it.
_TIMED_OUT = "57014"
# A primary that was demoted refuses writes: the connection leads to the wrong server.
_READ_ONLY = "25006"


@define(eq=False)
class Pool:
    """
    :ivar arguments: libpq's, before names are resolved.
    :ivar max_connections: More callers than this wait.
    :ivar min_connections: So many stay open when idle; see :meth:`trim`.
    :ivar idle_seconds: How long one may be unused before it counts as spare.
    :ivar max_lifetime_seconds: A connection is replaced when it is older.
    :ivar max_waiting: More waiting callers than this fail at once.
    :ivar watch: Is told of every statement.
    """

    arguments: Mapping[str, Any]
    reactor: Any
    max_connections: int = 10
    min_connections: int = 0
    max_lifetime_seconds: float = 3600.0
    idle_seconds: float = 60.0
    max_waiting: int = 1000
    connect_timeout_seconds: float = 10.0
    statement_timeout_seconds: float = 15.0
    _idle: list[Connection] = field(factory=list)
    _count: int = 0
    _waiting: deque[Deferred[None]] = field(factory=deque)
    _closed: bool = False
    #: When the database was last found to be away, by the reactor's clock.
    last_failure_seconds: float | None = None
    watch: StatementWatch = NOBODY
    #: When it last answered; None after a failure, until it answers again.
    heard_seconds: float | None = None
    _log = Logger()

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
    ) -> list[Row]:
        """
        Run one statement in a transaction of its own.

        Once begun it is finished whatever becomes of the caller.

        :param timeout_seconds: How long it may take, where that is not the usual time.
        :raises StoreUnavailable: It did not happen.
        :raises OutcomeUnknown: The connection broke while it was under way.
        :raises psycopg2.Error: The server refused it; it did not happen.
        """
        query = self._query(sql, parameters, timeout_seconds)
        work = Deferred.fromCoroutine(self.watch.statement(name_of(sql), query))
        rows: list[Row] = await shield(work)
        return rows

    async def fresh(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """Like :meth:`query`, on a connection that nothing has used before."""
        query = self._fresh(sql, parameters)
        work = Deferred.fromCoroutine(self.watch.statement(name_of(sql), query))
        rows: list[Row] = await shield(work)
        return rows

    async def separate(self) -> Connection:
        """
        A connection that is no one else's, beside the most that there may be.

        Whoever asked for it closes it.

        :raises StoreUnavailable: None could be made.
        """
        return await self._open()

    @property
    def usage(self) -> tuple[int, int, int]:
        """Connections that are idle, connections in use, and callers that wait."""
        idle = len(self._idle)
        return idle, self._count - idle, len(self._waiting)

    def note_answer(self) -> None:
        """The database has answered, here or elsewhere."""
        self.heard_seconds = self.reactor.seconds()

    async def trim(self) -> None:
        """
        Close connections that have been idle for long, but for the least number.

        To be called now and then. The latest used are the ones that stay.
        """
        now = self.reactor.seconds()
        # _idle is a stack: the longest unused are at its bottom.
        spare = self._count - self.min_connections
        for connection in tuple(self._idle[: max(spare, 0)]):
            if now - connection.idle_since_seconds >= self.idle_seconds:
                self._idle.remove(connection)
                self._drop(connection)

    def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        while self._waiting:
            self._waiting.popleft().errback(StoreUnavailable("the daemon is stopping"))

    async def _fresh(self, sql: str, parameters: Mapping[str, Any] | None) -> list[Row]:
        connection = await self._open()
        try:
            return await self._run(connection, sql, parameters, None)
        finally:
            connection.close()

    async def _query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        timeout_seconds: float | None,
    ) -> list[Row]:
        for attempt in range(5):
            connection = await self._take()
            try:
                return await self._run(connection, sql, parameters, timeout_seconds)
            except psycopg2.Error as why:
                if why.pgcode not in _TRY_AGAIN or attempt == 4:
                    raise
            finally:
                self._give_back(connection)
        raise AssertionError("the last attempt returns or raises")

    async def _run(
        self,
        connection: Connection,
        sql: str,
        parameters: Mapping[str, Any] | None,
        timeout_seconds: float | None,
    ) -> list[Row]:
        recurs = timeout_seconds is None and parameters is not None
        if timeout_seconds is None:
            timeout_seconds = self.statement_timeout_seconds
        else:
            # Sent as one string they are one transaction, which SET LOCAL ends with.
            milliseconds = int(timeout_seconds * 900)
            sql = f"SET LOCAL statement_timeout = {milliseconds}; {sql}"
        try:
            rows = await connection.query(
                sql, parameters, timeout_seconds, recurs=recurs
            )
            self.note_answer()
            return rows
        except psycopg2.Error as why:
            if why.pgcode == _READ_ONLY:
                connection.close()
                self._note_failure(why)
                raise StoreUnavailable("the database is read-only") from why
            if why.pgcode == _TIMED_OUT or (
                why.pgcode is not None and why.pgcode[:2] not in _ENDING
            ):
                raise
            connection.close()
            self._note_failure(why)
            raise OutcomeUnknown(first_line(why)) from why
        except (TypeError, ValueError):
            raise  # The statement could not be made: a bug, and nothing was sent.
        except Exception as why:
            # ConnectionDone of a closed connection, above all.
            connection.close()
            self._note_failure(why)
            raise OutcomeUnknown(f"{type(why).__name__}: {first_line(why)}") from why

    async def _take(self) -> Connection:
        while True:
            if self._closed:
                raise StoreUnavailable("the daemon is stopping")
            while self._idle:
                connection = self._idle.pop()
                if not connection.broken:
                    return connection
                self._drop(connection)
            if self._count < self.max_connections:
                self._count += 1
                try:
                    return await self._open()
                except BaseException:
                    self._count -= 1
                    self._wake_one()
                    raise
            if len(self._waiting) >= self.max_waiting:
                raise StoreUnavailable("too many requests wait for the database")
            await self._turn()

    async def _turn(self) -> None:
        """Wait in the queue: as long as for a connection, not once per one ahead."""
        turn: Deferred[None] = Deferred()
        self._waiting.append(turn)
        timer = self.reactor.callLater(self.connect_timeout_seconds, self._expire, turn)
        try:
            await turn
        finally:
            if timer.active():
                timer.cancel()

    def _expire(self, turn: Deferred[None]) -> None:
        self._waiting.remove(turn)
        seconds = self.connect_timeout_seconds
        turn.errback(StoreUnavailable(f"no free connection for {seconds:g} s"))

    def _give_back(self, connection: Connection) -> None:
        now = self.reactor.seconds()
        if (
            connection.broken
            or self._closed
            or now - connection.opened_seconds >= self.max_lifetime_seconds
        ):
            self._drop(connection)
        else:
            connection.idle_since_seconds = now
            self._idle.append(connection)
        self._wake_one()

    def _drop(self, connection: Connection) -> None:
        self._count -= 1
        connection.close()

    def _wake_one(self) -> None:
        if self._waiting:
            self._waiting.popleft().callback(None)

    async def _open(self) -> Connection:
        try:
            return await connect_any(
                self.arguments, self.reactor, self.connect_timeout_seconds
            )
        except Exception as why:
            self._note_failure(why)
            raise StoreUnavailable(first_line(why)) from why

    def _note_failure(self, why: BaseException) -> None:
        now = self.reactor.seconds()
        if self.last_failure_seconds is None or now - self.last_failure_seconds > 5:
            self._log.warn("database: {reason}", reason=first_line(why))
        self.last_failure_seconds = now
        self.heard_seconds = None
