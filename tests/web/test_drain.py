"""s3proxy.web.drain: a stop that lets requests end, and ends those that do not."""

from __future__ import annotations

import pytest_twisted
from twisted.internet.defer import Deferred

from tests.web.conftest import Door
from tests.web.wire import request


def start(door: Door, limit_seconds: float) -> list[int]:
    result: list[int] = []
    drained = Deferred.fromCoroutine(door.site.drain.drain(limit_seconds))
    drained.addCallback(result.append)
    return result


@pytest_twisted.ensureDeferred
async def test_with_nothing_to_wait_for(door: Door) -> None:
    assert start(door, 30.0) == [0]


@pytest_twisted.ensureDeferred
async def test_idle_connections_are_closed_now(door: Door) -> None:
    wire = await door.connect()
    wire.send(request("GET", "/health"))
    await wire.response()
    silent = await door.connect()
    await door.until(lambda: len(door.site.drain._connections) == 2)
    result = start(door, 30.0)
    assert await wire.end() == b""
    assert await silent.end() == b""
    await door.until(lambda: result == [0])


@pytest_twisted.ensureDeferred
async def test_requests_at_work_end_and_close_their_connections(door: Door) -> None:
    gate: Deferred[None] = Deferred()
    door.objects.before_put = lambda: gate
    wire = await door.connect()
    wire.send(request("PUT", "/unified/k", body=b"data"))
    await door.until(lambda: door.objects.events)
    result = start(door, 30.0)
    assert result == []
    gate.callback(None)
    answer = await wire.response()
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert await wire.end() == b""
    await door.until(lambda: result == [0])


@pytest_twisted.ensureDeferred
async def test_a_request_on_its_way_is_still_served(door: Door) -> None:
    wire = await door.connect()
    wire.send(b"GET /health HTTP/1.1\r\nHost: ")
    await door.until(
        lambda: any(each._in_headers for each in door.site.drain._connections)
    )
    result = start(door, 30.0)
    wire.send(b"h\r\n\r\n")
    answer = await wire.response()
    assert (answer.status, answer.header("connection")) == (200, "close")
    await wire.end()
    await door.until(lambda: result == [0])


@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_still_being_taken_is_taken(door: Door) -> None:
    for n in range(1000):
        door.objects.store("unified", f"{n:04}" + "x" * 1000, b"")
    wire = await door.connect()
    wire.pause()
    wire.send(request("GET", "/unified") * 20)
    await door.until(
        lambda: any(each._untaken for each in door.site.drain._connections)
    )
    result = start(door, 30.0)
    wire.resume()
    served = len(door.objects.events)
    for _ in range(served):
        assert len((await wire.response()).body) > 1024 * 1024
    assert await wire.end() == b""
    await door.until(lambda: result == [0])
    assert len(door.objects.events) == served


@pytest_twisted.ensureDeferred
async def test_after_the_limit_the_rest_is_broken_off(door: Door) -> None:
    wire = await door.connect()
    wire.send(
        request("PUT", "/unified/k").replace(b"Content-Length: 0", b"Content-Length: 9")
    )
    await door.until(lambda: door.objects.events)
    result = start(door, 20.0)
    door.clock.advance(19.9)
    assert result == [] and not wire.ended
    door.clock.advance(0.2)
    assert await wire.end() == b""
    await door.until(lambda: result == [1])
    assert door.objects.events == ["put k", "gone"]


@pytest_twisted.ensureDeferred
async def test_a_handler_that_does_not_end_is_not_waited_for_ever(door: Door) -> None:
    gate: Deferred[None] = Deferred()
    door.objects.before_put = lambda: gate
    wire = await door.connect()
    wire.send(request("PUT", "/unified/k", body=b"data"))
    await door.until(lambda: door.objects.events)
    result = start(door, 1.0)
    door.clock.advance(1.1)
    await wire.end()
    assert result == []
    door.clock.advance(5.1)
    assert result == [1]
    gate.callback(None)
