"""A real server behind a wire that breaks."""

from __future__ import annotations

from hashlib import md5
from typing import Any, TypeVar

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from s3proxy.backend.client import S3Backend
from s3proxy.config import BackendConfig
from s3proxy.errors import BackendMissing, BackendRefused, BackendUnavailable
from tests.backend.conftest import now
from tests.contracts.backend import PIECE_BYTES, get, make_copy, put, read_all, sample
from tests.faults import FaultProxy
from tests.servers import S3Server

T = TypeVar("T")
LARGE = 32 * 1024 * 1024


async def expired(reactor: Any, clock: Clock, call: Deferred[T]) -> T:
    """Let time pass until the call ends."""
    while not call.called:
        clock.advance(61)
        await deferLater(reactor, 0.01)
    return await call


@ensureDeferred
async def test_large_bodies(reactor: Any, proxied: S3Backend) -> None:
    """32 MiB go and come; a reader that is slower than the wire queues little."""
    data = sample(LARGE)
    copy = await put(proxied, "large", data)
    assert copy.backend_etag == md5(data).hexdigest()
    download = await proxied.open_get(copy, 0, LARGE)
    digest = md5(usedforsecurity=False)
    most = 0
    while piece := await download.read():
        digest.update(piece)
        most = max(most, download._queued)
        await deferLater(reactor, 0)
    assert digest.hexdigest() == copy.backend_etag
    assert most <= 512 * 1024


@ensureDeferred
async def test_a_reader_that_does_not_read(
    reactor: Any, proxy: FaultProxy, proxied: S3Backend
) -> None:
    """The server is held up: what was sent stays far below the whole."""
    copy = await put(proxied, "large", sample(LARGE))
    proxy.down_bytes = 0
    download = await proxied.open_get(copy, 0, LARGE)
    before, turns = -1, 0
    while turns < 5:
        await deferLater(reactor, 0.02)
        turns = turns + 1 if proxy.down_bytes == before else 0
        before = proxy.down_bytes
    assert before < LARGE / 2
    download.abort()
    assert await get(proxied, copy) == sample(LARGE)


@pytest.mark.parametrize("cut", [1, 70_000, 150_000])
@ensureDeferred
async def test_a_body_cut_on_its_way_stores_nothing(
    proxy: FaultProxy, proxied: S3Backend, cut: int
) -> None:
    """What is lost before its last byte does not land, and is said not to."""
    proxy.cut_up = cut
    size = 1 << 30
    copy = make_copy("key", size)
    with pytest.raises(BackendUnavailable) as caught:
        upload = await proxied.open_put(copy, {}, sha256=None, md5=None)
        for _ in range(size // PIECE_BYTES):
            await upload.write(sample(PIECE_BYTES))
    assert not caught.value.landed
    proxy.cut_up = None
    with pytest.raises(BackendMissing):
        await proxied.head("key")


@ensureDeferred
async def test_an_answer_lost_on_its_way(
    s3server: S3Server, bucket: BackendConfig, proxy: FaultProxy, proxied: S3Backend
) -> None:
    """A body that was stored while its answer was lost is said to have landed."""
    proxy.cut_down = 1
    upload = await proxied.open_put(make_copy("key", 5), {}, sha256=None, md5=None)
    with pytest.raises(BackendUnavailable) as caught:
        await upload.finish(b"hello", md5=md5(b"hello").hexdigest())
    assert caught.value.landed
    assert s3server.keys(bucket) == {"key": 5}


@pytest.mark.parametrize("fault", ["cut_down", "end_down"])
@ensureDeferred
async def test_a_download_cut_on_its_way(
    proxy: FaultProxy, proxied: S3Backend, fault: str
) -> None:
    """The bytes that came are the right ones; the next copy can go on after them."""
    data = sample(3_000_000)
    copy = await put(proxied, "key", data)
    proxy.reset()
    setattr(proxy, fault, 1_000_000)
    download = await proxied.open_get(copy, 0, copy.size_bytes)
    got = b""
    with pytest.raises(BackendUnavailable):
        while True:
            piece = await download.read()
            assert piece
            got += piece
    assert data.startswith(got)
    setattr(proxy, fault, None)
    rest = await proxied.open_get(copy, len(got), copy.size_bytes)
    while piece := await rest.read():
        got += piece
    assert got == data


@ensureDeferred
async def test_a_black_hole(
    reactor: Any, proxy: FaultProxy, proxied: S3Backend, clock: Clock
) -> None:
    """Silence ends every call within its limit, and the next one goes through."""
    copy = await put(proxied, "key", sample(3_000_000))
    download = await proxied.open_get(copy, 0, copy.size_bytes)
    upload = await proxied.open_put(make_copy("new", 5), {}, sha256=None, md5=None)
    proxy.black_hole = True
    reading = Deferred.fromCoroutine(read_all(download))
    with pytest.raises(BackendUnavailable):
        await expired(reactor, clock, reading)
    sending = Deferred.fromCoroutine(upload.finish(b"hello", md5=""))
    with pytest.raises(BackendUnavailable) as caught:
        await expired(reactor, clock, sending)
    assert caught.value.landed
    asking = Deferred.fromCoroutine(proxied.head("key"))
    with pytest.raises(BackendUnavailable):
        await expired(reactor, clock, asking)
    proxy.black_hole = False
    assert (await proxied.head("key"))[0].size_bytes == 3_000_000


@ensureDeferred
async def test_a_wrong_secret(reactor: Any, bucket: BackendConfig) -> None:
    """It is refused, whole bodies conservatively as if they might have landed."""
    config = evolve(bucket, secret_access_key="wrong")
    backend = S3Backend(config, reactor=reactor, now=now)
    with pytest.raises(BackendRefused, match="403"):
        await backend.list_page("", None)
    with pytest.raises(BackendRefused, match="SignatureDoesNotMatch") as caught:
        await put(backend, "key", b"hello")
    assert caught.value.landed
    await backend.close()
