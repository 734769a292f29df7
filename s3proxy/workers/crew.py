"""
Keeps the workers running, and tells all of them the same.

A worker that ends is followed by another, at once where it has served for a while, and
after longer and longer waits where it does not get that far. A reload is got ready by
every worker before any of them acts on it, and none is started in between: they never
go by different configurations for longer than it takes to tell them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from s3proxy.config_model import Config
from s3proxy.errors import ConfigError
from s3proxy.reload import Act
from s3proxy.workers.process import Listener

FIRST_BACKOFF_SECONDS = 0.5
LAST_BACKOFF_SECONDS = 30.0

#: How long a worker may take to get a reload ready; one that is stuck must not hold
#: back the answer for ever.
PREPARE_SECONDS = 60.0


class CrewFailed(Exception):
    """A worker did not come up at the start; its own log line says why."""


class Worker(Protocol):
    """``workers.process.WorkerProcess``."""

    def prepare(self, serial: int, config: Config) -> Deferred[tuple[str, ...] | None]:
        """What is wrong with a configuration; None when the worker has ended."""
        ...

    def act(self, serial: int) -> Deferred[None]:
        """Put it in force; fires when it is, or the worker has ended."""
        ...

    def drop(self, serial: int) -> None:
        """Forget it."""
        ...

    def stop(self) -> None:
        """Finish the requests at work and end."""
        ...

    def kill(self) -> None:
        """End at once."""
        ...


@define(eq=False)
class _Seat:
    """
    A worker's place; whoever dies in it is followed by the next one.

    :ivar worker: None between two of them.
    :ivar is_wanted: The next one is due, and only waits for a reload to end.
    """

    began_seconds: float = 0.0
    worker: Worker | None = None
    serves: bool = False
    backoff_seconds: float = FIRST_BACKOFF_SECONDS
    timer: IDelayedCall | None = None
    is_wanted: bool = False


@define(eq=False)
class Crew(Listener):
    """
    :ivar spawn: Starts worker *number*, with the configuration in force.
    :ivar buried: Told the process id of every worker that has ended.
    :ivar settings: Paths of the keys that the workers follow at a reload.
    """

    _size: int
    _spawn: Callable[[int, Listener], Worker]
    _buried: Callable[[int], None]
    _clock: IReactorTime
    settings: tuple[str, ...] = ()
    _seats: dict[int, _Seat] = field(factory=dict)
    _starting: Deferred[None] | None = None
    _stopping: Deferred[None] | None = None
    _is_stopping: bool = False
    _is_reloading: bool = False
    _serial: int = 0
    _log = Logger()

    # From the beginning to the end.

    async def start(self) -> None:
        """
        Start all; returns when all serve.

        :raises CrewFailed: One does not come up. Call :meth:`stop`.
        """
        self._starting = Deferred()
        for number in range(1, self._size + 1):
            self._seats[number] = _Seat()
            self._fill(number)
        await self._starting

    async def stop(self, limit_seconds: float) -> None:
        """
        Have all finish their requests; returns when all have ended.

        :param limit_seconds: After it, those that are left are killed.
        """
        self._is_stopping = True
        for seat in self._seats.values():
            if seat.timer is not None:
                seat.timer.cancel()
                seat.timer = None
            if seat.worker is None:
                continue
            if seat.serves:
                seat.worker.stop()
            else:
                seat.worker.kill()  # It has nothing in hand.
        if not self._running():
            return
        self._stopping = Deferred()
        timer = self._clock.callLater(limit_seconds, self._kill)
        await self._stopping
        if timer.active():
            timer.cancel()

    def _running(self) -> list[tuple[int, Worker]]:
        return [
            (number, seat.worker)
            for number, seat in self._seats.items()
            if seat.worker is not None
        ]

    def _kill(self) -> None:
        for number, worker in self._running():
            self._log.error("worker {number} does not end: killed", number=number)
            worker.kill()

    # One worker after the other.

    def _fill(self, number: int) -> None:
        seat = self._seats[number]
        seat.timer = None
        seat.is_wanted = self._is_reloading
        if seat.is_wanted or self._is_stopping:
            return
        seat.began_seconds = self._clock.seconds()
        try:
            seat.worker = self._spawn(number, self)
        except OSError as why:
            self._replace(number, f"worker {number} cannot be started: {why}")

    def serves(self, number: int, settings: tuple[str, ...]) -> None:
        """See :class:`Listener`."""
        self._seats[number].serves = True
        self.settings = settings
        if all(seat.serves for seat in self._seats.values()):
            starting, self._starting = self._starting, None
            if starting is not None:
                starting.callback(None)

    def ended(self, number: int, pid: int, how: str) -> None:
        """See :class:`Listener`."""
        seat = self._seats[number]
        seat.worker, seat.serves = None, False
        self._buried(pid)
        if self._is_stopping:
            if self._stopping is not None and not self._running():
                self._stopping.callback(None)
            return
        self._replace(number, f"worker {number} (process {pid}) has ended {how}")

    def _replace(self, number: int, what: str) -> None:
        starting, self._starting = self._starting, None
        if starting is not None:
            # Nothing serves yet: what keeps one from it keeps the others too.
            self._is_stopping = True
            starting.errback(CrewFailed(what))
            return
        seat = self._seats[number]
        if self._clock.seconds() - seat.began_seconds > LAST_BACKOFF_SECONDS:
            seat.backoff_seconds = FIRST_BACKOFF_SECONDS
        self._log.error(
            "{what}; another one is started in {seconds:g} s",
            what=what,
            seconds=seat.backoff_seconds,
        )
        seat.timer = self._clock.callLater(seat.backoff_seconds, self._fill, number)
        seat.backoff_seconds = min(2 * seat.backoff_seconds, LAST_BACKOFF_SECONDS)

    # A reload.

    async def prepare(self, config: Config) -> Act:
        """
        Have every worker get *config* ready; one at a time.

        :returns: Has them put it in force; awaited, it ends when all have.
        :raises ConfigError: One of them objects; all forget it.
        """
        self._serial += 1
        serial, workers = self._serial, self._running()
        self._is_reloading = True
        try:
            answers = await DeferredList(
                [self._ask(number, each, serial, config) for number, each in workers]
            )
            problems = dict.fromkeys(
                problem for _, answer in answers for problem in answer or ()
            )
            if problems:
                raise ConfigError("\n".join(problems))
        except BaseException:
            for _, each in workers:
                each.drop(serial)
            self._reloaded()
            raise

        def act() -> Awaitable[None]:
            acting = [each.act(serial) for _, each in workers]
            self._reloaded()
            return self._all_acted(acting)

        return act

    async def _all_acted(self, acting: Sequence[Deferred[None]]) -> None:
        done: Deferred[None] = Deferred()

        def late() -> None:
            self._log.error(
                "a worker has not put the reload in force within {seconds:g} seconds",
                seconds=PREPARE_SECONDS,
            )
            done.callback(None)

        def all_done(_: object) -> None:
            if timer.active():
                timer.cancel()
                done.callback(None)

        timer = self._clock.callLater(PREPARE_SECONDS, late)
        DeferredList(acting).addCallback(all_done)
        await done

    def _ask(
        self, number: int, worker: Worker, serial: int, config: Config
    ) -> Deferred[Sequence[str] | None]:
        answer: Deferred[Sequence[str] | None] = Deferred()

        def late() -> None:
            answer.callback(
                [f"worker {number} has not answered for {PREPARE_SECONDS:g} seconds"]
            )

        timer = self._clock.callLater(PREPARE_SECONDS, late)

        def come(problems: tuple[str, ...] | None) -> None:
            if timer.active():
                timer.cancel()
                answer.callback(problems)

        worker.prepare(serial, config).addCallback(come)
        return answer

    def _reloaded(self) -> None:
        self._is_reloading = False
        for number, seat in self._seats.items():
            if seat.is_wanted:
                self._fill(number)
