"""
What a second worker brings: ``server.workers: 2`` beside 1, in one run.

    .venv/bin/python -m bench.workers [--rounds 5] [--workers 2]

Two daemons over the same backend server and PostgreSQL, each with a database of its
own; in every round both do the same, in random order, and the one that does not have
its turn is stopped. A ratio is the median of the ratios within a round, with the least
and the greatest. How far it can go depends on the machine: backend, PostgreSQL and
loader want cores too. So the report also tells how many cores' worth of CPU time the
proxy's processes had, and how even the workers' shares were.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from attrs import frozen

from bench.compare import SMALL, SMALL_ORDER, Settings, Turn
from bench.loader import Loader, Outcome, Target
from bench.subjects import DURABLE, QUOTA_BYTES, Subject, cpu_seconds
from s3proxy.config import BackendConfig
from tests.crew import Crew
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon
from tests.servers import PostgresServer, S3Server


@frozen
class Side:
    """
    One daemon.

    :ivar pids: Of the processes that serve.
    :ivar all_pids: With that of the master.
    """

    subject: Subject
    pids: tuple[int, ...]
    all_pids: tuple[int, ...]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        for each in self.all_pids:
            os.kill(each, number)


@frozen
class Cell:
    """What one side did in one round: answers per second, and CPU per process."""

    outcome: Outcome
    cpu: tuple[float, ...]

    @property
    def cores(self) -> float:
        """Cores' worth of CPU time of all its processes that serve."""
        return sum(self.cpu) / (self.outcome.ended - self.outcome.began)

    @property
    def cpu_ms(self) -> float:
        """CPU time of all of them for one answer."""
        return 1000 * sum(self.cpu) / max(self.outcome.done, 1)

    @property
    def largest_share(self) -> float:
        """The part of it that the busiest process had."""
        return max(self.cpu) / (sum(self.cpu) or 1.0)


@contextlib.contextmanager
def sides(workers: int) -> Iterator[list[Side]]:
    """One process, and several."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(S3Server())
        postgres = stack.enter_context(PostgresServer(DURABLE))

        def backends(name: str) -> list[BackendConfig]:
            return [server.create_bucket(name, quota_bytes=QUOTA_BYTES)]

        def subject(daemon: Daemon, name: str) -> Subject:
            target = Target(daemon.endpoint, BUCKET, KEY_ID, SECRET)
            return Subject(name, target, daemon.pid, postgres.pid)

        # No ledger times: the defaults.
        alone = stack.enter_context(
            Daemon(postgres.create_database(), backends("one"), ledger={})
        )
        crew = stack.enter_context(
            Crew(postgres.create_database(), backends("several"), workers, ledger={})
        )
        pids = tuple(crew.workers().values())
        yield [
            Side(subject(alone, "1"), (alone.pid,), (alone.pid,)),
            Side(subject(crew, str(workers)), pids, (crew.pid, *pids)),
        ]


@contextlib.contextmanager
def only(chosen: Side, among: Sequence[Side]) -> Iterator[None]:
    """Let no other side run."""
    others = [each for each in among if each is not chosen]
    try:
        for each in others:
            each.signal(signal.SIGSTOP)
        yield
    finally:
        for each in others:
            each.signal(signal.SIGCONT)


def measure(
    ready: Sequence[Side], loader: Loader, settings: Settings, errors: list[str]
) -> dict[str, list[list[Cell]]]:
    """By operation, the cells of each round, in the order of *ready*."""
    found: dict[str, list[list[Cell]]] = defaultdict(list)

    def note(side: Side, what: str, outcome: Outcome) -> None:
        for error, count in outcome.errors.items():
            errors.append(f"{side.subject.name}, {what}: {count} x {error}")

    for each in ready:
        with only(each, ready):
            turn = Turn(loader, settings, each.subject, 0)
            note(each, "seed", turn.seed())
            for operation in SMALL_ORDER:
                note(each, "warm-up", turn.run(operation))
    for number in range(1, settings.rounds + 1):
        cells: dict[str, dict[str, Cell]] = defaultdict(dict)
        for each in random.sample(ready, len(ready)):
            sys.stderr.write(f"round {number}: {each.subject.name}\n")
            with only(each, ready):
                turn = Turn(loader, settings, each.subject, number)
                for operation in SMALL_ORDER:
                    before = [cpu_seconds(pid) for pid in each.pids]
                    outcome = turn.run(operation)
                    note(each, operation, outcome)
                    after = [cpu_seconds(pid) for pid in each.pids]
                    cpu = tuple(b - a for a, b in zip(before, after, strict=True))
                    cells[operation][each.subject.name] = Cell(outcome, cpu)
        for operation, of_side in cells.items():
            found[operation].append([of_side[each.subject.name] for each in ready])
    return found


def report(found: dict[str, list[list[Cell]]], names: Sequence[str]) -> Iterator[str]:
    """Markdown."""
    one, several = names
    yield (
        f"| operation | {several} workers over {one} | {one}: per s | cores | CPU ms | "
        f"{several}: per s | cores | CPU ms | largest share |"
    )
    yield "|---" * 9 + "|"
    for operation in SMALL:
        rounds = found[operation]
        ratios = [b.outcome.per_second / a.outcome.per_second for a, b in rounds]
        first, second = ([each[at] for each in rounds] for at in (0, 1))
        yield (
            f"| {operation} | {median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}) | "
            f"{median(c.outcome.per_second for c in first):.0f} | "
            f"{median(c.cores for c in first):.2f} | "
            f"{median(c.cpu_ms for c in first):.2f} | "
            f"{median(c.outcome.per_second for c in second):.0f} | "
            f"{median(c.cores for c in second):.2f} | "
            f"{median(c.cpu_ms for c in second):.2f} | "
            f"{median(c.largest_share for c in second):.0%} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the exit code tells whether there were errors."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="at most, per cell")
    parser.add_argument("--requests", type=int, default=3000, help="at most, per cell")
    parser.add_argument("--connections", type=int, default=32)
    chosen = parser.parse_args(arguments)
    settings = Settings(
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        requests=chosen.requests,
        connections=chosen.connections,
        streams=1,
        large=1,
        seeds=500,
    )
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    out, errors = sys.stdout, list[str]()
    out.write(f"{os.cpu_count()} cores; load average at the start: {load}\n\n")
    with Loader(2) as loader, sides(chosen.workers) as ready:
        found = measure(ready, loader, settings, errors)
        names = [each.subject.name for each in ready]
    for line in [*report(found, names), *(errors or ["No errors."])]:
        out.write(f"{line}\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
