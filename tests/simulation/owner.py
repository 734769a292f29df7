"""A process as the schedule knows it: what dies, or rests, with it; and its clock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer


class Stopped(GeneratorExit):
    """
    What code of a dead process meets where it goes on all the same.

    That is when the schedule is over, and what was left suspended is ended: by hand, or
    by Python, which takes no other exception than one of this kind.
    """


@define(eq=False)
class Owner:
    """
    Who waits: a process, or a client.

    :ivar is_dead: Nothing of it goes on any more.
    :ivar is_paused: Nothing of it goes on for now; *held* is what its timers would do.
    :ivar waiting: For answers of servers; with what the wait ends when all is over.
    """

    name: str
    is_dead: bool = False
    is_paused: bool = False
    held: list[Callable[[], object]] = field(factory=list)
    waiting: dict[Deferred[Any], BaseException] = field(factory=dict)

    def check(self) -> None:
        """:raises Stopped: It is dead."""
        if self.is_dead:
            raise Stopped

    def kill(self) -> None:
        """At once, wherever it is."""
        self.is_dead = True
        self.held.clear()

    def close(self) -> None:
        """The schedule is over: end what is suspended, each in its own context."""
        self.kill()
        while self.waiting:
            answer, why = self.waiting.popitem()
            answer.errback(Failure(why))

    def resume(self) -> None:
        """Go on, with the timers that ran out meanwhile first."""
        self.is_paused = False
        held, self.held = self.held, []
        for each in held:
            each()


@implementer(IDelayedCall)
class Timer:
    """A call to come of one process: it rests with it, and is active as long."""

    def __init__(self, clock: Clock, owner: Owner, seconds: float, do: Any) -> None:
        self._clock, self._owner, self._do = clock, owner, do
        self._is_over = False
        self._set(seconds)

    def getTime(self) -> float:
        """See IDelayedCall."""
        return self._at

    def cancel(self) -> None:
        """See IDelayedCall."""
        self._check()
        self._is_over = True
        self._unset()

    def delay(self, seconds: float) -> None:
        """See IDelayedCall."""
        self.reset(self._at + seconds - self._clock.seconds())

    def reset(self, seconds: float) -> None:
        """See IDelayedCall."""
        self._check()
        self._unset()
        self._set(seconds)

    def active(self) -> bool:
        """See IDelayedCall."""
        return not self._is_over

    def _check(self) -> None:
        if self._is_over:
            raise AlreadyCalled

    def _set(self, seconds: float) -> None:
        self._at = self._clock.seconds() + max(seconds, 0.0)
        self._call = self._clock.callLater(max(seconds, 0.0), self._fire)

    def _unset(self) -> None:
        if self._call.active():
            self._call.cancel()
        if self._fire in self._owner.held:
            self._owner.held.remove(self._fire)

    def _fire(self) -> None:
        if self._is_over or self._owner.is_dead:
            return
        if self._owner.is_paused:
            self._owner.held.append(self._fire)
            return
        self._is_over = True
        self._do()


@implementer(IReactorTime)
@define(eq=False)
class ProcessClock:
    """The time, as one process has it: its timers die with it, and rest with it."""

    _clock: Clock
    _owner: Owner

    def seconds(self) -> float:
        """See IReactorTime."""
        return float(self._clock.seconds())

    def callLater(
        self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> Timer:
        """See IReactorTime."""
        do = partial(function, *args, **kwargs)
        return Timer(self._clock, self._owner, delay, do)

    def getDelayedCalls(self) -> Any:
        """See IReactorTime."""
        return self._clock.getDelayedCalls()
