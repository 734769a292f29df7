"""
Budgets of two daemons at once, with twenty clients: a counting backend judges.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.store.dsn import connection_arguments
from tests.daemon import BUCKET, Daemon

# Takes long.
pytestmark = pytest.mark.system

CLIENTS = 20
LIMIT_A, LIMIT_B = 60, 40


class Judge(ThreadingHTTPServer):
    """A backend that keeps objects in memory, and counts."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kept: dict[str, bytes] = {}
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()

    def config(self, name: str) -> BackendConfig:
        """As a backend."""
        port = self.server_address[1]
        return BackendConfig(
            name,
            f"http://127.0.0.1:{port}",
            "us-east-1",
            "judged",
            "key",
            "secret",
            True,
            0,
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Judge

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.kept[self.path] = data
        self._answer(200, b"", etag=hashlib.md5(data).hexdigest())

    def do_GET(self) -> None:
        data = self.server.kept.get(self.path)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, data, etag=hashlib.md5(data).hexdigest())

    def do_DELETE(self) -> None:
        self.server.kept.pop(self.path, None)
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes, etag: str | None = None) -> None:
        with self.server.lock:
            self.server.calls[self.command] += 1
        self.send_response(status)
        if etag is not None:
            self.send_header("ETag", f'"{etag}"')
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not among a test's output."""


@pytest.fixture
def judges() -> Iterator[tuple[Judge, Judge]]:
    """Two of them."""
    both = Judge(), Judge()
    for each in both:
        threading.Thread(target=each.serve_forever, daemon=True).start()
    yield both
    for each in both:
        each.shutdown()
        each.server_close()


def configured(backends: list[BackendConfig]) -> list[dict[str, Any]]:
    """Both with a budget, the second one's larger."""
    usage = (
        {"class_a_per_month": LIMIT_A, "class_b_per_month": LIMIT_B},
        {"class_a_per_month": 2 * LIMIT_A},
    )
    return [
        {
            "name": each.name,
            "endpoint": each.endpoint,
            "bucket": each.bucket,
            "access_key_id": each.access_key_id,
            "secret_access_key": each.secret_access_key,
            "force_path_style": True,
            "quota_bytes": 0,
            "usage": budget,
        }
        for each, budget in zip(backends, usage, strict=True)
    ]


def outcomes(daemons: list[Daemon], call: Any, count: int) -> Counter[str]:
    """What *count* calls by twenty clients, turn by turn to each daemon, end with."""
    clients = [each.client() for each in daemons]

    def one(number: int) -> str:
        try:
            call(clients[number % len(clients)], number)
        except ClientError as why:
            status = why.response["ResponseMetadata"]["HTTPStatusCode"]
            return f"{status} {why.response['Error']['Code']}"
        return "good"

    with ThreadPoolExecutor(CLIENTS) as executor:
        return Counter(executor.map(one, range(count)))


def counted(database: DatabaseConfig) -> int:
    """Calls of class A on the first backend, by the ledger."""
    with closing(psycopg2.connect(**connection_arguments(database))) as link:
        cursor = link.cursor()
        cursor.execute(
            "SELECT amount FROM backend_usage"
            " WHERE backend_name = 'first' AND kind = 'class_a'"
        )
        ((amount,),) = cursor.fetchall()
    return int(amount)


def test_budgets_hold_to_the_call(
    database: DatabaseConfig, judges: tuple[Judge, Judge]
) -> None:
    """Writes overflow, then end with 507; reads with 429; deletes pass."""
    first, second = judges
    backends = [first.config("first"), second.config("second")]
    stopped = [Daemon(database, backends) for _ in range(2)]
    for each in stopped:
        each.configure(backends=configured(backends))

    def put(client: Any, number: int) -> None:
        client.put_object(Bucket=BUCKET, Key=f"k{number:03}", Body=b"x" * 100)

    def get(client: Any, number: int) -> None:
        body = client.get_object(Bucket=BUCKET, Key=on_first[number])["Body"].read()
        assert body == b"x" * 100

    with stopped[0] as one, stopped[1] as two:
        # Who stops returns what it had reserved.
        assert outcomes([one], put, 3) == {"good": 3}
        one.terminate()
        assert counted(database) == first.calls["PUT"] == 3
        one.start()
        # Some from each; then one dies, and what it had reserved is lost, no more.
        assert outcomes([one, two], put, 8) == {"good": 8}
        two.kill()
        two.start()
        told = outcomes([one, two], put, 250)
        assert set(told) == {"good", "507 InsufficientStorage"}, told
        assert first.calls["PUT"] <= LIMIT_A and second.calls["PUT"] <= 2 * LIMIT_A
        # It overflowed only once the first was used up, but for what the kill has cost.
        assert first.calls["PUT"] >= LIMIT_A - LIMIT_A // 8
        assert told["good"] + 3 + 8 == first.calls["PUT"] + second.calls["PUT"]

        with closing(psycopg2.connect(**connection_arguments(database))) as link:
            cursor = link.cursor()
            cursor.execute(
                "SELECT object_key FROM object_locations"
                " WHERE backend_name = 'first' AND state = 'live' ORDER BY 1"
            )
            keys = [key for (key,) in cursor.fetchall()]
        assert first.calls["PUT"] <= counted(database) <= LIMIT_A
        on_first = (keys * LIMIT_B)[: 3 * LIMIT_B]
        told = outcomes([one, two], get, len(on_first))
        assert set(told) == {"good", "429 SlowDown"}, told
        assert first.calls["GET"] <= LIMIT_B
        # Three starts have looked at the bucket, and the killed one had some reserved.
        assert told["good"] >= LIMIT_B - 12

        client = one.client()
        doomed = [{"Key": key} for key in keys]
        client.delete_objects(Bucket=BUCKET, Delete={"Objects": doomed})
        one._wait_settled(time.monotonic() + 30)
        # Those that were overwritten are gone, too.
        assert first.calls["DELETE"] == first.calls["PUT"] and not first.kept
