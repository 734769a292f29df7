"""Control calls, connections and their limits."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from s3proxy.backend.client import S3Backend
from s3proxy.backend.limits import Limits
from s3proxy.config import BackendConfig
from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from s3proxy.manager.ports import BackendKey
from tests.backend.conftest import now, until
from tests.contracts.backend import make_copy, read_all
from tests.faults import FaultProxy, Reply, Stub, error, http


def page(
    *keys: str, token: str = "", encoding: str = "", truncated: bool = False
) -> bytes:
    """A listing's answer; keys as they are to stand in it."""
    entries = "".join(
        f'<Contents><Key>{key}</Key><Size>5</Size><ETag>"e"</ETag></Contents>'
        for key in keys
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    how = f"<EncodingType>{encoding}</EncodingType>" if encoding else ""
    flag = "true" if truncated or token else "false"
    return http(
        200,
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{flag}</IsTruncated>{more}{how}{entries}"
        "</ListBucketResult>".encode(),
    )


@pytest.mark.parametrize(
    "answer", [http(204, length=None), http(200), error(404, "NoSuchKey")]
)
@ensureDeferred
async def test_deleted(stub: Stub, scripted: S3Backend, answer: bytes) -> None:
    """204, 200 and a 404 that names the key count as deleted."""
    stub.replies = [Reply(answer)] * 2
    await scripted.delete("a b", None)
    await scripted.delete("a b", "v/1")
    first, second = stub.received
    assert (first.method, first.target) == ("DELETE", "/bucket/a%20b")
    assert second.target == "/bucket/a%20b?versionId=v%2F1"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(404), BackendRefused),
        (error(404, "NoSuchBucket"), BackendRefused),
        (error(403, "AccessDenied"), BackendRefused),
        (error(200, "InternalError"), BackendUnavailable),
        (error(503, "SlowDown"), BackendThrottled),
        (http(202), BackendUnavailable),
        (http(302, headers={"Location": "/bucket/other"}), BackendRefused),
    ],
)
@ensureDeferred
async def test_not_deleted(
    stub: Stub, scripted: S3Backend, answer: bytes, expected: type[BackendError]
) -> None:
    """Nothing else does, and a redirect is not followed."""
    stub.replies = [Reply(answer)]
    with pytest.raises(expected):
        await scripted.delete("key", None)
    assert len(stub.received) == 1


@ensureDeferred
async def test_head(stub: Stub, scripted: S3Backend) -> None:
    """The length is the object's, though there is no body; metadata come in bytes."""
    stub.replies = [
        Reply(http(200, headers={"ETag": '"e"', "X-Amz-Meta-A": "\xe9"}, length=7)),
        Reply(http(404, length=300)),
        Reply(http(403)),
        Reply(http(200, length=None), then="end"),
    ]
    assert await scripted.head("key") == (BackendKey("key", 7, "e"), {"a": "\xe9"})
    with pytest.raises(BackendMissing):
        await scripted.head("key")
    with pytest.raises(BackendRefused):
        await scripted.head("key")
    with pytest.raises(BackendMismatch):
        await scripted.head("key")


@ensureDeferred
async def test_inspect_asks_for_checksums(stub: Stub, scripted: S3Backend) -> None:
    """A backend that does not know the question is not asked again."""
    stub.replies = [
        Reply(http(200, headers={"X-Amz-Checksum-Crc32": "NhCmhg=="}, length=5)),
        Reply(http(400, length=100)),
        Reply(http(403)),
        Reply(http(501, length=100)),
        Reply(http(200, length=5)),
        Reply(http(200, length=5)),
    ]
    assert (await scripted.inspect("key")).checksums == {"crc32": "NhCmhg=="}
    with pytest.raises(BackendRefused):
        await scripted.inspect("of somebody's own key")
    assert (await scripted.inspect("key")).checksums == {}
    await scripted.inspect("key")
    asked = ["x-amz-checksum-mode" in each.headers for each in stub.received]
    assert asked == [True, True, False, True, False, False]


@pytest.mark.parametrize(
    ("headers", "is_archived"),
    [
        ({}, False),
        ({"x-amz-storage-class": "STANDARD_IA"}, False),
        ({"x-amz-storage-class": "GLACIER"}, True),
        ({"x-amz-storage-class": "GLACIER_IR"}, False),
        (
            {
                "x-amz-storage-class": "DEEP_ARCHIVE",
                "x-amz-restore": 'ongoing-request="true"',
            },
            True,
        ),
        (
            {
                "x-amz-storage-class": "DEEP_ARCHIVE",
                "x-amz-restore": 'ongoing-request="false", expiry-date="x"',
            },
            False,
        ),
    ],
)
@ensureDeferred
async def test_inspect_of_an_archive(
    stub: Stub, scripted: S3Backend, headers: dict[str, str], is_archived: bool
) -> None:
    """What a GET would be refused for is told."""
    stub.replies = [Reply(http(200, headers=headers, length=5))]
    assert (await scripted.inspect("key")).is_archived is is_archived


