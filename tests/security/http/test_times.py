"""
Case 64: a client that is slow on purpose is answered RequestTimeout and loses its slot.

Real connections, and a clock that the tests hold.
"""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from s3proxy.config_model import AuthConfig
from tests.web.conftest import Door, MakeDoor
from tests.web.test_channel import settled
from tests.web.wire import Wire, request

PUT = b"PUT /unified/k HTTP/1.1\r\nHost: h\r\n"
TOKEN = AuthConfig(token="let me in")
MIB = 1024 * 1024


async def timed_out(door: Door, wire: Wire) -> None:
    answer = await wire.response()
    assert (answer.status, answer.code) == (400, "RequestTimeout")
    assert answer.header("connection") == "close"
    assert await wire.end() == b""
    await door.until(lambda: not door.site.drain._connections)
    assert door.site.throttle._connections == 0


@pytest.mark.parametrize(
    "drip",
    [
        pytest.param(b"", id="case-64-headers-silence"),
        pytest.param(b"x", id="case-64-headers-drip"),
        pytest.param(b"X: y\r\n", id="case-64-headers-lines"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_slow_headers(door: Door, drip: bytes) -> None:
    """30 s from the first byte, whatever comes in between."""
    wire = await door.connect()
    wire.send(PUT)
    for _ in range(7):
        await settled(door)
        door.clock.advance(4.5)
        if not wire.ended and drip:
            wire.send(drip)
    await timed_out(door, wire)
    assert door.objects.events == []


@pytest.mark.parametrize(
    "drip",
    [
        pytest.param(b"", id="case-64-body-silence"),
        pytest.param(b"x", id="case-64-body-drip"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_slow_body(door: Door, drip: bytes) -> None:
    """A minute of waiting at the most, for a body that brings next to nothing."""
    wire = await door.connect()
    wire.send(PUT + b"Content-Length: 1000000\r\n\r\nx")
    await door.until(lambda: door.objects.received_bytes)
    for _ in range(14 if drip else 7):
        door.clock.advance(4.5)
        if drip:
            wire.send(drip)
        await settled(door)
    await timed_out(door, wire)
    assert "stored k" not in door.objects.events


@pytest_twisted.ensureDeferred
async def test_a_body_of_enough_speed_takes_its_time(door: Door) -> None:
    """Case 64: an hour for 4 MiB is slow, and allowed."""
    wire = await door.connect()
    size = 4 * MIB
    wire.send(PUT + f"Content-Length: {size}\r\n\r\n".encode())
    await door.until(lambda: door.objects.events)
    for number in range(size // 32768):
        wire.send(b"x" * 32768)
        await door.until(
            lambda number=number: door.objects.received_bytes == (number + 1) * 32768
        )
        if door.objects.received_bytes < size:
            door.clock.advance(28)
    assert (await wire.response()).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="case-64-idle-from-the-start"),
        pytest.param(b"\r\n", id="case-64-idle-after-a-line-end"),
        pytest.param(request("GET", "/health"), id="case-64-idle-after-a-request"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_idle(door: Door, sent: bytes) -> None:
    """Two minutes, more than clients' pools; then it is closed without a word."""
    wire = await door.connect()
    if sent:
        wire.send(sent)
    if len(sent) > 2:
        assert (await wire.response()).status == 200
    await door.until(lambda: door.site.drain._connections)
    await settled(door)
    door.clock.advance(119)
    await settled(door)
    assert not wire.ended
    door.clock.advance(2)
    assert await wire.end() == b""
    await door.until(lambda: not door.site.drain._connections)


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_nothing(door: Door) -> None:
    """Case 64, the other way: five minutes for an answer that stays where it is."""
    door.objects.store("unified", "k", b"x" * 64 * MIB)
    wire = await door.connect()
    wire.pause()
    wire.send(request("GET", "/unified/k"))
    await door.until(lambda: door.objects.last_reader)
    before = -1
    while before != door.objects.last_reader.sent:
        before = door.objects.last_reader.sent
        await settled(door)
    assert before < 48 * MIB
    door.clock.advance(301)
    await door.until(lambda: not door.site.drain._connections)
    assert door.objects.last_reader.aborted == 1
    wire.resume()
    await wire.end()


@pytest.mark.parametrize(
    "rest",
    [pytest.param(10, id="case-64-rest"), pytest.param(10 * MIB, id="case-64-large")],
)
@pytest_twisted.ensureDeferred
async def test_the_rest_of_a_refused_body(make_door: MakeDoor, rest: int) -> None:
    """It is waited for 5 s while nothing comes, 30 s in all."""
    door = make_door(auth=TOKEN)
    for pause, count in ((5.1, 1), (4.5, 7)):
        wire = await door.connect()
        wire.send(PUT + b"Content-Length: %d\r\n\r\n" % rest)
        assert (await wire.response()).status == 403
        wire.transport.loseConnection = lambda: None  # It ignores our FIN.
        for _ in range(count):
            if not wire.ended:
                wire.send(b"x")
            await settled(door)
            door.clock.advance(pause)
        await door.until(lambda: not door.site.drain._connections)
    assert door.objects.events == []


@pytest_twisted.ensureDeferred
async def test_time_of_our_own_is_not_the_clients(door: Door) -> None:
    """Case 64: a slow backend, or a slow copy, is no slow client."""
    gate: Deferred[None] = Deferred()
    door.objects.before_put = lambda: gate
    wire = await door.connect()
    wire.send(PUT + b"Content-Length: 4\r\n\r\nab")
    await door.until(lambda: door.objects.events)
    door.clock.advance(10_000)
    gate.callback(None)
    wire.send(b"cd")
    assert (await wire.response()).status == 200
