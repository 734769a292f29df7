"""Limits on progress: how long a backend may be silent, never how long a call takes."""

from __future__ import annotations

from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


@frozen
class Limits:
    """
    What one backend is given. All are idle limits; a transfer has no total one.

    :ivar connect_seconds: To look up, connect, or get a free place among *connections*.
    :ivar headers_seconds: From the last byte of a request to the answer's headers.
    :ivar stall_seconds: Without a byte going or coming while one is wanted.
    :ivar copy_bytes_per_second: A backend that copies by itself may say nothing until
        it is done: it is given *headers_seconds*, and what the bytes take at this rate.
    :ivar kept_seconds: An idle connection is kept for this long; less than backends
        keep theirs, since a PUT on a connection that they just closed is lost.
    :ivar kept_connections: Idle connections kept.
    :ivar connections: Reads under way at once, each on a connection of its own; writes
        have as many places, and so have all other calls.
    """

    connect_seconds: float = 10.0
    headers_seconds: float = 60.0
    stall_seconds: float = 60.0
    copy_bytes_per_second: float = 8.0 * 1024 * 1024
    kept_seconds: float = 30.0
    kept_connections: int = 64
    connections: int = 256


class Stalled(Exception):
    """Nothing happened for as long as it may."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} for {seconds:g} s")


class Signal:
    """Lets one coroutine wait for the next event, for so long."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: Deferred[None] | None = None

    def fire(self) -> None:
        """Something happened: wake the waiting coroutine, if there is one."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def wait(self, seconds: float, what: str) -> None:
        """
        Wait until :meth:`fire` is called.

        :raises Stalled: It was not, for *seconds*.
        :raises CancelledError: Whoever waited has dropped the wait.
        """
        waiting: Deferred[None] = Deferred(self._forget)
        self._waiting = waiting
        timer = self._clock.callLater(seconds, self._expire, what, seconds)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()

    def _forget(self, _waiting: Deferred[None]) -> None:
        self._waiting = None

    def _expire(self, what: str, seconds: float) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Stalled(what, seconds))


def limited(
    result: Deferred[T], clock: IReactorTime, seconds: float, what: str
) -> Deferred[T]:
    """
    Wait for *result* for so long; cancel it when the time is over or nobody waits.

    Unlike :meth:`Deferred.addTimeout` it fails with a plain ``CancelledError`` when it
    is cancelled, whatever *result* makes of its own cancellation (Twisted's client
    wraps it up in errors that look like a lost connection).

    :returns: Fails with :class:`Stalled` when the time was over.
    """
    over = False

    def drop(_outer: Deferred[T]) -> None:
        nonlocal over
        over = True
        if timer.active():
            timer.cancel()
        result.cancel()

    def settle(value: T | Failure) -> None:
        if over:
            return
        timer.cancel()
        if isinstance(value, Failure):
            outer.errback(value)
        else:
            outer.callback(value)

    def expire() -> None:
        drop(outer)
        outer.errback(Stalled(what, seconds))

    outer: Deferred[T] = Deferred(drop)
    timer = clock.callLater(seconds, expire)
    result.addBoth(settle)
    return outer