@pytest.mark.parametrize(
    ("headers", "md5"),
    [
        ({}, None),
        ({"ETag": f'"{"A" * 32}"'}, "a" * 32),
        ({"ETag": f'"{"a" * 32}-2"'}, None),
        ({"ETag": f'"{"a" * 32}"', "x-amz-server-side-encryption": "aws:kms"}, None),
        (
            {
                "ETag": f'"{"a" * 32}"',
                "x-amz-server-side-encryption-customer-algorithm": "AES256",
            },
            None,
        ),
        ({"ETag": f'"{"a" * 32}"', "x-amz-server-side-encryption": "AES256"}, "a" * 32),
    ],
)
@ensureDeferred
async def test_inspect_believes_no_etag(
    stub: Stub, scripted: S3Backend, headers: dict[str, str], md5: str | None
) -> None:
    """Only one that can be an MD5 is one; all are kept as they are."""
    stub.replies = [
        Reply(http(200, headers={**headers, "x-amz-version-id": "null"}, length=5))
    ]
    found = await scripted.inspect("key")
    assert found.md5 == md5
    assert found.etag == (headers["ETag"].strip('"') if headers else None)
    assert (found.version_id, found.headers) == (None, {})


def same(etag: str = "e", status: int = 200) -> Reply:
    """An answer to a HEAD of five bytes."""
    return Reply(http(status, headers={"ETag": f'"{etag}"'}, length=5))


@ensureDeferred
async def test_delete_unchanged_compares(stub: Stub, scripted: S3Backend) -> None:
    """By a HEAD, and by the DELETE, since something may come in between."""
    stub.replies = [same(), Reply(http(204, length=None))]
    assert await scripted.delete_unchanged("key", "v1", 5, "e")
    head, delete = stub.received
    assert (head.method, delete.method) == ("HEAD", "DELETE")
    assert head.target == delete.target == "/bucket/key?versionId=v1"
    assert delete.headers["if-match"] == '"e"'
    stub.replies = [same(), Reply(error(412, "PreconditionFailed"))]
    assert not await scripted.delete_unchanged("key", None, 5, "e")
    for reply in (same("other"), same()):
        stub.replies = [reply]
        size = 5 if reply != same() else 6
        assert not await scripted.delete_unchanged("key", None, size, "e")
    assert [each.method for each in stub.received].count("DELETE") == 2


@ensureDeferred
async def test_delete_unchanged_without_if_match(
    stub: Stub, scripted: S3Backend
) -> None:
    """A backend that does not know it is told once."""
    stub.replies = [
        same(),
        Reply(error(501, "NotImplemented")),
        Reply(http(204, length=None)),
        same(),
        Reply(http(204, length=None)),
    ]
    assert await scripted.delete_unchanged("key", None, 5, "e")
    assert await scripted.delete_unchanged("key", None, 5, "e")
    deletes = [each for each in stub.received if each.method == "DELETE"]
    assert ["if-match" in each.headers for each in deletes] == [True, False, False]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(404, "NoSuchBucket"), BackendRefused),
        (http(404), BackendRefused),
        (http(200, b"back again"), BackendUnavailable),
    ],
)
@ensureDeferred
async def test_delete_unchanged_of_what_is_missing(
    stub: Stub, scripted: S3Backend, answer: bytes, expected: type[BackendError]
) -> None:
    """A HEAD's 404 may be the bucket's: only NoSuchKey counts, and nothing is sent."""
    stub.replies = [Reply(http(404, length=9)), Reply(error(404, "NoSuchKey"))]
    assert await scripted.delete_unchanged("key", None, 5, "e")
    stub.replies = [Reply(http(404, length=9)), Reply(answer)]
    with pytest.raises(expected):
        await scripted.delete_unchanged("key", None, 5, "e")
    assert "DELETE" not in [each.method for each in stub.received]


