"""A backend's own copies: what is sent, and answers of every kind."""

from __future__ import annotations

import socket
from hashlib import md5
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from s3proxy.backend.client import S3Backend
from s3proxy.config import BackendConfig
from s3proxy.errors import (
    BackendError,
    BackendFull,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from s3proxy.manager.ports import Stored
from tests.backend.conftest import now, until
from tests.backend.test_real_faults import expired
from tests.contracts.backend import get, make_copy, put
from tests.faults import FaultProxy, Reply, Stub, error, http
from tests.servers import S3Server

DATA = b"the bytes"
MD5 = md5(DATA).hexdigest()
OTHER_MD5 = md5(b"others").hexdigest()
PART_ID = "x-amz-meta-s3proxy-part-id"
SOURCE = make_copy("a b/+ü~01", len(DATA))
TARGET = make_copy("to~02", len(DATA))
HEADERS = {"content-type": "text/plain", PART_ID: "ours"}


def result(etag: str | None = MD5, blanks: bytes = b"", **headers: str) -> bytes:
    """A copy's answer."""
    named = "" if etag is None else f"<ETag>&quot;{etag}&quot;</ETag>"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<CopyObjectResult '
        f'xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{named}</CopyObjectResult>'
    )
    return http(200, blanks + text.encode(), headers)


def head(etag: str = MD5, length: int = len(DATA), part_id: str = "ours") -> bytes:
    """A HEAD's answer."""
    return http(200, headers={"ETag": f'"{etag}"', PART_ID: part_id}, length=length)


async def copy(backend: S3Backend) -> Stored:
    """Copy SOURCE to TARGET."""
    return await backend.copy(SOURCE, TARGET, HEADERS, md5=MD5)


@ensureDeferred
async def test_what_is_sent(stub: Stub, scripted: S3Backend) -> None:
    """The source is named by the AWS rule; its metadata are replaced; no body."""
    stub.replies = [
        Reply(result(**{"x-amz-version-id": "v2"})),
        Reply(head()),
        Reply(result()),
        Reply(head()),
    ]
    assert await copy(scripted) == Stored(MD5, "v2")
    versioned = evolve(SOURCE, version_id="v/1")
    assert await scripted.copy(versioned, TARGET, HEADERS, md5=MD5) == Stored(MD5)
    first, looked, second, _ = stub.received
    assert (first.method, first.target, first.body) == ("PUT", "/bucket/to~02", b"")
    assert first.headers["content-length"] == "0"
    assert first.headers["x-amz-copy-source"] == "bucket/a%20b/%2B%C3%BC~01"
    assert first.headers["x-amz-metadata-directive"] == "REPLACE"
    assert first.headers["content-type"] == "text/plain"
    assert first.headers[PART_ID] == "ours"
    signed = first.headers["authorization"].partition("SignedHeaders=")[2]
    assert "x-amz-copy-source;" in signed
    assert (looked.method, looked.target) == ("HEAD", "/bucket/to~02")
    assert second.headers["x-amz-copy-source"].endswith("~01?versionId=v%2F1")


@pytest.mark.parametrize(
    ("answer", "looked", "expected"),
    [
        (result(blanks=b" \n" * 1000), head(), MD5),
        (result(MD5.upper()), head(), MD5),
        # No MD5: the size is what there is to compare.
        (result("etag-1"), head("etag-1"), "etag-1"),
        (result("etag-1"), head(), MD5),
        (result(None), head(), MD5),
        (
            result(OTHER_MD5, **{"x-amz-server-side-encryption": "aws:kms"}),
            head(OTHER_MD5),
            OTHER_MD5,
        ),
    ],
)
@ensureDeferred
async def test_copied(
    stub: Stub, scripted: S3Backend, answer: bytes, looked: bytes, expected: str
) -> None:
    """What a HEAD names is what is kept: a GET will name it."""
    stub.replies = [Reply(answer), Reply(looked)]
    assert await copy(scripted) == Stored(expected)


