"""
What metrics cost: per request, and per scrape.

A small PUT is counted as the daemon counts it: the request, its operation, one call of
a backend and two statements; the work itself is left out. ``python -m bench.metrics``
does so in one process that is shown alone, and in one of several that are shown
together, and prints CPU time.

2026-11-25, 2 cores, shared with other work (load average 12), Python 3.11: alone 10.8
us a request and 1.3 ms a scrape of 22 KiB; one of four processes 23 us and 3.5 ms. A
PUT of 4 KiB takes the daemon about 2 ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import generate_latest
from twisted.internet.defer import Deferred

from s3proxy.observe import NOBODY, note_backend
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.pool_work import PoolWork
from s3proxy.telemetry.requests import Requests
from s3proxy.telemetry.work import BackendCalls, Rounds, Statements

REQUESTS = 20_000
ROUNDS = 5
#: Processes that are shown together.
WORKERS = 4


class Request:
    """A PUT that has been answered."""

    method, code, sentLength, startedWriting = b"PUT", 200, 0, 1
    gone, client_left = False, False

    class body:
        received = 4096


async def statement() -> None:
    """Nothing, where PostgreSQL would be."""


def uncounted() -> Callable[[], None]:
    """What is done where there are no metrics."""

    async def handle() -> None:
        for name in ("claim", "commit"):
            await NOBODY.statement(name, statement())

    return lambda: _run(handle())


def counted(metrics: Metrics) -> Callable[[], None]:
    """One request, counted everywhere."""
    requests, statements = Requests(metrics), Statements(metrics)
    calls = BackendCalls(metrics, ["b1", "b2"])

    async def handle() -> None:
        with requests.operation("PutObject"):
            await statements.statement("claim", statement())
            note_backend("b1")
            calls.called("b1", "PutObject", 0.02, None)
            await statements.statement("commit", statement())

    return lambda: _run(requests.over(Request, handle()))  # type: ignore[arg-type]


def _run(work: Any) -> None:
    assert Deferred.fromCoroutine(work).called


def microseconds(one: Callable[[], None]) -> float:
    """The least of a few rounds, per call."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REQUESTS):
            one()
        best = min(best, time.process_time() - began)
    return best / REQUESTS * 1e6


def report(name: str) -> None:
    """Of this process."""
    metrics = Metrics()
    PoolWork(metrics), Rounds(metrics)
    request = microseconds(counted(metrics)) - microseconds(uncounted())
    began = time.process_time()
    for _ in range(10):
        page = generate_latest(metrics.shown)
    scrape = (time.process_time() - began) / 10 * 1e3
    sys.stdout.write(
        f"{name}: {request:.1f} us a request, {scrape:.1f} ms a scrape "
        f"({len(page) / 1024:.0f} KiB)\n"
    )


def main() -> None:
    """Alone, then as the last of several."""
    if len(sys.argv) > 1:
        report(f"one of {WORKERS} processes")
        return
    report("one process")
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        for number in range(WORKERS):
            output = None if number == WORKERS - 1 else subprocess.DEVNULL
            subprocess.run(
                [sys.executable, "-m", "bench.metrics", "shared"],
                env=environ,
                stdout=output,
                check=True,
            )


if __name__ == "__main__":
    main()
