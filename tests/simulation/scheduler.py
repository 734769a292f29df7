"""Whatever waits, in one list; a seed says what goes on next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from random import Random
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from s3proxy.errors import StoreUnavailable
from tests.simulation.faults import Fate, Weather
from tests.simulation.owner import Owner, Stopped

T = TypeVar("T")

#: A request that is on its way arrives within so much of ``ledger.late``, or never.
ARRIVES = 0.9


@define(eq=False)
class Step:
    """
    Something that may happen next.

    :ivar owner: Whose it is; None: it is on the network, and happens whoever dies.
    :ivar sender: Who sent it.
    :ivar is_slow: It comes when there is nothing else to do, mostly.
    :ivar deadline: When it happens by itself, and then *force* in place of *go*.
    """

    owner: Owner | None
    words: str
    go: Callable[[], object]
    sender: Owner | None = None
    is_slow: bool = False
    deadline: float = inf
    force: Callable[[], object] | None = None


@define(eq=False)
class Scheduler:
    """
    :ivar trace: What happened, a line each.
    :ivar now: How many steps there have been: the time of histories.
    :ivar late_seconds: After which nothing that was sent arrives any more.
    :ivar slow: How many of the steps are: others overtake them all.
    :ivar soon: What is done before the next step: ends of connections.
    """

    random: Random
    clock: Clock
    late_seconds: float
    weather: Weather = field(factory=Weather)
    slow: float = 0.0
    steps: list[Step] = field(factory=list)
    trace: list[str] = field(factory=list)
    soon: deque[Callable[[], object]] = field(factory=deque)
    now: int = 0

    def note(self, words: str) -> None:
        """A line of the trace."""
        self.now += 1
        self.trace.append(f"{self.now:5} {self.clock.seconds():9.2f} {words}")

    def add(
        self,
        owner: Owner | None,
        words: str,
        go: Callable[[], object],
        sender: Owner | None = None,
    ) -> Step:
        """Let it happen some time."""
        is_slow = self.slow > 0 and self.random.random() < self.slow
        step = Step(owner, words, go, sender, is_slow)
        self.steps.append(step)
        return step

    def run_one(self, *, in_order: bool = False) -> bool:
        """One of the steps that can; whether it came to that."""
        able = [
            step
            for step in self.steps
            if step.owner is None or not (step.owner.is_paused or step.owner.is_dead)
        ]
        if not able:
            return False
        if in_order:
            self.run(able[0])
            return True
        quick = [step for step in able if not step.is_slow]
        if not quick and self.random.random() < 0.5:
            return False
        if not quick or self.random.random() < 0.05:
            quick = able
        self.run(self.random.choice(quick))
        return True

    def run(self, step: Step) -> None:
        """This one."""
        self.steps.remove(step)
        self.note(step.words)
        step.go()
        self.catch_up()

    def catch_up(self) -> None:
        """Do what was to be done before the next step."""
        while self.soon:
            self.soon.popleft()()

    def advance(self, seconds: float) -> None:
        """Time passes; what is on its way for too long arrives on time."""
        self.note(f"{seconds:.2f} s pass")
        until = self.clock.seconds() + seconds
        while due := [step for step in self.steps if step.deadline <= until]:
            step = min(due, key=lambda each: each.deadline)
            self.clock.advance(step.deadline - self.clock.seconds())
            if step in self.steps:
                assert step.force is not None
                step.go = step.force
                self.run(step)
        self.clock.advance(until - self.clock.seconds())
        self.catch_up()

    def forget(self, dead: Owner) -> None:
        """It died; what it had sent may be lost with it, or not."""
        for step in list(self.steps):
            is_lost = step.owner is dead or (
                step.owner is None
                and step.sender is dead
                and self.random.random() < 0.4
            )
            if is_lost:
                self.steps.remove(step)

    async def call(
        self,
        owner: Owner,
        words: str,
        do: Callable[[], T],
        fate: Fate,
        error: Callable[[Fate], Exception],
    ) -> T:
        """
        A call of a server by *owner*.

        :param do: What it does there, at once and whole.
        :param error: What *owner* sees where it does not get the answer.
        """
        owner.check()
        answer: Deferred[T] = Deferred()
        # Nobody waits for a pin, so nobody would take it that it was stopped.
        is_pin = words == "ledger pin"
        owner.waiting[answer] = StoreUnavailable("over") if is_pin else Stopped()
        outcome: list[T | Failure] = []
        # Whether the request and its answer travel as one: half as many steps.
        is_quick = fate is Fate.DONE and self.random.random() < 0.8
        hangs = fate in (Fate.HANGS, Fate.HANGS_DONE)

        def deliver() -> None:
            if owner.is_dead or answer.called:
                return
            del owner.waiting[answer]
            result = outcome[0] if outcome else Failure(error(fate))
            if fate is not Fate.DONE:
                result = Failure(error(fate))
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)

        def arrive(*, is_forced: bool = False) -> None:
            try:
                outcome.append(do())
            except Exception as why:
                outcome.append(Failure(why))
            if is_quick and not is_forced:
                deliver()
            elif fate is Fate.DONE or fate is Fate.NO_ANSWER:
                self.add(owner, f"{words}: answer", deliver)

        name = f"{owner.name} {words}" + (
            "" if fate is Fate.DONE else f" [{fate.value}]"
        )
        if fate in (Fate.REFUSED, Fate.LOST):
            self.add(owner, name, deliver)
        elif fate is not Fate.HANGS:
            self._send(owner if is_quick else None, owner, name, arrive)
        if fate is Fate.LATE:
            self.add(owner, f"{words}: given up", deliver)
        if hangs:
            self.note(f"{name} begins")
            seconds = self.random.uniform(10.0, 40.0)

            def wake() -> None:
                self.add(owner, f"{words}: timed out", deliver)

            self.clock.callLater(seconds, wake)
        return await answer

    def _send(
        self,
        owner: Owner | None,
        sender: Owner,
        words: str,
        arrive: Callable[..., None],
    ) -> None:
        """It arrives some time, but not after ``ledger.late``."""
        step = self.add(owner, words, arrive, sender)
        step.deadline = self.clock.seconds() + self.late_seconds * ARRIVES
        step.force = partial(arrive, is_forced=True)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise AssertionError("it waits for something")