@pytest.mark.parametrize(
    ("answer", "looked", "expected", "landed"),
    [
        # It says that it has not.
        (error(200, "InternalError"), None, BackendUnavailable, True),
        (
            http(
                200,
                b"   \r\n <?xml version='1.0'?><Error><Code>SlowDown</Code></Error>",
            ),
            *(None, BackendThrottled, True),
        ),
        (error(500, "InternalError"), None, BackendUnavailable, True),
        (error(503, "SlowDown"), None, BackendThrottled, True),
        (error(507, "InsufficientStorage"), None, BackendFull, True),
        (http(202), None, BackendUnavailable, True),
        # It refuses the call.
        (error(501, "NotImplemented"), None, BackendRefused, False),
        (error(400, "InvalidArgument"), None, BackendRefused, False),
        (error(403, "AccessDenied"), None, BackendRefused, False),
        (http(405), None, BackendRefused, False),
        (http(301, headers={"Location": "/bucket/other"}), None, BackendRefused, False),
        (error(404, "NoSuchKey"), None, BackendMissing, False),
        (error(404, "NoSuchBucket"), None, BackendRefused, False),
        # It takes it for a PUT of no bytes, or says what nobody understands.
        (http(200, headers={"ETag": '"d41d8"'}), None, BackendMismatch, True),
        (http(200, b"<Other/>"), None, BackendMismatch, True),
        (http(200, b" " * 100_000), None, BackendMismatch, True),
        (result()[:-20], None, BackendUnavailable, True),
        # It says that it has, and has not.
        (result(OTHER_MD5), None, BackendMismatch, True),
        (result(), head(length=0), BackendMismatch, True),
        (result("e-1"), head("e-1", length=5), BackendMismatch, True),
        (result(), head(OTHER_MD5), BackendMismatch, True),
        (result(), head(part_id="the source's"), BackendMismatch, True),
        (result(), http(404), BackendUnavailable, True),
        (result(), http(500), BackendUnavailable, True),
    ],
)
@ensureDeferred
async def test_not_copied(
    stub: Stub,
    scripted: S3Backend,
    answer: bytes,
    looked: bytes | None,
    expected: type[BackendError],
    landed: bool,
) -> None:
    """Each is told apart, and whether bytes may be there; nothing goes twice."""
    stub.replies = [Reply(answer, then="end"), *([Reply(looked)] if looked else [])]
    with pytest.raises(BackendError) as caught:
        await copy(scripted)
    assert type(caught.value) is expected
    assert caught.value.landed is landed
    assert len(stub.received) == (2 if looked else 1)


@ensureDeferred
async def test_a_connection_lost_before_the_answer(
    stub: Stub, scripted: S3Backend
) -> None:
    """The copy may be there; it is not asked for again, on a kept connection either."""
    stub.replies = [Reply(then="reset"), Reply(head()), Reply(then="reset")]
    for expected in (1, 3):
        with pytest.raises(BackendUnavailable) as caught:
            await copy(scripted)
        assert caught.value.landed
        assert len(stub.received) == expected
        if expected == 1:
            await scripted.head("to~02")


@ensureDeferred
async def test_no_connection(reactor: Any, stub_config: BackendConfig) -> None:
    """Then there is nothing, and will be nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        config = evolve(stub_config, endpoint=endpoint)
        with pytest.raises(BackendUnavailable) as caught:
            await copy(S3Backend(config, reactor=reactor, now=now))
    assert not caught.value.landed


@pytest.mark.parametrize("begun", [False, True])
@ensureDeferred
async def test_a_long_silence(
    reactor: Any, stub: Stub, scripted: S3Backend, clock: Clock, begun: bool
) -> None:
    """
    A large copy may take its time, before its answer's head and after it; then it is
    given up, and may land.
    """
    answer = http(200, b" ", length=500) if begun else b""
    stub.replies = [Reply(answer)] * 2
    large = make_copy("to~02", 5 * 1024**3)
    for target, seconds in ((TARGET, 60.0), (large, 700.0)):
        work = Deferred.fromCoroutine(scripted.copy(SOURCE, target, HEADERS, md5=MD5))
        sent = len(stub.received)
        await until(reactor, lambda sent=sent: len(stub.received) > sent)  # type: ignore[misc]
        clock.advance(seconds - 0.5)
        assert not work.called
        clock.advance(1.0)
        with pytest.raises(BackendUnavailable) as caught:
            await work
        assert caught.value.landed


@ensureDeferred
async def test_nobody_waits_any_more(
    reactor: Any, stub: Stub, scripted: S3Backend
) -> None:
    """The connection is dropped."""
    stub.replies = [Reply()]
    work = Deferred.fromCoroutine(copy(scripted))
    await stub.until(lambda: len(stub.received) == 1)
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    await stub.until(lambda: not stub.open)


# A real server ---


@ensureDeferred
async def test_an_answer_lost_on_its_way(
    reactor: Any,
    s3server: S3Server,
    proxy: FaultProxy,
    proxied: S3Backend,
) -> None:
    """The copy has landed all the same."""
    source = await put(proxied, "from", DATA)
    proxy.cut_down = 1
    with pytest.raises(BackendUnavailable) as caught:
        await proxied.copy(source, make_copy("to", len(DATA)), {}, md5=MD5)
    assert caught.value.landed
    proxy.cut_down = None
    assert await get(proxied, make_copy("to", len(DATA), MD5)) == DATA


@ensureDeferred
async def test_a_server_that_says_nothing(
    reactor: Any, proxy: FaultProxy, proxied: S3Backend, clock: Clock
) -> None:
    """It is given up in time."""
    source = await put(proxied, "from", DATA)
    proxy.black_hole = True
    call = Deferred.fromCoroutine(
        proxied.copy(source, make_copy("to", len(DATA)), {}, md5=MD5)
    )
    with pytest.raises(BackendUnavailable) as caught:
        await expired(reactor, clock, call)
    assert caught.value.landed
