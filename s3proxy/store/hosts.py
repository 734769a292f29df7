"""
Several servers that are listed: a connection to the first one that serves.

libpq goes through a list by itself, but one that it does not hear from holds it up
longer than anybody waits: a primary that has gone silent would hide the standby that
was promoted in its place. So each server is tried by itself, the next one as soon as
one has refused, or has not answered for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from s3proxy.store.connection import Connection, connect
from s3proxy.store.dsn import resolved

#: The next server is tried beside one that has not answered for so long.
PATIENCE_SECONDS = 0.5


def each_host(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """libpq's arguments once for each server that they list."""
    hosts = str(arguments.get("host") or "").split(",")
    return [{**arguments, "host": host} for host in hosts]


async def connect_any(
    arguments: Mapping[str, Any], reactor: Any, timeout_seconds: float
) -> Connection:
    """
    Open a connection to one of the servers, in their order.

    :param arguments: libpq's, before names are resolved; what they demand of a server
        (``target_session_attrs``) decides which of them will do.
    :param timeout_seconds: For each server.
    :raises psycopg2.OperationalError: None will do; says what each one said.
    :raises OSError: There is but one, and its name has no address.
    """
    servers = each_host(arguments)
    if len(servers) == 1:
        return await _connect(servers[0], reactor, timeout_seconds)
    return await _Race(servers, reactor, timeout_seconds).run()


async def _connect(
    arguments: Mapping[str, Any], reactor: Any, timeout_seconds: float
) -> Connection:
    found = await resolved(arguments, reactor)
    return await connect(found, reactor, timeout_seconds)


@define(eq=False)
class _Race:
    _servers: Sequence[Mapping[str, Any]]
    _reactor: Any
    _timeout_seconds: float
    _won: Deferred[Connection] = field(factory=Deferred)
    _begun: int = 0
    _refusals: list[str] = field(factory=list)
    _timer: IDelayedCall | None = None

    def run(self) -> Deferred[Connection]:
        self._begin()
        return self._won

    def _begin(self) -> None:
        server = self._servers[self._begun]
        self._begun += 1
        if self._begun < len(self._servers):
            self._timer = self._reactor.callLater(PATIENCE_SECONDS, self._begin)
        trying = Deferred.fromCoroutine(
            _connect(server, self._reactor, self._timeout_seconds)
        )
        trying.addCallbacks(self._opened, self._refused, errbackArgs=(server["host"],))

    def _opened(self, connection: Connection) -> None:
        if self._won.called:
            connection.close()
            return
        self._stop_timer()
        self._won.callback(connection)

    def _refused(self, failure: Failure, host: str) -> None:
        self._refusals.append(f"{host}: {first_line(failure.value)}")
        if self._won.called:
            return
        if len(self._refusals) == len(self._servers):
            self._won.errback(psycopg2.OperationalError("; ".join(self._refusals)))
        elif self._begun < len(self._servers):
            self._stop_timer()
            self._begin()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def first_line(why: BaseException | None) -> str:
    """What a failure says, in one line."""
    return (str(why).strip().splitlines() or [type(why).__name__])[0]
