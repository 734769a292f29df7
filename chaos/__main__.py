"""``python -m chaos``: see :mod:`chaos`. Exit code 1 when a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from chaos.history import load
from chaos.judge import Violation, judge
from chaos.mutations import MUTATIONS, ROOT, broken
from chaos.running import Run
from chaos.world import WORKERS, World


def main() -> int:
    """Run, or judge a run that was, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of load and faults")
    parser.add_argument("--seed", type=int, help="of a run to repeat")
    parser.add_argument("--clients", type=int, default=32, help="at once")
    parser.add_argument("--workers", type=int, default=WORKERS, help="of each daemon")
    parser.add_argument("--out", type=Path, default=Path("chaos-out"), help="a folder")
    parser.add_argument(
        "--mutation", choices=sorted(MUTATIONS), help="break the build like this first"
    )
    parser.add_argument(
        "--judge", type=Path, metavar="FILE", help="only judge a saved history again"
    )
    options = parser.parse_args()
    if options.judge:
        return _report(judge(load(options.judge)))
    seed = secrets.randbits(32) if options.seed is None else options.seed
    _say(f"seed {seed}")
    with ExitStack() as stack:
        root = ROOT
        if options.mutation:
            _say(f"{options.mutation}: {MUTATIONS[options.mutation].words}")
            root = stack.enter_context(broken(options.mutation))
        try:
            return asyncio.run(_run(options, seed, root))
        except asyncio.CancelledError:
            _say("ended by a signal: no verdict")
            return 2


async def _run(options: argparse.Namespace, seed: int, root: Path) -> int:
    # Whoever ends a run wants its servers and their directories gone, too.
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    async with World(seed, root, options.workers) as world:
        run = Run(seed, options.minutes * 60, options.clients, world, options.out, _say)
        await run.run()
    told = run.summary()
    _say(
        f"{told['operations']} operations in {told['seconds_of_load']:.0f} s, "
        f"{told['operations_per_second']:.0f}/s, by {told['clients']} clients; "
        f"{told['acknowledged_writes']} writes acknowledged, "
        f"{told['writes_of_unknown_outcome']} of unknown outcome\n"
        f"{told['kill_cycles']} kill -9 cycles ({told['kills_at_points']} stops and "
        f"kills at {len(told['points'])} named points), {told['faults']} faults, "
        f"{sum(told['backend_requests_broken'].values())} of "
        f"{told['backend_requests']} backend requests broken, "
        f"{sum(told['commits_lost'].values())} commits cut off\n"
        f"{options.out / 'summary.json'}"
    )
    return _report(run.violations)


def _report(violations: list[Violation]) -> int:
    for each in violations[:10]:
        _say(f"\n{each.kind} {each.key}\n{each.words}")
    _say(f"{len(violations)} violations")
    return 1 if violations else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
