"""
Work that comes again and again.

A LoopingCall ends at the first exception; here one is logged and counted, and the next
round comes. A round that takes longer than its interval is not overtaken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from s3proxy.errors import StoreError
from s3proxy.observe import NOBODY, RoundWatch
from s3proxy.telemetry.trail import detached

#: How long a stop waits for a round under way.
STOP_SECONDS = 5.0


#: What a job did is recorded when it is news, and no more often than the first; when it
#: is no news, no more often than the second.
NEWS_SECONDS, RECORD_SECONDS = 5.0, 30.0


class Record(Protocol):
    """Where it is kept what jobs did last (``store.jobs.PostgresJobs``)."""

    async def record(
        self, name: str, seconds: float, result: str, next_seconds: float, *, good: bool
    ) -> None:
        """
        A round has ended.

        :param seconds: How long it took.
        :param next_seconds: Until the next one.
        :raises StoreUnavailable: It is not recorded, which does no harm.
        """
        ...


@define(eq=False)
class Job:
    """
    One kind of work. What a round returns is told as its result.

    :ivar name: For the log.
    :ivar at_start: The first round comes at once.
    :ivar failures: Rounds that ended with an exception, since the start.
    :ivar watch: Is told of every round.
    :ivar is_failing: The latest one did.
    :ivar around: Does a round, and something about it; None where there is nothing.
    """

    name: str
    interval_seconds: float
    _round: Callable[[], Awaitable[object]]
    _clock: IReactorTime
    at_start: bool = False
    failures: int = 0
    record: Record | None = None
    _recorded: tuple[float, str, bool] | None = None
    watch: RoundWatch = NOBODY
    is_failing: bool = False
    around: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]] | None = None
    _loop: LoopingCall | None = None
    _current: Deferred[None] | None = None
    _log = Logger()

    def start(self) -> None:
        """Begin; the first round comes after one interval, or at once."""
        self._loop = LoopingCall(self._begin)
        self._loop.clock = self._clock
        self._loop.start(self.interval_seconds, now=self.at_start)

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
        began = self._clock.seconds()
        good, result = False, "broken off"
        try:
            around = self.around
            work = self._round() if around is None else around(self._round)
            outcome = await self.watch.round(self.name, work)
            good, result = True, "done" if outcome is None else str(outcome)
            self.is_failing = False
        except StoreError as why:
            self.failures, self.is_failing = self.failures + 1, True
            result = str(why)
            self._log.warn("{job}: {why}", job=self.name, why=why)
        except Exception as why:
            self.failures, self.is_failing = self.failures + 1, True
            result = f"failed, see the log: {type(why).__name__}"
            self._log.failure("{job} failed; it goes on", job=self.name)
        # A clock that was put back gives less than nothing.
        await self._tell(max(self._clock.seconds() - began, 0.0), result, good)

    async def _tell(self, seconds: float, result: str, good: bool) -> None:
        """Record it, where it is worth a transaction."""
        now = self._clock.seconds()
        if self.record is None:
            return
        if self._recorded is not None:
            at, last_result, last_good = self._recorded
            is_news = (result, good) != (last_result, last_good)
            if now - at < (NEWS_SECONDS if is_news else RECORD_SECONDS):
                return
        self._recorded = now, result, good
        # Rounds that an interval overtook are left out.
        left = self.interval_seconds - seconds % self.interval_seconds
        try:
            await self.record.record(self.name, seconds, result, left, good=good)
        except StoreError as why:
            self._log.info("{job}: not recorded: {why}", job=self.name, why=why)


@define(eq=False)
class Jobs:
    """All the work of a daemon."""

    jobs: list[Job] = field(factory=list)

    def start(self, record: Record | None = None) -> None:
        """Begin all; what they do is told to *record*."""
        for job in self.jobs:
            job.record = record
            job.start()

    async def stop(self) -> None:
        """End all, and wait for the rounds under way."""
        await DeferredList([Deferred.fromCoroutine(job.stop()) for job in self.jobs])
