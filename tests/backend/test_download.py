"""GETs from a server that misbehaves."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from s3proxy.backend.client import S3Backend
from s3proxy.backend.download import HIGH_WATER_BYTES, LOW_WATER_BYTES, S3Download
from s3proxy.backend.limits import Limits
from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from tests.contracts.backend import get, make_copy, read_all
from tests.faults import Reply, Stub, error, http


def part(first: int, last: int, size: int, body: bytes) -> bytes:
    """A 206."""
    return http(206, body, {"Content-Range": f"bytes {first}-{last}/{size}"})


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A 200 without a length."""
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = http(200, headers={"Transfer-Encoding": "chunked"}, length=None)
    return head + framed + (b"0\r\n\r\n" if end else b"")


@ensureDeferred
async def test_a_range_is_asked_for_only_where_needed(
    stub: Stub, scripted: S3Backend
) -> None:
    """The whole copy is asked for plainly; a part of it with a Range."""
    stub.replies = [Reply(http(200, b"hello")), Reply(part(1, 2, 5, b"el"))]
    assert await get(scripted, make_copy("key", 5)) == b"hello"
    assert await read_all(await scripted.open_get(make_copy("key", 5), 1, 3)) == b"el"
    assert "range" not in stub.received[0].headers
    assert stub.received[1].headers["range"] == "bytes=1-2"
    assert stub.received[0].headers["accept-encoding"] == "identity"


@ensureDeferred
async def test_zipped_objects_stay_zipped(stub: Stub, scripted: S3Backend) -> None:
    """An object stored with Content-Encoding: gzip is read as it is stored."""
    data = gzip.compress(b"hello" * 100)
    stub.replies = [
        Reply(http(200, data, {"Content-Encoding": "gzip"})),
        Reply(error(404, "NoSuchKey")),
    ]
    assert await get(scripted, make_copy("key", len(data))) == data


@ensureDeferred
async def test_control_calls_do_not_unzip(stub: Stub, scripted: S3Backend) -> None:
    """Nor does treq, for the calls that it makes."""
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    stub.replies = [Reply(http(200, page, {"Content-Encoding": "gzip"}))]
    assert await scripted.list_page("", None) == ([], None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(404, "NoSuchKey"), BackendMissing),
        (error(404, "NoSuchBucket"), BackendRefused),
        (http(404), BackendRefused),
        (http(404, b"<html>NoSuchKey</html>"), BackendRefused),
        (error(403, "AccessDenied"), BackendRefused),
        (error(503, "SlowDown"), BackendThrottled),
        (http(301, headers={"Location": "http://127.0.0.1:1/"}), BackendRefused),
        (http(200, b"hell"), BackendMismatch),
        (http(200, b"hello!"), BackendMismatch),
        (part(0, 4, 5, b"hello"), BackendMismatch),
        (http(204), BackendMismatch),
        (http(200, b"hello", {"ETag": '"other"'}), BackendMismatch),
        (b"nonsense\r\n\r\n", BackendUnavailable),
        (b"", BackendUnavailable),
    ],
)
@ensureDeferred
async def test_answers_that_are_not_the_copy(
    stub: Stub, scripted: S3Backend, answer: bytes, expected: type[BackendError]
) -> None:
    """Every one is told before the first byte."""
    stub.replies = [Reply(answer, then="end")]
    with pytest.raises(expected) as caught:
        await scripted.open_get(make_copy("key", 5, "etag"), 0, 5)
    assert type(caught.value) is expected
    await stub.until(lambda: not stub.open)


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"hello"),
        http(200, b"el"),
        http(200, b"el", {"Content-Range": "bytes 0-1/5"}),
        http(203, b"el", {"Content-Range": "bytes 1-2/5"}),
        part(0, 2, 5, b"hel"),
        part(1, 2, 6, b"el"),
        part(1, 3, 5, b"ell"),
        http(206, b"el"),
        http(206, b"el", {"Content-Range": "bytes 1-2/*"}),
        http(206, b"e", {"Content-Range": "bytes 1-2/5"}),
    ],
)
@ensureDeferred
async def test_answers_that_are_not_the_range(
    stub: Stub, scripted: S3Backend, answer: bytes
) -> None:
    """A range must come as asked for, out of an object of the recorded size."""
    stub.replies = [Reply(answer)]
    with pytest.raises(BackendMismatch):
        await scripted.open_get(make_copy("key", 5), 1, 3)


@ensureDeferred
async def test_a_range_with_the_status_of_the_whole(
    stub: Stub, scripted: S3Backend
) -> None:
    """``rclone serve s3`` sends 200, and a Content-Range that leaves no doubt."""
    stub.replies = [Reply(http(200, b"el", {"Content-Range": "bytes 1-2/5"}))]
    download = await scripted.open_get(make_copy("key", 5), 1, 3)
    assert await download.read() == b"el"
    assert await download.read() == b""


@ensureDeferred
async def test_a_short_body(stub: Stub, scripted: S3Backend) -> None:
    """The bytes that came are read, then the loss is told, each time."""
    stub.replies = [Reply(http(200, b"hel", length=5), then="end")]
    download = await scripted.open_get(make_copy("key", 5), 0, 5)
    assert await download.read() == b"hel"
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            await download.read()


