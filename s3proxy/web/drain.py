"""A graceful stop: what is at work, and how it comes to an end."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

# For handlers to clean up once their clients have been cut off.
_CLEAN_UP_SECONDS = 5.0


class Connection(Protocol):
    """A client's connection."""

    def close_if_idle(self) -> None:
        """Close it unless a request is at work or on its way."""

    def abort(self) -> None:
        """Break it."""


@define(eq=False)
class Drain:
    """
    Counts requests and connections.

    :ivar draining: A stop has begun: every answer closes its connection.
    :ivar in_flight: Handlers at work, also those whose clients have gone.
    """

    _clock: IReactorTime
    draining: bool = False
    in_flight: int = 0
    _connections: set[Connection] = field(factory=set)
    _quiet: Deferred[None] | None = None

    def add(self, connection: Connection) -> None:
        """A client has connected."""
        self._connections.add(connection)

    def discard(self, connection: Connection) -> None:
        """A connection is closed."""
        self._connections.discard(connection)
        self._look()

    def begin(self) -> None:
        """A handler starts."""
        self.in_flight += 1

    def end(self) -> None:
        """A handler has ended."""
        self.in_flight -= 1
        self._look()

    async def drain(self, limit_seconds: float) -> int:
        """
        Wait for the requests at work; the listening port must be closed already.

        Idle connections are closed now, the others after their answers. After the limit
        connections are broken, and their handlers given a moment to clean up.

        :returns: How many requests had to be broken off.
        """
        self.draining = True
        for connection in tuple(self._connections):
            connection.close_if_idle()
        await self._wait(limit_seconds)
        broken = self.in_flight
        for connection in tuple(self._connections):
            connection.abort()
        await self._wait(_CLEAN_UP_SECONDS)
        return broken

    def _is_quiet(self) -> bool:
        return not self._connections and not self.in_flight

    def _look(self) -> None:
        if self._quiet is not None and self._is_quiet():
            quiet, self._quiet = self._quiet, None
            quiet.callback(None)

    async def _wait(self, limit_seconds: float) -> None:
        if self._is_quiet():
            return
        quiet = self._quiet = Deferred()
        timer = self._clock.callLater(limit_seconds, self._give_up)
        await quiet
        if timer.active():
            timer.cancel()

    def _give_up(self) -> None:
        if self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            quiet.callback(None)
