"""A run: load and faults, then peace, and a look at what is there; again and again."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from chaos.history import save
from chaos.judge import Violation, judge
from chaos.load import Load
from chaos.nemesis import Nemesis
from chaos.world import World

EPOCH_SECONDS = 60.0


@define(eq=False)
class Run:
    """
    :ivar seconds: Of load and faults, all epochs together.
    :ivar out: Where the summary goes, and the history of a run that went wrong.
    :ivar say: Told how it goes, a line at a time.
    :ivar violations: What was found; the run ends with the first epoch that has some.
    """

    seed: int
    seconds: float
    clients: int
    world: World
    out: Path
    say: Callable[[str], None]
    violations: list[Violation] = field(factory=list)
    load: Load = field(init=False)
    nemesis: Nemesis = field(init=False)
    _epochs: int = 0
    _loaded_seconds: float = 0.0
    _settle_seconds: float = 0.0
    _began: float = field(factory=time.monotonic)

    def __attrs_post_init__(self) -> None:
        self.load = Load(self.seed, self.world.ports)
        self.nemesis = Nemesis(self.seed, self.world, lambda: self.load.answers)

    async def run(self) -> None:
        """All epochs; what came of them is in the file and in :attr:`violations`."""
        while self._loaded_seconds < self.seconds and not self.violations:
            left = self.seconds - self._loaded_seconds
            await self._epoch(min(EPOCH_SECONDS, max(left, 1.0)))
        if not self.violations and (text := await self.world.check()):
            self.violations.append(Violation("check", "", text))
        self.out.mkdir(parents=True, exist_ok=True)
        summary = self.summary()
        (self.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        if self.violations:
            save(self.out / "history.jsonl", self.load.record.events)
            for number, daemon in enumerate(self.world.daemons):
                (self.out / f"daemon-{number}.log").write_bytes(daemon.log.read_bytes())

    async def _epoch(self, seconds: float) -> None:
        self._epochs += 1
        began = time.monotonic()
        async with asyncio.TaskGroup() as both:
            both.create_task(self.nemesis.run(seconds))
            both.create_task(self.load.run(self.clients, seconds))
        self._loaded_seconds += time.monotonic() - began
        await self.nemesis.revive_all()
        await self.world.heal()
        settle_seconds, found = await self.world.settle()
        self._settle_seconds = max(self._settle_seconds, settle_seconds)
        self.load.record.settled()
        for port in self.world.ports():
            for failure in await self.load.record.read_all(port):
                found.append(Violation("unreadable", "", failure))
        found += await self.world.differences()
        found += self.nemesis.violations
        found += self.world.tracebacks()
        found += await asyncio.to_thread(judge, self.load.record.events)
        self.violations += found
        self.say(
            f"epoch {self._epochs}: {len(self.load.record.events)} operations, "
            f"{self.world.counts['kill -9']} kills, "
            f"{sum(self.nemesis.done.values())} faults, settled in "
            f"{settle_seconds:.1f} s, {len(found)} violations"
        )

    def summary(self) -> dict[str, Any]:
        """The figures."""
        events = [each for each in self.load.record.events if each.kind != "settled"]
        faults = Counter(self.nemesis.done)
        broken: Counter[str] = Counter()
        for proxy in self.world.proxies:
            broken.update(proxy.counts)
        writes = [each for each in events if each.kind not in ("get", "list")]
        requests = sum(self.load.counts.values())
        return {
            "seed": self.seed,
            "verdict": "violations" if self.violations else "none",
            "violations": [asdict(each) for each in self.violations],
            "epochs": self._epochs,
            "daemons": len(self.world.daemons),
            "workers": self.world.workers,
            "clients": self.clients,
            "seconds_of_load": round(self._loaded_seconds, 1),
            "seconds_in_all": round(time.monotonic() - self._began, 1),
            "operations": requests,
            "operations_per_second": round(requests / max(self._loaded_seconds, 1), 1),
            "acknowledged_writes": sum(each.is_done for each in writes),
            "refused_writes": sum(each.is_refused for each in writes),
            "writes_of_unknown_outcome": sum(
                not each.is_done and not each.is_refused for each in writes
            ),
            "longest_settling_seconds": round(self._settle_seconds, 1),
            "kill_cycles": self.world.counts["kill -9"],
            "kills_at_points": sum(self.nemesis.points.values()),
            "points": dict(sorted(self.nemesis.points.items())),
            "failed_starts": self.world.counts["failed starts"],
            "faults": sum(faults.values()),
            "faults_by_name": dict(sorted(faults.items())),
            "backend_requests": sum(each.requests for each in self.world.proxies),
            "backend_requests_broken": dict(sorted(broken.items())),
            "commits_lost": dict(sorted(self.world.database.counts.items())),
            "answers": dict(sorted(self.load.counts.items())),
        }
