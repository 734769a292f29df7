"""Carries out the schedule."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator

from attrs import define, field

from chaos.http_rules import Rule
from chaos.judge import Violation
from chaos.postgres_faults import FATES, Order
from chaos.schedule import LANES, Fault, Lane, faults
from chaos.world import LEASE_SECONDS, World, is_running, signal_all
from tests.crash.ground import BreakableDaemon

#: For so long a point is waited for; then it is another's turn.
POINT_SECONDS = 3.0
#: For so long answers are waited for: where nothing works, that cannot be all.
ANSWER_SECONDS = 8.0
POLL_SECONDS = 0.02


@define(eq=False)
class Nemesis:
    """
    :ivar answers: How many answers clients have had by now.
    :ivar done: Faults carried out, by name.
    :ivar points: Points at which daemons died or stopped.
    :ivar violations: Of daemons that ended without being killed.
    """

    seed: int
    world: World
    answers: Callable[[], int]
    done: Counter[str] = field(factory=Counter)
    points: Counter[str] = field(factory=Counter)
    violations: list[Violation] = field(factory=list)
    _schedule: dict[Lane, Iterator[Fault]] = field(init=False)
    _over: bool = False

    @_schedule.default
    def _make_schedule(self) -> dict[Lane, Iterator[Fault]]:
        return {lane: faults(self.seed, lane) for lane in LANES}

    async def run(self, seconds: float) -> None:
        """Go on with every lane for so long, and end each with its fault."""
        self._over = False
        async with asyncio.TaskGroup() as lanes:
            for lane in LANES:
                lanes.create_task(self._lane(lane))
            await asyncio.sleep(seconds)
            self._over = True

    async def revive_all(self) -> None:
        """Start every daemon that has ended."""
        for number in range(len(self.world.daemons)):
            await self._revive(number)

    async def _lane(self, lane: Lane) -> None:
        while not self._over:
            fault = next(self._schedule[lane])
            await self._wait(fault)
            if self._over:
                return
            if lane[0] == "daemon":
                await self._revive(lane[1])
            await self._carry_out(lane, fault)

    async def _wait(self, fault: Fault) -> None:
        wanted = self.answers() + fault.answers
        await asyncio.sleep(fault.gap)
        for _ in range(round(ANSWER_SECONDS / POLL_SECONDS)):
            if self._over or self.answers() >= wanted:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _carry_out(self, lane: Lane, fault: Fault) -> None:
        realm, number = lane
        if realm == "backends":
            await self._break_backend(fault)
        elif realm == "database":
            await self._break_database(fault)
        else:
            await self._break_daemon(fault, number)

    async def _break_backend(self, fault: Fault) -> None:
        proxy = self.world.proxies[fault.target % len(self.world.proxies)]
        kind = fault.name.removeprefix("backend_")
        rule = Rule(kind, share=fault.share, seconds=fault.delay)
        before = proxy.counts[kind]
        proxy.rules.append(rule)
        await asyncio.sleep(fault.seconds)
        proxy.rules.remove(rule)
        # One that met no request was none.
        self.done[fault.name] += proxy.counts[kind] > before

    async def _break_database(self, fault: Fault) -> None:
        database, postgres = self.world.database, self.world.postgres
        fate = fault.name.removeprefix("commit_")
        if fate in FATES:
            order = Order(fate, left=1 + fault.target % 3)
            database.orders.append(order)
            await asyncio.sleep(fault.seconds)
            database.orders.remove(order)
        elif fault.name == "sessions_cut":
            database.cut()
        elif fault.name == "postgres_failover":
            await self.world.fail_over()
            await asyncio.sleep(fault.seconds)
            await self.world.threaded(postgres.follow)
        else:
            server = postgres.primary
            end = server.kill if fault.name == "postgres_kill" else server.stop
            await self.world.threaded(end)
            await asyncio.sleep(fault.seconds / 2)
            await self.world.threaded(server.start)
        self.done[fault.name] += 1

    async def _break_daemon(self, fault: Fault, number: int) -> None:
        world, daemon = self.world, self.world.daemons[number]
        if fault.name == "kill_all":
            # The others' lanes would start theirs while this one does.
            for each in world.daemons:
                signal_all(each, signal.SIGKILL)
            world.counts["kill -9"] += len(world.daemons) - 1
            await world.restart(daemon)
        elif fault.name == "kill":
            if not (fault.target % 2 and world.kill_worker(daemon, fault.target // 2)):
                await world.restart(daemon)
        elif fault.name == "stop":
            signal_all(daemon, signal.SIGSTOP)
            await asyncio.sleep(LEASE_SECONDS + 1)
            signal_all(daemon, signal.SIGCONT)
        else:
            action = "kill" if fault.name == "kill_point" else "stop"
            if not await self._trip(daemon, fault.point, action):
                return
            self.points[fault.point] += 1
            if action == "stop":
                await asyncio.sleep(LEASE_SECONDS + 1)
                signal_all(daemon, signal.SIGCONT)
            elif world.workers > 1 and fault.target % 2:
                # One of its workers; the daemon itself is to see to that.
                world.counts["kill -9"] += 1
            else:
                await world.restart(daemon)
        self.done[fault.name] += 1

    async def _trip(self, daemon: BreakableDaemon, point: str, action: str) -> bool:
        """Whether it came by there in time."""
        daemon.arm(point, action)
        for _ in range(round(POINT_SECONDS / POLL_SECONDS)):
            if not daemon.is_armed:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return is_running(daemon) and not daemon.disarm()

    async def _revive(self, number: int) -> None:
        """Start a daemon that has ended; one that did so by itself is to blame."""
        daemon = self.world.daemons[number]
        if is_running(daemon) or daemon.process is None:
            return
        if (code := daemon.process.returncode) != -signal.SIGKILL:
            tail = daemon.log.read_text(errors="replace")[-3000:]
            words = f"daemon {number} ended by itself, code {code}:\n{tail}"
            self.violations.append(Violation("ended", "", words))
        await self.world.start(daemon)
