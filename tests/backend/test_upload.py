"""PUTs to a server that misbehaves: what is raised, and whether it may have landed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater

from s3proxy.backend.client import S3Backend
from s3proxy.backend.upload import S3Upload
from s3proxy.errors import (
    BackendError,
    BackendFull,
    BackendMismatch,
    BackendPassing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from s3proxy.manager.ports import Stored
from tests.backend.conftest import until
from tests.contracts.backend import PIECE_BYTES, make_copy, sample
from tests.faults import Reply, Stub, error, http

HELLO = md5(b"hello").hexdigest()
OK = http(200, headers={"ETag": f'"{HELLO}"'})


async def begin(backend: S3Backend, size: int) -> S3Upload:
    """A PUT with its headers sent."""
    return await backend.open_put(make_copy("key", size), {}, sha256=None, md5=None)


async def put_hello(backend: S3Backend) -> Stored:
    """A small PUT, whole."""
    return await (await begin(backend, 5)).finish(b"hello", md5=HELLO)


def is_closed(connection: socket.socket) -> bool:
    """Whether the kernel calls it closed, read from or not."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x07"


async def write_until_refused(upload: S3Upload, reactor: Any) -> BackendError:
    """Write for as long as it is taken; the error that ended it."""
    with pytest.raises(BackendError) as caught:
        while True:
            await upload.write(sample(PIECE_BYTES))
            await deferLater(reactor, 0)
    return caught.value


async def steady(reactor: Any, probe: Callable[[], object]) -> None:
    """Wait until what *probe* says does not change for a while."""
    before, turns = probe(), 0
    while turns < 10:
        await deferLater(reactor, 0.02)
        after = probe()
        before, turns = after, turns + 1 if after == before else 0


@ensureDeferred
async def test_a_small_body_is_one_write(stub: Stub, scripted: S3Backend) -> None:
    """Headers, length and body arrive as they must."""
    stub.replies = [Reply(OK)]
    assert await put_hello(scripted) == Stored(HELLO, None)
    (request,) = stub.received
    assert (request.method, request.target) == ("PUT", "/bucket/key")
    assert request.body == b"hello"
    assert request.headers["content-length"] == "5"
    assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert "transfer-encoding" not in request.headers
    assert "expect" not in request.headers


@ensureDeferred
async def test_known_hashes_go_along(stub: Stub, scripted: S3Backend) -> None:
    """A known MD5 is Content-MD5, a known SHA-256 is signed."""
    stub.replies = [Reply(OK)]
    upload = await scripted.open_put(
        make_copy("key", 5), {"content-type": "a/b"}, sha256="f" * 64, md5=HELLO
    )
    await upload.finish(b"hello", md5=HELLO)
    headers = stub.received[0].headers
    assert headers["content-md5"] == "XUFAKrxLKna5cZ2REBfFkg=="
    assert headers["x-amz-content-sha256"] == "f" * 64
    assert headers["content-type"] == "a/b"


@pytest.mark.parametrize(
    ("headers", "stored"),
    [
        ({"ETag": f'W/"{HELLO}"'}, Stored(HELLO)),
        ({"ETag": HELLO.upper()}, Stored(HELLO.upper())),
        ({}, Stored(None)),
        ({"ETag": '"not-an-md5"'}, Stored("not-an-md5")),
        (
            {"ETag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"},
            Stored("0" * 32),
        ),
        (
            {
                "ETag": f'"{"0" * 32}"',
                "x-amz-server-side-encryption-customer-algorithm": "AES256",
            },
            Stored("0" * 32),
        ),
        ({"ETag": HELLO, "x-amz-version-id": "v1"}, Stored(HELLO, "v1")),
        ({"ETag": HELLO, "x-amz-version-id": "null"}, Stored(HELLO, None)),
    ],
)
@ensureDeferred
async def test_answers_that_are_fine(
    stub: Stub, scripted: S3Backend, headers: dict[str, str], stored: Stored
) -> None:
    """An ETag is kept as it came; it is compared only where it must be the MD5."""
    stub.replies = [Reply(http(200, headers=headers))]
    assert await put_hello(scripted) == stored


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(200, headers={"ETag": f'"{"0" * 32}"'}), BackendMismatch),
        (
            http(
                200,
                headers={
                    "ETag": f'"{"0" * 32}"',
                    "x-amz-server-side-encryption": "AES256",
                },
            ),
            BackendMismatch,
        ),
        (error(200, "InternalError"), BackendUnavailable),
        (error(500, "InternalError"), BackendUnavailable),
        (error(503, "SlowDown"), BackendThrottled),
        (http(429), BackendThrottled),
        (error(400, "RequestTimeout"), BackendPassing),
        (http(507), BackendFull),
        (error(403, "QuotaExceeded"), BackendFull),
        (error(403, "AccessDenied"), BackendRefused),
        (http(400, b"<html>"), BackendRefused),
        (http(307, headers={"Location": "http://127.0.0.1:1/"}), BackendRefused),
        (b"HTTP/1.1 what\r\n\r\n", BackendUnavailable),
        (http(200, length=10), BackendUnavailable),
        (b"", BackendUnavailable),
    ],
)
@ensureDeferred
async def test_answers_to_a_whole_body(
    stub: Stub, scripted: S3Backend, answer: bytes, expected: type[BackendError]
) -> None:
    """Whatever the answer to a whole body is but a good one: it may have landed."""
    stub.replies = [Reply(answer, then="end")]
    with pytest.raises(expected) as caught:
        await put_hello(scripted)
    assert type(caught.value) is expected
    assert caught.value.landed
    assert len(stub.received) == 1
    await stub.until(lambda: not stub.open)


