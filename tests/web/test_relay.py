"""s3proxy.web.relay: bytes to a client, at its pace, and never a false end."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from s3proxy.errors import BackendUnavailable
from tests.web.conftest import Door
from tests.web.fakes import FakeReader
from tests.web.wire import request

MIB = 1024 * 1024


def stored(door: Door, size: int, reader: FakeReader) -> None:
    """An object of *size* bytes that are never all held."""
    door.objects.store("unified", "k", b"", size_bytes=size)
    door.objects.make_reader = lambda _: reader


async def settled(door: Door) -> None:
    turns: list[None] = []
    await door.until(lambda: turns.append(None) or len(turns) > 50)


@pytest.mark.parametrize("piece", [1, 1000, 65536, 300_000])
@pytest_twisted.ensureDeferred
async def test_every_size_of_piece_comes_through(door: Door, piece: int) -> None:
    data = bytes(range(251)) * (20 if piece == 1 else 4000)
    door.objects.store("unified", "k", data)
    door.objects.make_reader = lambda _: FakeReader(
        len(data), piece=b"x" * piece, data=data
    )
    wire = await door.connect()
    wire.send(request("GET", "/unified/k") * 2)
    for _ in range(2):
        assert (await wire.response()).body == data


@pytest_twisted.ensureDeferred
async def test_a_slow_client_slows_the_reader(door: Door) -> None:
    size = 256 * MIB
    reader = FakeReader(size)
    stored(door, size, reader)
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    await wire.until(lambda: wire.received)
    wire.pause()
    before = -1
    while before != reader.sent:
        before = reader.sent
        await settled(door)
    # The kernel's buffers hold some MiB; ours, one chunk above the transport's mark.
    assert reader.sent < 32 * MIB
    connection = next(iter(door.site.drain._connections)).transport
    held = len(connection.dataBuffer) + connection._tempDataLen
    assert held <= door.site.limits.transport_bytes + 65536
    wire.resume()
    head, _, _ = bytes(wire.received).partition(b"\r\n\r\n")
    await wire.until(lambda: len(wire.received) > 64 * MIB)
    assert b"200 OK" in head
    assert not wire.ended


@pytest_twisted.ensureDeferred
async def test_a_client_that_stalls_is_cut_off(door: Door) -> None:
    reader = FakeReader(256 * MIB)
    stored(door, 256 * MIB, reader)
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    await wire.until(lambda: wire.received)
    wire.pause()
    await door.until(lambda: door.clock.getDelayedCalls())
    while not reader.aborted:
        door.clock.advance(301)
        await settled(door)
    await door.until(lambda: not door.site.drain._connections)
    wire.resume()
    await wire.until(lambda: wire.ended)


@pytest.mark.parametrize("fail_at", [65536, 10 * 65536])
@pytest_twisted.ensureDeferred
async def test_a_failure_on_the_way_breaks_the_connection(
    door: Door, fail_at: int
) -> None:
    reader = FakeReader(
        MIB, fail_at=fail_at, error=BackendUnavailable("one", "broke off")
    )
    stored(door, MIB, reader)
    wire = await door.connect()
    wire.send(request("GET", "/unified/k") + request("DELETE", "/unified/k"))
    rest = await wire.end()
    # Of a short beginning nothing may have gone out yet.
    assert not rest or rest.startswith(b"HTTP/1.1 200 OK")
    assert b"<Error>" not in rest
    assert len(rest) < MIB
    # Not even a pipelined request is served after it.
    assert not any("delete" in event for event in door.objects.events)


@pytest_twisted.ensureDeferred
async def test_a_failure_before_the_first_byte_is_an_error_like_others(
    door: Door,
) -> None:
    reader = FakeReader(MIB, fail_at=0, error=BackendUnavailable("one", "broke off"))
    stored(door, MIB, reader)
    answer = await door.ask("GET", "/unified/k")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert answer.header("etag") is None
    assert b"one" not in answer.body.replace(b"None", b"")
    assert reader.aborted


@pytest.mark.parametrize("size", [MIB - 1, MIB + 1, 2 * MIB])
@pytest_twisted.ensureDeferred
async def test_a_reader_of_another_length_breaks_the_connection(
    door: Door, size: int
) -> None:
    stored(door, MIB, FakeReader(size))
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    rest = await wire.end()
    body = rest.partition(b"\r\n\r\n")[2]
    assert len(body) < MIB or size > MIB
    assert len(body) <= MIB


@pytest.mark.parametrize("error", [None, BackendUnavailable("one", "stalled")])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_during_a_read(
    door: Door, error: BackendUnavailable | None
) -> None:
    """The reader is let go once the read has come back, however it does."""
    reader = FakeReader(MIB, hold_at=65536)
    stored(door, MIB, reader)
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    await wire.until(lambda: len(wire.received) > 65536)
    wire.abort()
    await door.until(lambda: not door.site.drain._connections)
    assert (reader.aborted, door.site.drain.in_flight) == (0, 1)
    if error is None:
        reader.held.callback(None)
    else:
        reader.held.errback(error)
    assert (reader.aborted, door.site.drain.in_flight) == (1, 0)


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_before_the_first_read(door: Door) -> None:
    reader = FakeReader(MIB)
    stored(door, MIB, reader)
    gate: Deferred[None] = Deferred()
    door.objects.before_open = lambda: gate
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    await door.until(lambda: len(door.objects.events) == 2)
    wire.abort()
    await door.until(lambda: not door.site.drain._connections)
    gate.callback(None)
    assert (reader.sent, reader.aborted) == (0, 1)


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_while_paused(door: Door) -> None:
    reader = FakeReader(256 * MIB)
    stored(door, 256 * MIB, reader)
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    await wire.until(lambda: wire.received)
    wire.pause()
    await settled(door)
    wire.abort()
    await door.until(lambda: reader.aborted)
    await door.until(lambda: door.site.drain.in_flight == 0)
