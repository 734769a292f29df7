"""
One connection to PostgreSQL, with the defects of its libraries worked round.

txpostgres logs an unhandled error when an idle connection dies or a new one is hung up
on, ignores ``connect_timeout`` and, when a Deferred is cancelled, calls libpq's
``PQcancel``, which blocks the whole process while the server does not answer. So:
:meth:`doRead` reports a loss, a timer closes what takes too long, and callers get
Deferreds that do not reach txpostgres when they are cancelled (:func:`shield`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from twisted.internet import main
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txpostgres import txpostgres

from s3proxy.store.statements import positional

Row = tuple[Any, ...]

# A prepared statement that the session has no more (somebody said DISCARD), or whose
# columns are of other types now (another version's schema): a new session has neither.
_STALE = frozenset({"26000", "0A000"})


class PlainCursor(txpostgres.Cursor):  # type: ignore[misc]
    """A txpostgres cursor that does not mistake a time-out for a cancelled Deferred."""

    def _handleCancellation(self, failure: Failure) -> Failure:
        return failure


class QuietConnection(txpostgres.Connection):  # type: ignore[misc]
    """A txpostgres connection that reports its loss instead of logging it."""

    cursorFactory = PlainCursor

    def doRead(self) -> object:
        """Let the reactor drop the connection when the server has gone."""
        try:
            return super().doRead()
        except psycopg2.Error:
            return main.CONNECTION_LOST
        except ValueError:
            # A connection that could not be made has no socket any more, and is not
            # closed either: txpostgres goes on to watch it. Who waits has been told.
            if self.fileno() >= 0:
                raise
            return main.CONNECTION_LOST

    def rows_of(self, *args: Any) -> Deferred[list[Row]]:
        """
        Run a statement; its rows, if it has any.

        For runQuery, whose lock is for statements at the same time, of which there are
        none here, and which fails after a statement without rows, once it is committed.
        """
        cursor = self.cursor()

        def rows(done: Any) -> list[Row]:
            return done.fetchall() if done.description is not None else []

        return cursor.execute(*args).addCallback(rows)  # type: ignore[no-any-return]


class Connection:
    """
    An open connection in autocommit mode, one statement at a time.

    :ivar broken: Whether it must not be used again.
    :ivar opened_seconds: When it was opened, by the clock.
    :ivar idle_since_seconds: When it was last given back.
    """

    def __init__(self, inner: QuietConnection, clock: IReactorTime) -> None:
        self._inner = inner
        self._clock = clock
        self.opened_seconds = self.idle_since_seconds = clock.seconds()
        self._failed = False
        self._prepared: dict[str, str | None] = {}

    @property
    def broken(self) -> bool:
        """Whether it was closed, or failed in a way that is no SQL error."""
        return self._failed or bool(self._inner.closed)

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None,
        timeout_seconds: float,
        *,
        recurs: bool = False,
    ) -> list[Row]:
        """
        Run one statement.

        :param recurs: It is one of a few that are run again and again. From its second
            run here it is a prepared one: planning costs more than most of them do.
        :param timeout_seconds: When it has passed the connection is closed, and the
            call fails at once even if the server is frozen.
        :raises psycopg2.Error: With a ``pgcode`` where the server refused.
        """
        timer = self._clock.callLater(timeout_seconds, self.close)
        try:
            if recurs:
                sql = await self._execute_of(sql)
            rows: list[Row] = await self._inner.rows_of(sql, parameters)
            return rows
        except psycopg2.Error as why:
            if why.pgcode is None or why.pgcode in _STALE:
                self._failed = True
            raise
        except BaseException:
            self._failed = True
            raise
        finally:
            if timer.active():
                timer.cancel()

    async def _execute_of(self, sql: str) -> str:
        """What runs *sql*: itself the first time, then an EXECUTE."""
        if sql not in self._prepared:
            self._prepared[sql] = None
            return sql
        execute = self._prepared[sql]
        if execute is None:
            name = f"s{list(self._prepared).index(sql)}"
            text, arguments = positional(sql)
            await self._inner.rows_of(f"PREPARE {name} AS {text}", None)
            execute = self._prepared[sql] = f"EXECUTE {name}{arguments}"
        return execute

    def close(self) -> None:
        """Close at once; a statement under way fails. Closing twice is fine."""
        self._failed = True
        self._inner.close()


async def connect(
    arguments: Mapping[str, Any], reactor: Any, timeout_seconds: float
) -> Connection:
    """
    Open a connection.

    :param arguments: libpq's, host names already resolved to ``hostaddr``.
    :raises psycopg2.OperationalError: Refused, or not within *timeout_seconds*.
    """
    inner = QuietConnection(reactor=reactor)
    opening = inner.connect(**arguments)
    late: list[bool] = []

    def give_up() -> None:
        late.append(True)
        inner.close()

    timer = reactor.callLater(timeout_seconds, give_up)
    try:
        await opening
    except Exception as why:
        if late:
            raise psycopg2.OperationalError(
                f"no answer within {timeout_seconds:g} s"
            ) from why
        if inner.pollable() is not None:
            inner.close()
        raise
    finally:
        if timer.active():
            timer.cancel()
    return Connection(inner, reactor)


def shield(work: Deferred[Any]) -> Deferred[Any]:
    """
    A Deferred that fires as *work* does, and whose cancellation does not reach it.

    Klein cancels a handler when its client leaves; a transaction under way goes on.
    """
    outer: Deferred[Any] = Deferred()

    def fire(result: Any) -> None:
        if not outer.called:
            outer.callback(result)

    work.addBoth(fire)
    return outer