@pytest.mark.parametrize(
    ("answer", "expected", "landed"),
    [
        (error(403, "AccessDenied"), BackendRefused, False),
        (error(503, "SlowDown"), BackendThrottled, False),
        (http(507), BackendFull, False),
        (error(200, "InternalError"), BackendUnavailable, False),
        (OK, BackendMismatch, True),
    ],
)
@ensureDeferred
async def test_an_answer_to_half_a_body(
    reactor: Any,
    stub: Stub,
    scripted: S3Backend,
    answer: bytes,
    expected: type[BackendError],
    landed: bool,
) -> None:
    """An early answer ends the upload at the next write, and its connection."""
    stub.replies = [Reply(answer, after_bytes=10)]
    upload = await begin(scripted, 1 << 40)
    caught = await write_until_refused(upload, reactor)
    assert type(caught) is expected
    assert caught.landed is landed
    with pytest.raises(expected):
        await upload.finish(b"", md5=HELLO)
    # The stub does not read any more, so only the state of its socket shows the reset.
    (connection,) = stub.open
    await until(reactor, lambda: is_closed(connection.transport.socket))


@ensureDeferred
async def test_a_reset_in_the_body(
    reactor: Any, stub: Stub, scripted: S3Backend
) -> None:
    """A connection lost before the last byte went: nothing can land."""
    stub.replies = [Reply(after_bytes=100_000, then="reset")]
    caught = await write_until_refused(await begin(scripted, 1 << 40), reactor)
    assert type(caught) is BackendUnavailable
    assert not caught.landed


@ensureDeferred
async def test_a_server_that_stops_reading(
    reactor: Any, stub: Stub, scripted: S3Backend, clock: Clock
) -> None:
    """Writes wait for the server; after a minute without progress they fail."""
    stub.replies = [Reply(after_bytes=10)]
    upload = await begin(scripted, 1 << 40)
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await upload.write(sample(PIECE_BYTES))
            written += PIECE_BYTES

    writing = Deferred.fromCoroutine(write())
    await steady(reactor, lambda: written)
    # What the kernel's buffers hold, and no more.
    assert written < 32 * 1024 * 1024
    clock.advance(59)
    assert not writing.called
    clock.advance(2)
    with pytest.raises(BackendUnavailable, match="no byte taken") as caught:
        await writing
    assert not caught.value.landed


@ensureDeferred
async def test_no_answer(stub: Stub, scripted: S3Backend, clock: Clock) -> None:
    """A whole body that is not answered within a minute may have landed."""
    stub.replies = [Reply()]
    finishing = Deferred.fromCoroutine(put_hello(scripted))
    await stub.until(lambda: len(stub.received) == 1)
    clock.advance(59)
    assert not finishing.called
    clock.advance(2)
    with pytest.raises(BackendUnavailable, match="no answer") as caught:
        await finishing
    assert caught.value.landed
    await stub.until(lambda: not stub.open)


@ensureDeferred
async def test_half_an_answer(
    reactor: Any, stub: Stub, scripted: S3Backend, clock: Clock
) -> None:
    """The limit holds for the answer's body too."""
    stub.replies = [Reply(http(500, b"<Er", length=100))]
    finishing = Deferred.fromCoroutine(put_hello(scripted))
    await stub.until(lambda: len(stub.received) == 1)
    # One limit for the headers, one more for the body once they are there.
    await until(reactor, lambda: len(clock.getDelayedCalls()) == 2)
    clock.advance(61)
    with pytest.raises(BackendUnavailable):
        await finishing
    await stub.until(lambda: not stub.open)


@pytest.mark.parametrize("written", [0, 1, PIECE_BYTES])
@ensureDeferred
async def test_abort_breaks_the_connection(
    reactor: Any, stub: Stub, scripted: S3Backend, written: int
) -> None:
    """An aborted body is cut off short of its length, and the place is free again."""
    stub.replies = [Reply(OK)]
    upload = await begin(scripted, 2 * PIECE_BYTES)
    if written:
        await upload.write(sample(written))
    await stub.until(lambda: stub.connections == 1)
    upload.abort()
    await stub.until(lambda: not stub.open)
    assert stub.received == []
    with pytest.raises(BackendUnavailable):
        await upload.write(b"more")