@ensureDeferred
async def test_bodies_without_a_length(stub: Stub, scripted: S3Backend) -> None:
    """Their bytes are counted: a short one and a long one are found out."""
    head = http(200, b"hello", length=None)
    stub.replies = [
        Reply(chunked(b"hel", b"lo")),
        Reply(chunked(b"hel"), then="end"),
        Reply(chunked(b"hello", b"!"), then="end"),
        Reply(head, then="end"),
        Reply(head[:-1], then="end"),
    ]
    copy = make_copy("key", 5)
    assert await get(scripted, copy) == b"hello"
    with pytest.raises(BackendUnavailable):
        await get(scripted, copy)
    with pytest.raises(BackendMismatch):
        await get(scripted, copy)
    assert await get(scripted, copy) == b"hello"
    with pytest.raises(BackendUnavailable):
        await get(scripted, copy)


@ensureDeferred
async def test_no_answer(stub: Stub, scripted: S3Backend, clock: Clock) -> None:
    """Headers that do not come within a minute are given up, the connection too."""
    stub.replies = [Reply()]
    opening = Deferred.fromCoroutine(scripted.open_get(make_copy("key", 5), 0, 5))
    await stub.until(lambda: len(stub.received) == 1)
    clock.advance(59)
    assert not opening.called
    clock.advance(2)
    with pytest.raises(BackendUnavailable, match="no answer"):
        await opening
    await stub.until(lambda: not stub.open)


@ensureDeferred
async def test_a_body_that_stops(stub: Stub, scripted: S3Backend, clock: Clock) -> None:
    """A minute without a byte that is waited for ends it; time unread does not."""
    stub.replies = [Reply(http(200, b"hel", length=5))]
    download = await scripted.open_get(make_copy("key", 5), 0, 5)
    clock.advance(1000)
    assert await download.read() == b"hel"
    reading = Deferred.fromCoroutine(download.read())
    clock.advance(61)
    with pytest.raises(BackendUnavailable, match="no byte came"):
        await reading
    await stub.until(lambda: not stub.open)


@ensureDeferred
async def test_a_dropped_read(stub: Stub, scripted: S3Backend) -> None:
    """Whoever stops waiting for bytes has given the download up."""
    stub.replies = [Reply(http(200, b"hel", length=5)), Reply()]
    download = await scripted.open_get(make_copy("key", 5), 0, 5)
    await download.read()
    reading = Deferred.fromCoroutine(download.read())
    reading.cancel()
    with pytest.raises(CancelledError):
        await reading
    with pytest.raises(BackendUnavailable):
        await download.read()
    await stub.until(lambda: not stub.open)

    opening = Deferred.fromCoroutine(scripted.open_get(make_copy("key", 5), 0, 5))
    await stub.until(lambda: len(stub.received) == 2)
    opening.cancel()
    with pytest.raises(CancelledError):
        await opening
    await stub.until(lambda: not stub.open)


@ensureDeferred
async def test_a_kept_connection_that_ends(stub: Stub, scripted: S3Backend) -> None:
    """A GET that meets a connection's end goes again on a new one."""
    stub.replies = [
        Reply(http(200, b"hello"), then="end_at_next"),
        Reply(http(200, b"again")),
    ]
    assert await get(scripted, make_copy("key", 5)) == b"hello"
    assert await get(scripted, make_copy("key", 5)) == b"again"
    assert stub.connections == 2


@ensureDeferred
async def test_an_abort_leaves_the_next_user_alone(
    stub: Stub, scripted: S3Backend
) -> None:
    """After its end a download's connection is another's: abort must not cut it."""
    stub.replies = [Reply(http(200, b"hello")), Reply(http(200, b"hel", length=5))]
    first = await scripted.open_get(make_copy("key", 5), 0, 5)
    assert await read_all(first) == b"hello"
    second = await scripted.open_get(make_copy("key", 5), 0, 5)
    first.abort()
    assert stub.connections == 1
    assert await second.read() == b"hel"
    (connection,) = stub.open
    connection.transport.write(b"lo")
    assert await read_all(second) == b"lo"


class _Transport:
    """Counts what a download does to its connection."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.events.append(name)


@ensureDeferred
async def test_a_slow_reader_holds_the_connection_up(clock: Clock) -> None:
    """The queue is bounded: paused when high, resumed when low, and no data lost."""
    released: list[None] = []
    transport = _Transport()
    download = S3Download(
        "b",
        1_000_000,
        clock=clock,
        limits=Limits(),
        release=lambda: released.append(None),
    )
    download.makeConnection(transport)  # type: ignore[arg-type]
    piece = bytes(50_000)
    sent = 0
    while not transport.events:
        download.dataReceived(piece)
        sent += len(piece)
    assert transport.events == ["pauseProducing"]
    assert sent - len(piece) < HIGH_WATER_BYTES <= sent
    got = 0
    while len(transport.events) == 1:
        got += len(await download.read())
    assert transport.events[1:] == ["resumeProducing"]
    assert sent - got <= LOW_WATER_BYTES
    download.abort()
    download.abort()
    assert transport.events[2:] == ["abortConnection"]
    assert released == [None]
