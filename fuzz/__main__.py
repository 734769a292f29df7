"""``python -m fuzz``: see :mod:`fuzz`. Exit code 1 when something was found."""

from __future__ import annotations

import argparse
import secrets
import sys

from fuzz.running import Run
from fuzz.targets import targets


def main() -> int:
    """Run, and print a table and what was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many")
    parser.add_argument("--minutes", type=float, help="how long, instead")
    parser.add_argument("--seed", type=int, help="of a run to repeat")
    parser.add_argument("--targets", help="some of them, parted by commas")
    parser.add_argument("--replay", metavar="TARGET:NUMBER", help="one input again")
    options = parser.parse_args()
    known = targets()
    names = options.targets.split(",") if options.targets else list(known)
    if options.replay:
        names = [options.replay.partition(":")[0]]
    strange = [name for name in names if name not in known]
    if strange:
        parser.error(f"no target {', '.join(strange)}: want of {', '.join(known)}")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    run = Run.of({name: known[name] for name in names}, seed)
    _say(f"seed {seed}")
    if options.replay:
        name, _, index = options.replay.partition(":")
        _say(f"{name}:{index}: {run.one(name, int(index))!r}")
    elif options.minutes:
        run.minutes(options.minutes)
    else:
        run.inputs(options.inputs)
    _report(run)
    return 1 if run.findings else 0


def _report(run: Run) -> None:
    for name, tally in run.tallies.items():
        if tally.inputs:
            _say(
                f"{name:14} {tally.inputs:9,} inputs, {tally.refused:9,} refused, "
                f"{tally.seconds:7.1f} s, {tally.inputs / tally.seconds:8,.0f}/s"
            )
    total = sum(tally.inputs for tally in run.tallies.values())
    seconds = sum(tally.seconds for tally in run.tallies.values())
    if total:
        _say(
            f"{'all':14} {total:9,} inputs in {seconds:.1f} s, {total / seconds:,.0f}/s"
        )
    for each in run.findings[:3]:
        _say(f"\n{each.target}:{each.index}: {each.data!r}\n{each.trace}")
        _say(f"python -m fuzz --seed {run.seed} --replay {each.target}:{each.index}")
    _say(f"{len(run.findings)} findings")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
