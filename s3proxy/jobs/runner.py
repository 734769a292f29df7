"""
Work that comes again and again.

A LoopingCall ends at the first exception; here one is logged and counted, and the next
round comes. A round that takes longer than its interval is not overtaken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from s3proxy.errors import StoreError
from s3proxy.telemetry.trail import detached

#: How long a stop waits for a round under way.
STOP_SECONDS = 5.0


@define(eq=False)
class Job:
    """
    One kind of work.

    :ivar name: For the log.
    :ivar failures: Rounds that ended with an exception, since the start.
    :ivar is_failing: The latest one did.
    :ivar around: Does a round, and something about it; None where there is nothing.
    """

    name: str
    interval_seconds: float
    _round: Callable[[], Awaitable[object]]
    _clock: IReactorTime
    failures: int = 0
    is_failing: bool = False
    around: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]] | None = None
    _loop: LoopingCall | None = None
    _current: Deferred[None] | None = None
    _log = Logger()

    def start(self) -> None:
        """Begin; the first round comes after one interval."""
        self._loop = LoopingCall(self._begin)
        self._loop.clock = self._clock
        self._loop.start(self.interval_seconds, now=False)

    def soon(self) -> None:
        """A round now, unless one is under way."""
        if self._loop is not None and self._loop.running and self._current is None:
            self._begin()

    async def stop(self) -> None:
        """
        No further round; returns when the one under way has ended, or does not end.

        A round may be broken off anywhere: whatever it took is taken again later.
        """
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        if self._current is not None:
            done: Deferred[None] = Deferred()

            def ended(_: object = None) -> None:
                if not done.called:
                    done.callback(None)

            timer = self._clock.callLater(STOP_SECONDS, ended)
            self._current.addBoth(ended)
            await done
            if timer.active():
                timer.cancel()

    def _begin(self) -> Deferred[None] | None:
        if self._current is not None:
            return None
        self._current = current = detached(self._once())
        current.addBoth(self._ended)
        waiting: Deferred[None] = Deferred()
        current.addBoth(lambda _: waiting.callback(None))
        return waiting

    def _ended(self, result: object) -> None:
        self._current = None

    async def _once(self) -> None:
        try:
            around = self.around
            await (self._round() if around is None else around(self._round))
            self.is_failing = False
        except StoreError as why:
            self.failures, self.is_failing = self.failures + 1, True
            self._log.warn("{job}: {why}", job=self.name, why=why)
        except Exception:
            self.failures, self.is_failing = self.failures + 1, True
            self._log.failure("{job} failed; it goes on", job=self.name)


@define(eq=False)
class Jobs:
    """All the work of a daemon."""

    jobs: list[Job] = field(factory=list)

    def start(self) -> None:
        """Begin all."""
        for job in self.jobs:
            job.start()

    async def stop(self) -> None:
        """End all, and wait for the rounds under way."""
        await DeferredList([Deferred.fromCoroutine(job.stop()) for job in self.jobs])
