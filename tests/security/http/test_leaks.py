"""
Cases 92 to 94: nothing secret is shown, anywhere, whatever goes wrong.

A real daemon with secrets that are easy to find, good and bad requests, a mistake of
ours, and a backend and a database that go away.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import define, evolve, field

from s3proxy.config import load
from s3proxy.s3.sigv4 import EMPTY_SHA256, sign_headers
from tests.collector import Collector
from tests.daemon import KEY_ID, SECRET, SHORT_LEDGER, TOKEN, Daemon
from tests.security.http import raw
from tests.security.http.breaking_daemon import KEY as MISTAKE
from tests.servers import PostgresServer, S3Server
from tests.system.wire import poll

PASSWORD = "dsn-password-canary"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \[")


@define
class Spy:
    """
    What went out of the daemon.

    :ivar secrets: What must be in none of it; signatures are added as they are made.
    """

    daemon: Daemon
    metrics_port: int
    secrets: list[str]
    collector: Collector
    seen: list[bytes] = field(factory=list)

    def send(self, *pieces: bytes) -> raw.Answer:
        answer = raw.send(self.daemon.port, *pieces)
        self.seen += [answer.head.encode("latin-1"), answer.body]
        return answer

    def signed(self, method: str, path: str, *, secret: str = SECRET) -> raw.Answer:
        """Signed in the header; its signature is a secret from now on."""
        headers = sign_headers(
            method,
            path,
            "",
            {"host": "localhost"},
            access_key_id=KEY_ID,
            secret_access_key=secret,
            region="us-east-1",
            payload_hash=EMPTY_SHA256,
            now=datetime.now(UTC) - timedelta(seconds=len(self.seen)),
        )
        self.secrets.append(headers["authorization"].rpartition("Signature=")[2])
        lines = [f"{name}: {value}" for name, value in headers.items()]
        return self.send(raw.request(method, path, *lines, token=False))

    def presigned(self, method: str, key: str) -> raw.Answer:
        client = self.daemon.client(signature_version="s3v4")
        url: str = client.generate_presigned_url(
            "get_object", {"Bucket": "unified", "Key": key}
        )
        self.secrets.append(url.rpartition("X-Amz-Signature=")[2][:64])
        target = url.removeprefix(self.daemon.endpoint)
        text = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{self.daemon.port}"
        return self.send(f"{text}\r\n\r\n".encode())

    def metrics(self) -> bytes:
        where = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(where, timeout=10) as page:
            text: bytes = page.read()
        self.seen.append(text)
        return text

    def assert_nothing_leaked(self) -> str:
        """:returns: The log."""
        log = self.daemon.log.read_bytes()
        texts = (log, *self.seen, *self.collector.raw)
        for secret in self.secrets:
            for text in texts:
                assert secret.encode() not in text, f"{secret!r} leaked"
        for text in texts:
            assert b"AWS4-HMAC-SHA256 Cred" not in text
            assert b"X-Amz-Signature" not in text
        return log.decode()


@pytest.fixture(scope="module")
def backends() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def databases() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


@pytest.fixture(scope="module")
def spy(
    backends: S3Server, databases: PostgresServer, collector: Collector
) -> Iterator[Spy]:
    database = evolve(databases.create_database(), password=PASSWORD)
    backend = backends.create_bucket("a", quota_bytes=2**30)
    metrics = {"enabled": True, "listen_addr": "127.0.0.1:0"}
    tracing = {"enabled": True, "endpoint": collector.endpoint, "insecure": True}
    with Daemon(
        database,
        [backend],
        ledger={**SHORT_LEDGER, "lease": "20s"},
        module="tests.security.http.breaking_daemon",
        telemetry={"metrics": metrics, "tracing": tracing},
        logging={"level": "debug"},
    ) as daemon:
        port = re.search(r"metrics on http://\S+:(\d+)/", daemon.log.read_text())
        assert port is not None
        secrets = [SECRET, TOKEN, PASSWORD, backend.secret_access_key]
        yield Spy(daemon, int(port[1]), secrets, collector)


def requests_of_every_kind(spy: Spy) -> None:
    token = f"X-Proxy-Token: {TOKEN}"
    spy.send(raw.request("PUT", "/unified/k", token, body=b"x", token=False))
    for method in ("GET", "HEAD", "DELETE"):
        if method != "HEAD":
            spy.signed(method, "/unified/k")
            spy.signed(method, "/unified/k", secret="wrong-secret-canary")
    spy.secrets.append("wrong-secret-canary")
    spy.presigned("GET", "k")
    spy.presigned("DELETE", "k")
    for line in (
        "Authorization: AWS4-HMAC-SHA256 Credential=garbage-canary",
        "Authorization: Bearer bearer-canary",
        "Authorization: Basic basic-canary",
        "X-Proxy-Token: token-canary",
        "Cookie: session=cookie-canary",
        "x-amz-security-token: session-canary",
    ):
        spy.send(raw.request("GET", "/unified/k", line, token=False))
        spy.send(raw.request("PUT", "/unified/k", line, body=b"y", token=False))
        spy.send(raw.request("BREW", "/unified/%FF", line, token=False))
    spy.secrets += [
        "garbage-canary",
        "bearer-canary",
        "basic-canary",
        "token-canary",
        "cookie-canary",
        "session-canary",
    ]
    spy.metrics()


@pytest.mark.parametrize("case", [pytest.param(92, id="case-92-requests")])
def test_requests(spy: Spy, case: int) -> None:
    requests_of_every_kind(spy)
    log = spy.assert_nothing_leaked()
    assert "Traceback" not in log


@pytest.mark.parametrize("case", [pytest.param(92, id="case-92-traceback")])
def test_a_mistake_of_ours(spy: Spy, case: int) -> None:
    """The traceback is in the log, with the request's id; the client gets the id."""
    connection = http.client.HTTPConnection("127.0.0.1", spy.daemon.port, timeout=20)
    connection.request("HEAD", f"/unified/{MISTAKE}", headers={"X-Proxy-Token": TOKEN})
    answer = connection.getresponse()
    assert answer.status == 500
    connection.close()
    log = spy.assert_nothing_leaked()
    assert f"request {answer.getheader('x-amz-request-id')} failed" in log
    assert "RuntimeError: a mistake with" in log


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("a%0Ab%0D%0Ac", "X: y", id="case-93-escaped"),
        pytest.param("a\x1b[31mb", "X: y", id="case-93-ansi"),
        pytest.param("%1B%5B31m", "X: y", id="case-93-ansi-escaped"),
        pytest.param("%E2%80%AE%C2%85", "X: y", id="case-93-direction-and-nel"),
        pytest.param("\x85\x9b", "X: y", id="case-93-c1"),
        pytest.param("k", "X: a\x1b[2Jb\x07", id="case-93-header"),
        pytest.param("k?x=%0A2026-11-25T00:00:00+0000 [fake]", "X: y", id="case-93-q"),
    ],
)
def test_lines_of_the_log_are_lines(spy: Spy, path: str, line: str) -> None:
    """What a client writes adds no line to the log, and nothing that moves a cursor."""
    before = spy.daemon.log.stat().st_size
    path = path.replace(" ", "%20")
    spy.send(raw.request("PUT", f"/unified/{path}", line, length=2**50))
    spy.send(raw.request("GET", f"/unified/{path}", line, "Range: bytes=99-"))
    # What is not implemented is logged with its path.
    spy.send(raw.request("PUT", f"/unified/{path}?policy", line))
    assert_lines(spy, before)