@ensureDeferred
async def test_list_pages(stub: Stub, scripted: S3Backend) -> None:
    """Tokens go back as they came; keys are decoded where they are encoded."""
    stub.replies = [
        Reply(page("a+b%2Bc%25", token="t/+=", encoding="url")),
        Reply(page("a+b%2Bc%25")),
    ]
    keys, token = await scripted.list_page("p q", None)
    assert (keys, token) == ([BackendKey("a b+c%", 5, "e")], "t/+=")
    keys, token = await scripted.list_page("p q", token)
    assert (keys, token) == ([BackendKey("a+b%2Bc%25", 5, "e")], None)
    first, second = stub.received
    assert first.target == "/bucket?encoding-type=url&list-type=2&prefix=p%20q"
    assert "&continuation-token=t%2F%2B%3D&" in second.target.replace("?", "?&")


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html/>"),
        http(200, b"<ListBucketResult>"),
        page("key", truncated=True),
        page(""),
        http(
            200,
            b'<!DOCTYPE l [<!ENTITY a "a">]><ListBucketResult>&a;</ListBucketResult>',
        ),
        error(200, "InternalError"),
        error(500, "InternalError"),
    ],
)
@ensureDeferred
async def test_lists_that_are_none(
    stub: Stub, scripted: S3Backend, answer: bytes
) -> None:
    """An answer that is no listing, or has more but no token, is a failure."""
    stub.replies = [Reply(answer)]
    with pytest.raises(BackendUnavailable):
        await scripted.list_page("", None)


@ensureDeferred
async def test_a_long_error_is_cut(stub: Stub, scripted: S3Backend) -> None:
    """An error's text is bounded, printable, and never holds the secret."""
    stub.replies = [
        Reply(error(403, "AccessDenied", "x\x85" * 100_000 + "\n")),
        Reply(error(403, "AccessDenied", "x \u2028" * 1000)),
    ]
    for _ in range(2):
        with pytest.raises(BackendRefused) as caught:
            await scripted.list_page("", None)
        assert len(caught.value.reason) <= 200
        assert caught.value.reason.isascii()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(200, b"<V><Status>Enabled</Status></V>"), True),
        (http(200, b"<V xmlns='x'><Status>Enabled</Status></V>"), True),
        (http(200, b"<V><Status>Suspended</Status></V>"), False),
        (http(200, b"<V/>"), False),
        (http(200, b"oops"), False),
        (error(501, "NotImplemented"), False),
        (b"", False),
    ],
)
@ensureDeferred
async def test_versioned(
    stub: Stub, scripted: S3Backend, answer: bytes, expected: bool
) -> None:
    """Only a clear Enabled is a yes."""
    stub.replies = [Reply(answer, then="end")]
    assert await scripted.versioned() is expected
    assert stub.received[0].target == "/bucket?versioning="


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.head("key"),
        lambda b: b.delete("key", None),
        lambda b: b.list_page("", None),
        lambda b: b.open_get(make_copy("key", 5), 0, 5),
        lambda b: b.open_put(make_copy("key", 5), {}, sha256=None, md5=None),
    ],
)
@ensureDeferred
async def test_nobody_listens(
    reactor: Any, stub_config: BackendConfig, call: Callable[[S3Backend], Any]
) -> None:
    """Without a connection every call is unavailable."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        config = evolve(stub_config, endpoint=f"http://127.0.0.1:{port}")
        backend = S3Backend(config, reactor=reactor, now=now)
        with pytest.raises(BackendUnavailable):
            await call(backend)


@ensureDeferred
async def test_a_put_without_a_connection_did_not_land(
    reactor: Any, stub_config: BackendConfig
) -> None:
    """The manager may go to the next backend, and forget the claim."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        config = evolve(stub_config, endpoint=f"http://127.0.0.1:{port}")
        backend = S3Backend(config, reactor=reactor, now=now)
        with pytest.raises(BackendUnavailable) as caught:
            await backend.open_put(make_copy("key", 5), {}, sha256=None, md5=None)
    assert not caught.value.landed


