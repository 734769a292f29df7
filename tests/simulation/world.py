"""Everything that there is while a schedule runs, and what may happen in it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from attrs import define, field
from twisted.internet.task import Clock

from chaos.history import Event
from chaos.record import Record
from s3proxy.model import CopyCount
from tests.fakes.backend import MemoryBackend
from tests.fakes.uploads import MemoryUploads
from tests.fakes.whole import WholeLedger
from tests.simulation.checks import left_over, next_due
from tests.simulation.clients import KEYS, WEIGHTS, Clients, some_of
from tests.simulation.faults import Temper
from tests.simulation.owner import Owner
from tests.simulation.process import (
    GRACE_SECONDS,
    HOLD_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    ROUND_SECONDS,
    Process,
    Shared,
)
from tests.simulation.remote_ledger import Promises
from tests.simulation.scheduler import Scheduler

#: Operations of clients in one schedule, and steps in which they begin.
OPERATIONS, TURNS = 25, 400

#: Clients that are at work at once.
AT_ONCE = 6

#: Looks at whether recovery is through, each after the next thing that was due.
SETTLING = 60


@define(eq=False)
class World:
    """Everything that there is while a schedule runs."""

    seed: int
    random: Random = field(init=False)
    temper: Temper = field(init=False)
    scheduler: Scheduler = field(init=False)
    shared: Shared = field(init=False)
    clients: Clients = field(init=False)
    processes: list[Process] = field(factory=list)
    record: Record = field(factory=Record)
    violations: list[str] = field(factory=list)
    _begun: int = 0
    _born: list[Process] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        random = self.random = Random(self.seed)
        clock = Clock()
        self.scheduler = Scheduler(random, clock, LATE_SECONDS)
        names = ("one", "two", "three")[: random.choice((1, 2, 2, 3, 3))]
        factor = random.choice((1, 1, 2)) if len(names) > 1 else 1
        quorum = random.randint(1, factor)
        limits = {name: random.choice((0, 0, 2500)) for name in names}
        ledger = WholeLedger(
            clock,
            limits,
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
            late_seconds=LATE_SECONDS,
            hold_seconds=HOLD_SECONDS,
        )
        self.shared = Shared(
            self.scheduler,
            ledger,
            MemoryUploads(ledger, least_part_bytes=0),
            {name: MemoryBackend(name) for name in names},
            Promises(clock.seconds, GRACE_SECONDS),
            factor,
            CopyCount(quorum, factor) if quorum > 1 else CopyCount(),
            clock,
        )
        temper = self.temper = Temper.of(random)
        self.clients = Clients(
            self.scheduler,
            self.record,
            lambda: self.processes,
            some_of(WEIGHTS, random),
            KEYS[: temper.keys],
        )
        self.scheduler.note(f"backends {limits}, factor {factor}, quorum {quorum}")
        self.scheduler.note(str(temper))
        self.scheduler.slow = temper.slow
        self._change()
        for _ in range(2):
            self._start()

    @property
    def is_done(self) -> bool:
        """Whether all clients have been told all."""
        return self._begun == OPERATIONS and not self.clients.running

    # What may happen ---

    def turn(self) -> None:
        """One thing, whichever."""
        temper = self.temper
        choices = (
            (temper.begins, self._begin),
            (temper.passes, self._pass),
            (temper.jumps, self._jump),
            (temper.kills, self._kill),
            (temper.pauses, self._pause_or_go_on),
            (temper.changes, self._change),
            (temper.drains, self._drain_or_not),
        )
        chance = self.random.random()
        for share, happen in choices:
            if chance < share:
                happen()
                return
            chance -= share
        if not self.scheduler.run_one():
            self._pass()

    def settle(self) -> None:
        """All is well again, recovery goes on until nothing is left to do."""
        self.scheduler.note("everything recovers")
        self.scheduler.weather.calm()
        for process in list(self.processes):
            if process.owner.is_paused:
                process.owner.resume()
        if len(self.shared.ledger.draining) == len(self.shared.backends):
            self.shared.ledger.draining.clear()
        if self.random.random() < 0.5:
            self._run_out()
        # One is enough, and costs half the time.
        self._end(self.random.choice(self.processes))
        self._run_out()
        for _ in range(SETTLING):
            if not self.clients.running and not left_over(self.shared):
                break
            now = self.shared.clock.seconds()
            wait = next_due(self.shared) - now
            self.scheduler.advance(wait + ROUND_SECONDS)
            self._run_out()
        self.violations += left_over(self.shared)
        if self.clients.running:
            self.violations.append(f"{self.clients.running} clients wait for ever")

    def read_all(self) -> None:
        """Every key, and the list."""
        now = float(self.scheduler.now)
        self.record.events.append(Event("settled", "", now, now))
        for key in self.clients.keys:
            self._last(self.clients.get(0, key=key), f"GET {key}", (200, 404))
        self._last(self.clients.list(0), "LIST", (200,))
        for process in self.processes:
            if process.leases._held:
                held = ", ".join(process.leases._held)
                self.violations.append(f"leases are held for ever: {held}")
            if process.site.drain.in_flight:
                self.violations.append(f"{process.owner.name}: requests at work")

    def close(self) -> None:
        """Nobody goes on."""
        for process in self._born:
            process.owner.close()

    # Inside ---

    def _start(self) -> None:
        name = f"p{len(self._born) + 1}"
        self.scheduler.note(f"{name} starts")
        self._born.append(Process(self.shared, Owner(name)))
        self.processes.append(self._born[-1])

    def _begin(self) -> None:
        if self._begun < OPERATIONS and self.clients.running < AT_ONCE:
            self._begun += 1
            self.clients.start(self._begun)

    def _pass(self) -> None:
        self.scheduler.advance(self.random.choice((0.5, 2.0, 5.0)))

    def _jump(self) -> None:
        self.scheduler.advance(self.random.choice((12.0, 35.0, 70.0)))

    def _change(self) -> None:
        words = self.scheduler.weather.change(self.random, self.temper)
        self.scheduler.note(words)

    def _kill(self) -> None:
        """And another one comes."""
        self._end(self.random.choice(self.processes))
        self._start()

    def _end(self, process: Process) -> None:
        self.scheduler.note(f"{process.owner.name} dies")
        process.owner.kill()
        self.scheduler.forget(process.owner)
        self.processes.remove(process)
        for wire in list(self.clients.wires):
            if wire.process is process:
                wire.broken()
        self.scheduler.catch_up()

    def _pause_or_go_on(self) -> None:
        process = self.random.choice(self.processes)
        if process.owner.is_paused:
            self.scheduler.note(f"{process.owner.name} goes on")
            process.owner.resume()
            self.scheduler.catch_up()
        else:
            self.scheduler.note(f"{process.owner.name} is paused")
            process.owner.is_paused = True

    def _drain_or_not(self) -> None:
        name = self.random.choice(list(self.shared.backends))
        draining = self.shared.ledger.draining
        self.scheduler.note(f"{name}: drain, or not")
        draining.symmetric_difference_update({name})

    def _run_out(self) -> None:
        while self.scheduler.run_one(in_order=True):
            pass

    def _last(self, work: object, words: str, wanted: Sequence[int]) -> None:
        came: list[object] = []
        self.clients.run(work, words).addBoth(came.append)  # type: ignore[arg-type]
        self._run_out()
        status = getattr(came[0], "status", came[0]) if came else "not answered"
        if status not in wanted:
            self.violations.append(f"{words} is {status}, after recovery")