def assert_lines(spy: Spy, since: int) -> list[str]:
    """Each line of the log begins as one, and prints."""
    text = spy.daemon.log.read_bytes()[since:].decode("utf-8")
    assert all(LINE.match(each) for each in text.splitlines()), text
    assert all(each.isprintable() for each in text.split("\n"))
    return text.splitlines()


@pytest.mark.parametrize("case", [pytest.param(94, id="case-94")])
def test_metrics_and_health(spy: Spy, case: int) -> None:
    """Metrics on their own listener, without keys; ``ok`` and nothing else."""
    spy.send(raw.request("PUT", "/unified/key-canary", body=b"x"))
    spy.send(raw.request("DELETE", "/unified/key-canary"))
    page = spy.metrics()
    assert b"process_resident_memory_bytes" in page
    assert b"canary" not in page and b"unified" not in page
    assert spy.send(raw.request("GET", "/metrics")).code == "NoSuchBucket"
    assert spy.send(raw.request("GET", "/health", token=False)).body == b"ok"
    port = spy.metrics_port
    assert raw.send(port, raw.request("GET", "/health", token=False)).body == b"ok"
    # Strangers are told how many, the operator's listener says which.
    told = spy.send(raw.request("GET", "/health/ready", token=False))
    assert told.status == 200
    said = json.loads(told.body)
    assert (said["status"], said["database"]) == ("ready", "ok")
    assert said["backends"] == {"ok": 1} and list(said["jobs"]) == ["ok"]
    told = raw.send(port, raw.request("GET", "/health/ready", token=False))
    assert json.loads(told.body)["backends"] == {"a": "ok"}
    assert json.loads(told.body)["jobs"]["reap claims"] == "ok"
    for target in ("/", "/unified/k", "/metrics/", "/metrics?x"):
        answer = raw.send(port, raw.request("GET", target))
        raw.assert_error(answer, [(404, "NoSuchKey")])
    raw.assert_error(raw.send(port, b"rubbish\r\n\r\n"), [(400, "InvalidRequest")])
    big = raw.request("PUT", "/metrics", length=2**40)
    raw.assert_error(raw.send(port, big, b"x" * 2**20), [(404, "NoSuchKey")])


