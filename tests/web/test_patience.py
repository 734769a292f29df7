"""s3proxy.web.patience: what clients get while an answer takes long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from xml.etree import ElementTree

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from s3proxy.errors import (
    ClientGone,
    InsufficientStorage,
    InvalidPart,
    StoreUnavailable,
)
from s3proxy.web.patience import patiently
from tests.web.conftest import Door
from tests.web.wire import Wire, request

LIST = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
    b"</CompleteMultipartUpload>"
)
COMPLETE = request("POST", "/unified/k?uploadId=u", body=LIST)
COPY = request("PUT", "/unified/k", "x-amz-copy-source: /unified/other")
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'


class Timed:
    """A wait under way, on a clock that stands still."""

    def __init__(self, make: Callable[[], Awaitable[str]]) -> None:
        self.clock = Clock()
        self.beats: list[float] = []
        self.result = Deferred.fromCoroutine(
            patiently(
                make(),
                lambda: self.beats.append(self.clock.seconds()),
                clock=self.clock,
                first_seconds=10,
                each_seconds=5,
            )
        )


def test_beats_until_the_end() -> None:
    """After the first wait, and then regularly; nothing stays timed."""
    gate: Deferred[str] = Deferred()
    timed = Timed(lambda: gate)
    timed.clock.pump([1] * 21)
    assert timed.beats == [10, 15, 20]
    gate.callback("done")
    assert timed.clock.getDelayedCalls() == []
    assert timed.result.result == "done"


def test_a_quick_answer_has_no_beat() -> None:
    """As if nothing were there."""
    timed = Timed(lambda: succeed("done"))
    assert (timed.result.result, timed.beats) == ("done", [])
    assert timed.clock.getDelayedCalls() == []


@pytest.mark.parametrize("why", [ValueError(), CancelledError()])
def test_a_failure_is_passed_on(why: Exception) -> None:
    """And ends the beats."""
    gate: Deferred[str] = Deferred()
    timed = Timed(lambda: gate)
    timed.clock.advance(10)
    gate.errback(Failure(why))
    assert timed.clock.getDelayedCalls() == []
    failures: list[Failure] = []
    timed.result.addErrback(failures.append)
    assert failures[0].value is why


def chunked(raw: bytes) -> bytes:
    """The body of a chunked answer that is whole."""
    body, rest = b"", raw
    while True:
        size, _, rest = rest.partition(b"\r\n")
        data, rest = rest[: int(size, 16)], rest[int(size, 16) :]
        assert rest.startswith(b"\r\n")
        rest = rest[2:]
        if not data:
            assert rest == b""
            return body
        body += data


async def waiting(door: Door, raw: bytes, *, beats: int) -> tuple[Wire, Deferred[None]]:
    """A slow request whose client has had *beats* signs of life."""
    gate: Deferred[None] = Deferred()
    door.uploads.gate = door.copies.gate = gate
    wire = await door.connect()
    wire.send(raw)
    await door.until(lambda: door.uploads.ops or door.copies.ops)
    for n in range(beats):
        door.clock.advance(5 if n else 10)
    return wire, gate


@pytest.mark.parametrize("raw", [COMPLETE, COPY], ids=["Complete", "Copy"])
@pytest_twisted.ensureDeferred
async def test_a_slow_answer(door: Door, raw: bytes) -> None:
    """200, blanks, then the document; and the connection goes on."""
    wire, gate = await waiting(door, raw, beats=4)
    await wire.until(lambda: wire.received.endswith(b" \r\n"))
    head, _, begun = bytes(wire.received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"content-type: application/xml" in head.lower()
    assert b"content-length" not in head.lower()
    assert b"Result" not in begun
    gate.callback(None)
    await wire.until(lambda: wire.received.endswith(b"0\r\n\r\n"))
    body = chunked(bytes(wire.received).partition(b"\r\n\r\n")[2])
    assert body.startswith(DECLARATION + b"   <C")
    assert ElementTree.fromstring(body).tag.endswith("Result")
    wire.received.clear()
    wire.send(request("GET", "/health"))
    assert (await wire.response()).status == 200


@pytest.mark.parametrize(
    ("why", "code"),
    [
        (InvalidPart(), "InvalidPart"),
        (InsufficientStorage(), "InsufficientStorage"),
        (StoreUnavailable("down"), "ServiceUnavailable"),
        (RuntimeError("secret"), "InternalError"),
    ],
)
@pytest.mark.parametrize("raw", [COMPLETE, COPY], ids=["Complete", "Copy"])
@pytest_twisted.ensureDeferred
async def test_a_late_failure(
    door: Door, logged: list[LogEvent], raw: bytes, why: Exception, code: str
) -> None:
    """Is an Error document in the 200 that was sent."""
    wire, gate = await waiting(door, raw, beats=2)
    door.uploads.failure = door.copies.failure = why
    gate.callback(None)
    await wire.until(lambda: wire.received.endswith(b"0\r\n\r\n"))
    head, _, rest = bytes(wire.received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    root = ElementTree.fromstring(chunked(rest))
    assert (root.tag, root.findtext("Code")) == ("Error", code)
    assert root.findtext("RequestId")
    assert b"secret" not in rest
    if isinstance(why, RuntimeError):
        logged.remove(next(event for event in logged if "log_failure" in event))


@pytest.mark.parametrize("why", [CancelledError(), ClientGone()])
@pytest_twisted.ensureDeferred
async def test_an_end_without_an_answer(door: Door, why: Exception) -> None:
    """Breaks the connection: the client must not take blanks for the whole."""
    wire, gate = await waiting(door, COMPLETE, beats=1)
    door.uploads.failure = why
    gate.callback(None)
    assert not (await wire.end()).endswith(b"0\r\n\r\n")


@pytest_twisted.ensureDeferred
async def test_an_early_failure_has_its_status(door: Door) -> None:
    """What fails before the first beat is answered like anything else."""
    wire, gate = await waiting(door, COMPLETE, beats=0)
    door.clock.advance(9)
    door.uploads.failure = InvalidPart()
    gate.callback(None)
    answer = await wire.response()
    assert (answer.status, answer.code) == (400, "InvalidPart")


@pytest.mark.parametrize("beats", [0, 2])
@pytest_twisted.ensureDeferred
async def test_the_work_outlives_its_client(door: Door, beats: int) -> None:
    """A client that leaves stops nothing, and is waited for at a stop."""
    wire, gate = await waiting(door, COMPLETE, beats=beats)
    wire.abort()
    await door.until(lambda: not door.site.drain._connections)
    door.clock.advance(20)
    assert door.site.drain.in_flight == 1
    gate.callback(None)
    await door.until(lambda: door.site.drain.in_flight == 0)


@pytest_twisted.ensureDeferred
async def test_a_slow_list_is_not_yet_a_slow_answer(door: Door) -> None:
    """While the body still comes, nothing is promised."""
    wire = await door.connect()
    wire.send(COMPLETE[:-10])
    await door.until(lambda: door.site.drain.in_flight)
    door.clock.advance(20)
    wire.send(COMPLETE[-10:])
    answer = await wire.response()
    assert answer.status == 200
    assert answer.header("content-length") == str(len(answer.body))


@pytest_twisted.ensureDeferred
async def test_a_client_of_http_1_0(door: Door) -> None:
    """Gets no chunks; the end of the connection is the end."""
    raw = COMPLETE.replace(b"HTTP/1.1", b"HTTP/1.0")
    wire, gate = await waiting(door, raw, beats=2)
    gate.callback(None)
    head, _, body = (await wire.end()).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.startswith(DECLARATION + b" <CompleteMultipartUploadResult")