@pytest.mark.parametrize("dropped", [False, True])
@ensureDeferred
async def test_a_connection_that_is_never_made(
    reactor: Any, stub_config: BackendConfig, clock: Clock, dropped: bool
) -> None:
    """Ten seconds are given to connect; the attempt ends with the time or the wait."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (one, two):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        config = evolve(
            stub_config, endpoint=f"http://127.0.0.1:{full.getsockname()[1]}"
        )
        backend = S3Backend(config, reactor=reactor, now=now, clock=clock)
        opening = Deferred.fromCoroutine(
            backend.open_put(make_copy("key", 5), {}, sha256=None, md5=None)
        )
        clock.advance(9)
        assert not opening.called
        if dropped:
            opening.cancel()
            with pytest.raises(CancelledError):
                await opening
        else:
            clock.advance(2)
            with pytest.raises(BackendUnavailable, match="no connection") as caught:
                await opening
            assert not caught.value.landed


@ensureDeferred
async def test_no_answer(
    reactor: Any, stub: Stub, scripted: S3Backend, clock: Clock
) -> None:
    """A control call is given up after a minute, or when nobody waits any more."""
    stub.replies = [Reply(), Reply(), Reply(page("key")[:-20])]
    calling = Deferred.fromCoroutine(scripted.head("key"))
    await stub.until(lambda: len(stub.received) == 1)
    clock.advance(61)
    with pytest.raises(BackendUnavailable, match="no answer"):
        await calling
    await stub.until(lambda: not stub.open)

    calling = Deferred.fromCoroutine(scripted.head("key"))
    await stub.until(lambda: len(stub.received) == 2)
    calling.cancel()
    with pytest.raises(CancelledError):
        await calling
    await stub.until(lambda: not stub.open)

    listing = Deferred.fromCoroutine(scripted.list_page("", None))
    for_headers = max(clock.getDelayedCalls(), key=lambda timer: timer.getTime())
    await until(reactor, lambda: not for_headers.active())
    clock.advance(61)
    with pytest.raises(BackendUnavailable, match="no more of the answer"):
        await listing
    await stub.until(lambda: not stub.open)


@ensureDeferred
async def test_stale_kept_connections(stub: Stub, scripted: S3Backend) -> None:
    """A control call on a connection that the server just closed goes again."""
    stub.replies = [
        Reply(http(204, length=None), then="end_at_next"),
        Reply(http(204, length=None)),
    ]
    await scripted.delete("key", None)
    await scripted.delete("key", None)
    assert stub.connections == 2


@ensureDeferred
async def test_a_new_connection_that_ends_is_a_failure(
    stub: Stub, scripted: S3Backend
) -> None:
    """Only kept connections are excused: no loop over a server that hangs up."""
    stub.replies = [Reply(then="end"), Reply(http(204, length=None))]
    with pytest.raises(BackendUnavailable):
        await scripted.delete("key", None)
    assert len(stub.received) == 1


@ensureDeferred
async def test_places(
    reactor: Any, stub: Stub, stub_config: BackendConfig, clock: Clock
) -> None:
    """
    No more reads at once than configured; those past it wait, but not for ever. Writes
    and deletes have places of their own.
    """
    backend = S3Backend(
        stub_config, reactor=reactor, now=now, clock=clock, limits=Limits(connections=1)
    )
    short = Reply(http(200, b"hel", length=5))
    stub.replies = [short, Reply(http(204, length=None)), short]

    def read() -> Deferred[Any]:
        return Deferred.fromCoroutine(backend.open_get(make_copy("key", 5), 0, 5))

    first = await read()
    await backend.delete("key", None)
    waiting, late = read(), read()
    late.cancel()
    with pytest.raises(CancelledError):
        await late
    assert len(stub.received) == 2
    first.abort()
    second = await waiting

    third = read()
    clock.advance(11)
    with pytest.raises(BackendUnavailable, match="busy") as caught:
        await third
    assert not caught.value.landed
    second.abort()
    await backend.close()


@ensureDeferred
async def test_every_end_frees_its_place(
    reactor: Any, stub: Stub, stub_config: BackendConfig, clock: Clock
) -> None:
    """However calls end, the only place is free for the next one."""
    backend = S3Backend(
        stub_config, reactor=reactor, now=now, clock=clock, limits=Limits(connections=1)
    )
    stub.replies = [
        Reply(http(200, b"hello")),
        Reply(error(404, "NoSuchKey")),
        Reply(http(200, b"other")),
        Reply(http(200)),
        Reply(error(500, "InternalError")),
        Reply(error(500, "InternalError")),
        Reply(page()),
    ]
    assert await read_all(await backend.open_get(make_copy("key", 5), 0, 5)) == b"hello"
    with pytest.raises(BackendMissing):
        await backend.open_get(make_copy("key", 5), 0, 5)
    with pytest.raises(BackendMismatch):
        await backend.open_get(make_copy("key", 4), 0, 4)
    for code in (200, 500):
        upload = await backend.open_put(make_copy("k", 1), {}, sha256=None, md5=None)
        if code == 200:
            await upload.finish(b"x", md5="")
        else:
            with pytest.raises(BackendUnavailable):
                await upload.finish(b"x", md5="")
        upload.abort()
    upload = await backend.open_put(make_copy("k", 1), {}, sha256=None, md5=None)
    upload.abort()
    with pytest.raises(UnicodeEncodeError):
        await backend.open_put(
            make_copy("k", 1), {"x-amz-meta-a": "\u20ac"}, sha256=None, md5=None
        )
    with pytest.raises(BackendUnavailable):
        await backend.delete("key", None)
    assert await backend.list_page("", None) == ([], None)
    await backend.close()


@ensureDeferred
async def test_a_proxy_that_refuses(proxy: FaultProxy, proxied: S3Backend) -> None:
    """A backend that comes back is used again, by the same client."""
    proxy.refuse = True
    with pytest.raises(BackendUnavailable):
        await proxied.list_page("", None)
    proxy.refuse = False
    assert await proxied.list_page("", None) == ([], None)
    # Every kept connection is now closed behind the client's back.
    proxy.reset()
    assert await proxied.list_page("", None) == ([], None)
