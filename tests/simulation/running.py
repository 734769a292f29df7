"""One schedule, from its seed to the judge's word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import frozen
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from chaos.judge import judge
from s3proxy.manager import reading, writing
from tests.simulation.owner import Stopped
from tests.simulation.world import TURNS, World


@frozen
class Outcome:
    """What came of a schedule; *violations* are what must not be."""

    seed: int
    violations: Sequence[str]
    trace: Sequence[str]
    operations: int

    @property
    def digest(self) -> str:
        """The same for the same trace."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def command(seed: int) -> str:
    """What replays a schedule."""
    return f"python -m tests.simulation --start {seed} --seeds 1 --trace"


def run(seed: int) -> Outcome:
    """Let it happen."""
    with _logged() as logged, _small():
        world = World(seed)
        try:
            for _ in range(TURNS):
                if world.is_done:
                    break
                world.turn()
            world.settle()
            world.read_all()
        finally:
            world.close()
    found = [*world.violations, *world.clients.failures, *logged]
    found += world.shared.promises.violations
    found += [
        f"{each.kind} at {each.key}: {each.words}"
        for each in judge(world.record.events)
    ]
    return Outcome(seed, found, world.scheduler.trace, len(world.record.events))


@contextmanager
def _small() -> Iterator[None]:
    """Bodies of hundreds of bytes go the ways of large ones."""
    were = writing.KEPT_BYTES, writing.PIECE_BYTES, reading.AHEAD_BYTES
    writing.KEPT_BYTES, writing.PIECE_BYTES, reading.AHEAD_BYTES = 150, 64, 100
    try:
        yield
    finally:
        writing.KEPT_BYTES, writing.PIECE_BYTES, reading.AHEAD_BYTES = were


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What no log may say: tracebacks, and that an object cannot be read."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure")
        if event["log_level"] is not LogLevel.critical:
            return
        if failure is None:
            # The head of what Twisted tells of a failure that nobody takes.
            if event.get("log_format") != "Unhandled error in Deferred:":
                found.append(f"logged: {formatEvent(event)}")
        elif not failure.check(Stopped):
            found.append(f"logged: {formatEvent(event)}: {failure.getTraceback()}")

    globalLogPublisher.addObserver(observe)
    try:
        yield found
    finally:
        globalLogPublisher.removeObserver(observe)
