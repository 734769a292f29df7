"""
The real daemon, traced: the four kinds of spans reach a real OTLP/gRPC collector, under
the client's trace, and the log names it. A collector that goes away loses no request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from s3proxy.config import BackendConfig
from tests.collector import Collector
from tests.daemon import SECRET, TOKEN, Daemon
from tests.security.http import raw
from tests.servers import PostgresServer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

#: Requests at once.
CROWD = 24
OF_A_PUT = [
    ("Objects.put", "PUT /{bucket}/{key}"),
    ("PUT", "Objects.put"),
    ("PUT /{bucket}/{key}", ""),
    ("claim", "Objects.put"),
    ("commit", "Objects.put"),
]
OF_A_GET = [
    ("GET", "Objects.open"),
    ("GET /{bucket}/{key}", ""),
    ("Objects.find", "GET /{bucket}/{key}"),
    ("Objects.open", "GET /{bucket}/{key}"),
    ("find", "Objects.find"),
]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def access_lines(daemon: Daemon) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    return [line for line in lines if line["logger"] == "s3proxy.access"]


def test_end_to_end(
    postgres: PostgresServer,
    backend_config: Callable[..., BackendConfig],
    collector: Collector,
) -> None:
    backend, database = backend_config("a"), postgres.create_database()
    tracing = {
        "enabled": True,
        "endpoint": collector.endpoint,
        "insecure": True,
        # The client decides: nothing else is recorded.
        "sample_rate": 0.0,
    }
    made = Daemon(
        database,
        [backend],
        ledger={},
        telemetry={"tracing": tracing},
        logging={"format": "json"},
    )
    section = yaml.safe_load(made.config.read_text())["database"]
    made.configure(database={**section, "max_conns": 1, "min_conns": 1})
    with made as daemon:

        def send(method: str, path: str, *lines: str, body: bytes = b"") -> raw.Answer:
            return raw.send(daemon.port, raw.request(method, path, *lines, body=body))

        parent = f"traceparent: 00-{TRACE}-{SPAN}-01"
        state = "tracestate: vendor=1"
        put = send("PUT", "/unified/a%20b%0A", parent, state, body=b"x" * 100)
        assert put.status == 200
        again = parent.replace(TRACE[:4], "aaaa")
        url: str = daemon.client(signature_version="s3v4").generate_presigned_url(
            "get_object", {"Bucket": "unified", "Key": "a b\n"}
        )
        signature = url.rpartition("X-Amz-Signature=")[2][:64]
        name, _, value = again.partition(": ")
        with urlopen(Request(url, headers={name: value}), timeout=20) as got:
            assert got.read() == b"x" * 100
        # Signed by botocore, whose requests carry no traceparent.
        daemon.client().head_object(Bucket="unified", Key="a b\n")
        missing = send("GET", "/unified/none", parent.replace(TRACE[:4], "bbbb"))
        assert missing.status == 404
        # Many at once, over one connection to the database: they wake each other.
        with ThreadPoolExecutor(8) as pool:

            def one(number: int) -> int:
                mine = parent.replace(TRACE[:4], f"{number:04x}")
                if number % 2:
                    return send("GET", "/unified/a%20b%0A", mine).status
                path = f"/unified/{number}"
                return send("PUT", path, mine, body=b"y" * 9).status

            assert set(pool.map(one, range(CROWD))) == {200}
        daemon.terminate()
        lines = access_lines(daemon)
        said = daemon.log.read_bytes()

    # All came, at the stop, well before the five seconds of a batch.
    assert collector.tree(TRACE) == OF_A_PUT
    assert collector.tree(f"aaaa{TRACE[4:]}") == OF_A_GET
    for number in range(CROWD):
        tree = collector.tree(f"{number:04x}{TRACE[4:]}")
        assert tree == (OF_A_GET if number % 2 else OF_A_PUT)
    assert {span.trace_id[4:] for span in collector.spans} == {TRACE[4:]}
    server, *_ = collector.named("PUT /{bucket}/{key}")
    assert (server.kind, server.parent_id) == ("SERVER", SPAN)
    assert server.attributes["aws.s3.key"] == "a b\n"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["s3proxy.backends"] == ["a"]
    call, *_ = collector.named("PUT")
    assert call.kind == "CLIENT" and not call.is_error
    assert call.attributes["server.port"] == int(backend.endpoint.rpartition(":")[2])
    claim, *_ = collector.named("claim")
    assert claim.kind == "CLIENT"
    assert claim.attributes["db.system.name"] == "postgresql"
    assert all(server.began_ns <= each.began_ns for each in (call, claim))
    assert all(each.ended_ns <= server.ended_ns for each in (call, claim))
    _, lost, *_ = collector.named("GET /{bucket}/{key}")
    assert lost.attributes["error.type"] == "NoSuchKey" and not lost.is_error
    (resource, *_) = collector.resources
    assert resource["service.name"] == "s3proxy"

    by_trace = {line["trace_id"][:4]: line for line in lines}
    assert [line["operation"] for line in lines[:4]] == [
        "PutObject",
        "GetObject",
        "HeadObject",
        "GetObject",
    ]
    assert by_trace[TRACE[:4]]["key"] == "a b\n"
    assert by_trace["aaaa"]["bytes_out"] == 100
    assert by_trace["bbbb"]["status"] == 404
    # One that is not recorded has a trace, too.
    assert lines[2]["access_key_id"] and lines[2]["trace_id"][4:] != TRACE[4:]
    secrets = [SECRET, TOKEN, signature, backend.secret_access_key]
    for text in (said, *collector.raw):
        assert not [each for each in secrets if each.encode() in text]


def test_a_collector_that_goes_and_comes(
    postgres: PostgresServer,
    backend_config: Callable[..., BackendConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No request is lost; the log's level changes at run time."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with Collector() as first:
        port = first.port
        tracing = {"enabled": True, "endpoint": first.endpoint, "insecure": True}
        with Daemon(
            postgres.create_database(),
            [backend_config()],
            ledger={},
            telemetry={"tracing": tracing},
        ) as daemon:
            client = daemon.client()
            client.put_object(Bucket="unified", Key="k", Body=b"x")
            first.wait(lambda: first.named("PUT /{bucket}/{key}"))
            first.__exit__(None, None, None)
            for _ in range(20):
                client.head_object(Bucket="unified", Key="k")
            with Collector(port) as second:
                client.list_objects_v2(Bucket="unified")
                second.wait(lambda: second.named("GET /{bucket}"), 30)
            assert "Traceback" not in daemon.log.read_text()
            # What SIGHUP changes.
            assert "s3proxy.access#info] ListObjectsV2" in daemon.log.read_text()
            assert "GET /health" not in daemon.log.read_text()
            daemon.configure(logging={"level": "debug"})
            daemon.hang_up()
            daemon.health()
            text = daemon.log.read_text()
            assert 's3proxy.access#debug] - path="/health"' in text
            daemon.configure(logging={"level": "debug", "format": "json"})
            assert "waiting for a restart: logging.format" in daemon.hang_up()
