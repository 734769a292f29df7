"""s3proxy.web.watch: one line for each request, whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel

from s3proxy.config_model import AuthConfig
from s3proxy.telemetry.trail import Trail
from tests.web.conftest import Door, MakeDoor
from tests.web.wire import request

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def lines(logged: list[LogEvent], level: LogLevel = LogLevel.info) -> list[Trail]:
    return [
        event["access"]
        for event in logged
        if "access" in event and event["log_level"] is level
    ]


def line(logged: list[LogEvent]) -> dict[str, Any]:
    (found,) = lines(logged)
    fields = found.fields()
    assert fields.pop("duration_ms") >= 0
    return fields


@pytest_twisted.ensureDeferred
async def test_a_put(door: Door, logged: list[LogEvent]) -> None:
    target = "/unified/a%20b%0A?x-id=PutObject"
    await door.ask("PUT", target, f"traceparent: {PARENT}", body=b"12345")
    assert line(logged) == {
        "request_id": "0000000000000001",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "client": "127.0.0.1",
        "method": "PUT",
        "operation": "PutObject",
        "bucket": "unified",
        "key": "a b\n",
        "status": 200,
        "bytes_in": 5,
        "bytes_out": 0,
        "outcome": "complete",
    }


@pytest_twisted.ensureDeferred
async def test_a_refusal(make_door: MakeDoor, logged: list[LogEvent]) -> None:
    """Nobody has vouched for a key: the path says what was asked for, no query."""
    door = make_door(auth=AuthConfig(token="let me in"))
    answer = await door.ask("GET", "/unified/k%0A?X-Amz-Signature=canary")
    found = line(logged)
    assert found["path"] == "/unified/k%0A" and "canary" not in repr(found)
    assert (found["status"], found["error"]) == (403, "AccessDenied")
    assert found["bytes_out"] == len(answer.body)
    assert "operation" not in found and "key" not in found


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_parsed(door: Door, logged: list[LogEvent]) -> None:
    wire = await door.connect()
    wire.send(b"GET /unified/k HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
    assert (await wire.response()).status == 400
    found = line(logged)
    assert (found["status"], found["path"]) == (400, "/unified/k")
    assert found["error"] == "InvalidRequest"


@pytest.mark.parametrize("target", ["/health", "/metrics"])
@pytest_twisted.ensureDeferred
async def test_probes_are_for_debugging(
    make_door: MakeDoor, logged: list[LogEvent], target: str
) -> None:
    await make_door(metrics_path="/metrics").ask("GET", target)
    assert not lines(logged)
    assert [each.path for each in lines(logged, LogLevel.debug)] == [target]


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves(door: Door, logged: list[LogEvent]) -> None:
    """In the middle of its body, before any answer."""
    wire = await door.connect()
    wire.send(b"PUT /unified/k HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123")
    await door.until(lambda: door.site.drain.in_flight)
    wire.abort()
    await door.until(lambda: lines(logged))
    found = line(logged)
    assert (found["status"], found["outcome"]) == (499, "client gone")
    assert (found["operation"], found["bytes_in"]) == ("PutObject", 3)


@pytest_twisted.ensureDeferred
async def test_a_handler_that_fails(door: Door, logged: list[LogEvent]) -> None:
    door.objects.failure = RuntimeError("a mistake")
    await door.ask("HEAD", "/unified/k")
    found = line(logged)
    assert (found["status"], found["error"]) == (500, "InternalError")
    logged[:] = [event for event in logged if "log_failure" not in event]


@pytest_twisted.ensureDeferred
async def test_requests_that_interleave(door: Door, logged: list[LogEvent]) -> None:
    """The second is answered while the first one waits."""
    gates: list[Deferred[None]] = []

    def gate() -> Deferred[None]:
        gates.append(Deferred())
        return gates[-1]

    door.objects.before_put = gate
    wires = [await door.connect(), await door.connect()]
    for wire, key in zip(wires, ("first", "second"), strict=True):
        wire.send(request("PUT", f"/unified/{key}", body=b"x"))
        await door.until(lambda key=key: len(gates) == 1 + (key == "second"))
    for number in (1, 0):
        gates[number].callback(None)
        await wires[number].response()
    assert [each.key for each in lines(logged)] == ["second", "first"]
