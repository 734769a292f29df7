"""
Peak memory of one process under many large transfers at once.

    .venv/bin/python -m bench.memory [--count 64] [--mib 1024]

Uploads first, then downloads, of COUNT objects of MIB each at the same time, through a
real daemon and PostgreSQL to a backend that throws bodies away and makes answers up, so
that no disk is in the way. Prints the daemon's peak resident memory after each, which
must stay under 200 MiB, and the throughput of all together (the client takes its share
of the same processors).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from tests.daemon import Daemon
from tests.servers import PostgresServer
from tests.system import memory
from tests.system.discarding import DiscardingServer
from tests.system.memory import MIB

BAR_MIB = 200


def main() -> int:
    """Run; the exit code is 1 where the bar was not held."""
    parser = argparse.ArgumentParser(description="Peak memory under large transfers.")
    parser.add_argument("--count", type=int, default=64, help="transfers at once")
    parser.add_argument("--mib", type=int, default=1024, help="size of each, in MiB")
    arguments = parser.parse_args()
    count, size = arguments.count, arguments.mib * MIB
    peak_mib = 0.0
    with PostgresServer() as postgres, DiscardingServer() as backend:
        database = postgres.create_database()
        ledger = {"lease": "10m"}
        with Daemon(database, [backend.config()], ledger=ledger) as daemon:
            _say(f"at rest: {memory.resident_bytes(daemon.pid) / MIB:.1f} MiB")
            for name, transfer in (
                ("uploads", memory.upload_many),
                ("downloads", memory.download_many),
            ):
                memory.forget_peak(daemon.pid)
                seconds = _timed(transfer, daemon.port, count, size)
                peak_mib = max(peak_mib, memory.peak_bytes(daemon.pid) / MIB)
                _say(
                    f"{count} {name} of {arguments.mib} MiB at once: peak "
                    f"{memory.peak_bytes(daemon.pid) / MIB:.1f} MiB, "
                    f"{count * arguments.mib / seconds:.0f} MiB/s, {seconds:.0f} s"
                )
    _say(f"peak {peak_mib:.1f} MiB, bar {BAR_MIB} MiB")
    return 0 if peak_mib < BAR_MIB else 1


def _timed(
    transfer: Callable[[int, int, int], None], port: int, count: int, size: int
) -> float:
    began = time.monotonic()
    transfer(port, count, size)
    return time.monotonic() - began


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