@ensureDeferred
async def test_an_empty_body_waits_for_finish(stub: Stub, scripted: S3Backend) -> None:
    """Its headers are all there is to land, so they go last; an abort sends none."""
    stub.replies = [Reply(http(200))]
    upload = await begin(scripted, 0)
    upload.abort()
    with pytest.raises(BackendUnavailable) as caught:
        await upload.finish(b"", md5=md5(b"").hexdigest())
    assert not caught.value.landed
    upload = await begin(scripted, 0)
    assert stub.connections == 0
    await upload.finish(b"", md5=md5(b"").hexdigest())
    assert stub.received[0].headers["content-length"] == "0"
    with pytest.raises(BackendUnavailable):
        await stub.stop()
        await (await begin(scripted, 0)).finish(b"", md5=md5(b"").hexdigest())
    stub.start()


@ensureDeferred
async def test_the_last_byte_may_land_before_finish(
    stub: Stub, scripted: S3Backend
) -> None:
    """Who writes all of the body has sent it: errors say so, answers are kept."""
    stub.replies = [Reply(OK), Reply(), Reply(OK)]
    upload = await begin(scripted, 5)
    await upload.write(b"hello")
    await stub.until(lambda: len(stub.received) == 1)
    assert await upload.finish(b"", md5=HELLO) == Stored(HELLO)

    upload = await begin(scripted, 5)
    await upload.write(b"hello")
    upload.abort()
    with pytest.raises(BackendUnavailable) as caught:
        await upload.write(b"")
    assert caught.value.landed


@ensureDeferred
async def test_an_abort_after_the_answer(
    reactor: Any, stub: Stub, scripted: S3Backend
) -> None:
    """A body that was answered but never finished takes its connection with it."""
    stub.replies = [Reply(OK), Reply(OK)]
    first = await begin(scripted, 5)
    await first.write(b"hello")
    await until(reactor, lambda: first._answer is not None)
    second = await begin(scripted, 5)
    first.abort()
    assert await second.finish(b"hello", md5=HELLO) == Stored(HELLO)
    await stub.until(lambda: len(stub.open) == 1)


@ensureDeferred
async def test_more_than_announced(stub: Stub, scripted: S3Backend) -> None:
    """Too many bytes are a bug here: not one of them goes."""
    stub.replies = [Reply(OK)]
    upload = await begin(scripted, 5)
    with pytest.raises(ValueError, match="6 bytes"):
        await upload.write(b"hello!")
    await stub.until(lambda: stub.connections == 1 and not stub.open)
    assert stub.received == []


@ensureDeferred
async def test_a_dropped_wait_breaks_the_connection(
    reactor: Any, stub: Stub, scripted: S3Backend
) -> None:
    """Whoever stops waiting for a write or an answer has given the upload up."""
    stub.replies = [Reply(after_bytes=10), Reply()]
    upload = await begin(scripted, 1 << 40)

    async def write() -> None:
        while True:
            await upload.write(sample(PIECE_BYTES))

    writing = Deferred.fromCoroutine(write())
    await stub.until(lambda: len(stub.received) == 1)
    writing.cancel()
    with pytest.raises(CancelledError):
        await writing
    with pytest.raises(BackendUnavailable):
        await upload.write(b"")
    (connection,) = stub.open
    await until(reactor, lambda: is_closed(connection.transport.socket))
    connection.transport.abortConnection()
    await stub.until(lambda: not stub.open)

    finishing = Deferred.fromCoroutine(put_hello(scripted))
    await stub.until(lambda: len(stub.received) == 2)
    finishing.cancel()
    with pytest.raises(CancelledError):
        await finishing
    await stub.until(lambda: not stub.open)


@ensureDeferred
async def test_a_kept_connection_that_ends(stub: Stub, scripted: S3Backend) -> None:
    """A PUT that meets a connection's end is not sent again: the manager decides."""
    stub.replies = [Reply(OK, then="end_at_next"), Reply(OK)]
    await put_hello(scripted)
    with pytest.raises(BackendUnavailable) as caught:
        await put_hello(scripted)
    assert caught.value.landed
    assert len(stub.received) == 1
    assert await put_hello(scripted) == Stored(HELLO)
    assert stub.connections == 2


@ensureDeferred
async def test_connections_are_kept(stub: Stub, scripted: S3Backend) -> None:
    """One PUT after the other goes over one connection."""
    stub.replies = [Reply(OK)] * 3
    for _ in range(3):
        await put_hello(scripted)
    assert stub.connections == 1