@pytest.mark.parametrize("case", [pytest.param(92, id="case-92-repr")])
def test_configuration(spy: Spy, case: int) -> None:
    """Neither its repr nor what is wrong with it shows a secret."""
    text = spy.daemon.config.read_text()
    config = load(text, {}, default_data_dir=Path("/nowhere"))
    shown = f"{config!r} {config}"
    for secret in spy.secrets[:4]:
        assert secret in text
        assert secret not in shown


@pytest.mark.parametrize("case", [pytest.param(92, id="case-92-outages")])
def test_outages(
    spy: Spy, backends: S3Server, databases: PostgresServer, case: int
) -> None:
    """Last, since it ends the servers: the backend first, then the database."""
    assert spy.send(raw.request("PUT", "/unified/o", body=b"x")).status == 200
    backends.kill()
    for method, body in (("GET", b""), ("PUT", b"y")):
        request = raw.request(method, "/unified/o", body=body)
        assert spy.send(request).status == 503
    before = spy.daemon.log.stat().st_size
    odd = raw.request("PUT", "/unified/a%0Ab%1B[0m", "x-amz-meta-a: b", body=b"y")
    assert spy.send(odd).status == 503
    lines = assert_lines(spy, before)
    assert any("PUT /unified/a%0Ab%1B[0m" in each for each in lines)
    told = spy.send(raw.request("GET", "/health/ready", token=False))
    assert told.status == 200 and json.loads(told.body)["status"] == "degraded"
    requests_of_every_kind(spy)
    databases.kill()
    poll(
        lambda: spy.send(raw.request("GET", "/unified/o")).status == 503,
        "503 without a database",
    )
    told = spy.send(raw.request("GET", "/health/ready", token=False))
    assert told.status == 503 and json.loads(told.body)["database"] == "unreachable"
    assert spy.send(raw.request("GET", "/health", token=False)).body == b"ok"
    requests_of_every_kind(spy)
    log = spy.assert_nothing_leaked()
    assert "backend a: " in log
    spy.daemon.terminate()
    # The last spans came with the stop.
    statements = spy.collector.named("find")
    assert any(each.is_error for each in statements)
    assert len(spy.collector.named("DELETE /{bucket}/{key}")) > 2
    # Neither does a start that fails, nor a command.
    failed = spy.daemon.check()
    assert failed.returncode != 0
    started = subprocess.run(
        spy.daemon._command([]), capture_output=True, text=True, timeout=120
    )
    assert started.returncode == 1
    said = failed.stdout + failed.stderr + started.stdout + started.stderr
    assert "database" in said
    for secret in spy.secrets:
        assert secret not in said
    spy.assert_nothing_leaked()
