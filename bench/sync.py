"""
How fast ``sync`` takes a bucket in, and in how much memory.

    .venv/bin/python -m bench.sync [--objects 100000]

A real S3 server and a real PostgreSQL with fsync on, on this machine, and the command
as it is started by a person. Every object is looked at by a HEAD, so the first runs are
bound by those; the last, of which all is known, by listings alone. Memory is the most
that the process had resident. The bar: 100,000 objects in under 200 MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import multiprocessing
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

from s3proxy.config import BackendConfig
from s3proxy.s3.sigv4 import sign_headers
from tests.daemon import ROOT, Daemon
from tests.servers import PostgresServer, S3Server

BAR_MIB = 200.0
WORKERS = 4
BODY = b"x" * 100


def key_of(number: int) -> str:
    """A thousand to a folder, as people have them."""
    return f"folder-{number // 1000:04}/object {number % 1000:03}.txt"


def fill(backend: BackendConfig, numbers: range) -> None:
    """Store objects, on one connection."""
    netloc = backend.endpoint.partition("//")[2]
    connection = http.client.HTTPConnection(netloc)
    digest = hashlib.sha256(BODY).hexdigest()
    for number in numbers:
        path = f"/{backend.bucket}/{key_of(number).replace(' ', '%20')}"
        headers = {"host": netloc, "x-amz-meta-number": str(number)}
        headers |= sign_headers(
            "PUT",
            path,
            "",
            headers,
            access_key_id=backend.access_key_id,
            secret_access_key=backend.secret_access_key,
            region=backend.region,
            payload_hash=digest,
            now=datetime.now(UTC),
        )
        connection.request("PUT", path, BODY, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status


def run_sync(daemon: Daemon, *options: str) -> tuple[float, float, str]:
    """Seconds, most resident MiB, and the last line."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "s3proxy", "--config", str(daemon.config)),
            *("sync", "--backend", "b", *options),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, lines[-5:]
    return time.perf_counter() - began, usage.ru_maxrss / 1024, lines[-1]


def main() -> int:
    """Run; the exit code is 1 where the bar was not held."""
    parser = argparse.ArgumentParser(description="sync, by the object.")
    parser.add_argument("--objects", type=int, default=100_000)
    count = parser.parse_args().objects
    out = sys.stdout
    settings = {"fsync": "on", "synchronous_commit": "on"}
    with PostgresServer(settings) as postgres, S3Server() as server:
        backend = server.create_bucket("b")
        step = -(-count // WORKERS)
        ranges = [range(n, min(n + step, count)) for n in range(0, count, step)]
        began = time.perf_counter()
        workers = [
            multiprocessing.Process(target=fill, args=(backend, each))
            for each in ranges
        ]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
            assert each.exitcode == 0
        took = time.perf_counter() - began
        out.write(f"{count:,} objects stored at {count / took:,.0f}/s\n")
        daemon = Daemon(postgres.create_database(), [backend])
        worst = 0.0
        for what in ("--dry-run", "", ""):
            seconds, mib, line = run_sync(daemon, *([what] if what else []))
            worst = max(worst, mib)
            out.write(f"{count / seconds:8,.0f}/s {mib:6.0f} MiB   {line}\n")
            out.flush()
    out.write(f"at most {worst:.0f} MiB, to be under {BAR_MIB:.0f}\n")
    return 0 if worst < BAR_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
