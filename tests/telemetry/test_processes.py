"""
One page of several processes.

What the client library does is decided when it is imported, so each process here is a
real one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3proxy.errors import ConfigError
from s3proxy.telemetry.metrics import Metrics
from tests.daemon import ROOT
from tests.telemetry.pages import Page

#: One request under way and one that has ended, in each; the second sees the ledger
#: later than the first.
_WORKER = """
import sys
from twisted.internet.defer import Deferred
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.requests import Requests
from s3proxy.telemetry.pool_work import PoolWork
from s3proxy.telemetry.work import BackendCalls
from s3proxy.errors import BackendMissing
used = int(sys.argv[1])
metrics = Metrics(now=lambda: float(used))
requests, pool = Requests(metrics), PoolWork(metrics)
class Request:
    method, code, sentLength, startedWriting = b"GET", 200, 5, 1
    gone, client_left = False, False
async def handle():
    with requests.operation("GetObject"):
        pass
Deferred.fromCoroutine(requests.over(Request, handle()))
kept = Deferred.fromCoroutine(requests.over(Request, Deferred()))
calls = BackendCalls(metrics, ["b1"])
calls.called("b1", "GetObject", 0.1, BackendMissing("b1", "gone"))
metrics.gauge("s3proxy_breaker_state").labels("b1", "read").set(used % 2)
metrics.gauge("s3proxy_quota_bytes_used").labels("b1").set(used)
metrics.gauge("s3proxy_ledger_last_refresh_timestamp_seconds").set(used)
class Done:
    strategy, is_good, seconds, skipped, failed = "pack", True, 1, None, 0
    moved, bytes_moved, made, pending = 1, 5, 1, used
pool.rebalanced(Done)
pool.replicated(Done)
metrics.sample()
print("ready", flush=True)
sys.stdin.read()
"""
_SCRAPE = """
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.requests import Requests
from prometheus_client import generate_latest
metrics = Metrics()
Requests(metrics)
print(generate_latest(metrics.shown).decode(), end="")
"""
_BURY = """
import sys
from prometheus_client.multiprocess import mark_process_dead
mark_process_dead(int(sys.argv[1]))
"""


class Group:
    """Worker processes that share a directory."""

    def __init__(self, folder: Path) -> None:
        self.environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        self.workers: list[subprocess.Popen[str]] = []

    def start(self, *arguments: int) -> None:
        """Start workers together, and wait for them."""
        new = [
            subprocess.Popen(
                [sys.executable, "-c", _WORKER, str(each)],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for each in arguments
        ]
        self.workers += new
        for each in new:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"

    def run(self, code: str, *arguments: str) -> str:
        """Run code that belongs to the group; what it writes."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        """End those that are left."""
        for each in self.workers:
            if each.poll() is None:
                each.send_signal(signal.SIGKILL)
            each.communicate()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """None are started yet."""
    made = Group(tmp_path)
    yield made
    made.end()


def test_one_scrape_is_the_whole(group: Group) -> None:
    """Sums, the latest of what is read from the ledger, and what is there, once."""
    group.start(10)
    group.start(21)
    page = Page(group.run(_SCRAPE))
    assert page.value("s3proxy_requests_total", method="GET", status_code="200") == 2
    assert page.value("s3proxy_inflight_requests", method="GET") == 2
    assert page.value("s3proxy_inflight_requests", method="PUT") == 0
    assert page.total("s3proxy_manager_requests_total", operation="GetObject") == 2
    seconds = "s3proxy_request_duration_seconds"
    assert page.value(f"{seconds}_bucket", method="GET", le="+Inf") == 2
    assert page.value(f"{seconds}_count", method="GET") == 2
    errors = page.total("s3proxy_backend_errors_total", kind="missing")
    assert errors == page.total("s3proxy_backend_requests_total", status="error") == 2
    assert page.value("s3proxy_breaker_state", backend="b1", calls="read") == 1
    assert page.value("s3proxy_breaker_state", backend="b1", calls="write") == 0
    assert page.value("s3proxy_quota_bytes_used", backend="b1") == 21
    assert page.value("s3proxy_ledger_last_refresh_timestamp_seconds") == 21
    assert page.value("s3proxy_replication_pending") == 21
    assert page.value("s3proxy_replication_copies_created_total") == 2
    assert page.value("s3proxy_rebalance_bytes_moved_total", strategy="pack") == 10
    assert page.total("s3proxy_build_info") == 1
    # A worker takes more than 20 MB; the page is of both.
    assert page.total("process_resident_memory_bytes") > 4e7
    assert page.total("process_cpu_seconds_total") > 0.1
    assert "pid=" not in page.text
    # One dies in the middle of its request, and whoever looks after it says so.
    group.workers[0].send_signal(signal.SIGKILL)
    group.workers[0].wait()
    group.run(_BURY, str(group.workers[0].pid))
    page = Page(group.run(_SCRAPE))
    assert page.value("s3proxy_inflight_requests", method="GET") == 1
    assert page.value("s3proxy_requests_total", method="GET", status_code="200") == 2
    assert page.value("s3proxy_quota_bytes_used", backend="b1") == 21


def test_the_directory_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere' is no directory"):
        Metrics(environ={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "nowhere")})


def test_the_directory_comes_too_late(tmp_path: Path) -> None:
    """The client library has decided by now that there is one process."""
    with pytest.raises(ConfigError, match="set after prometheus_client had been"):
        Metrics(environ={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})


def test_one_process_shows_itself() -> None:
    """As every exporter does; nothing is written anywhere."""
    metrics = Metrics(environ={})
    assert not metrics.is_shared
    page = Page.of(metrics.shown)
    assert page.total("process_open_fds") > 3
    assert page.total("process_start_time_seconds") > 1e9
