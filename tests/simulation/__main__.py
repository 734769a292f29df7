"""
Run schedules: ``python -m tests.simulation --seeds 5000 --start 0``.

Each that shows a violation is told, with what replays it; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext

from twisted.logger import globalLogBeginner

from tests.simulation.mutations import MUTATIONS, broken
from tests.simulation.running import Outcome, command, run


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=2000, help="how many")
    parser.add_argument("--trace", action="store_true", help="print what happened")
    parser.add_argument("--digests", action="store_true", help="print one for each")
    parser.add_argument(
        "--mutation", choices=sorted(MUTATIONS), help="without this rule"
    )
    asked = parser.parse_args(arguments)
    if asked.seeds < 1:
        parser.error("--seeds wants a number above 0")
    failed, operations, steps = 0, 0, 0
    began = time.process_time()
    with broken(asked.mutation) if asked.mutation else nullcontext():
        for seed in range(asked.start, asked.start + asked.seeds):
            outcome = run(seed)
            operations += outcome.operations
            steps += len(outcome.trace)
            failed += bool(outcome.violations)
            tell(outcome, asked)
    seconds = max(time.process_time() - began, 0.001)
    say(
        f"{asked.seeds} schedules, {operations} operations, {steps} steps: {failed} "
        f"failed; {asked.seeds / seconds * 60:.0f} a minute of CPU"
    )
    return 1 if failed else 0


def tell(outcome: Outcome, asked: argparse.Namespace) -> None:
    """What is to be said of one."""
    if asked.trace:
        say("\n".join(outcome.trace))
    if asked.digests:
        say(f"{outcome.seed} {outcome.digest}")
    if outcome.violations:
        say(f"seed {outcome.seed}:")
        for violation in outcome.violations:
            say(f"  {violation}")
        again = command(outcome.seed)
        say(
            f"  {again} --mutation {asked.mutation}" if asked.mutation else f"  {again}"
        )


def say(text: str) -> None:
    """One line, or more."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # What is logged is the judge's, and nobody else's.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    sys.exit(main(sys.argv[1:]))
