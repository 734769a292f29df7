"""Backends over a real server, over a proxy with faults, and over a script."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import async_yield_fixture
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent, globalLogPublisher

from s3proxy.backend.client import S3Backend
from s3proxy.config import BackendConfig
from tests.faults import FaultProxy, Stub
from tests.servers import S3Server


def now() -> datetime:
    """To sign with."""
    return datetime.now(UTC)


async def until(reactor: Any, condition: Callable[[], bool]) -> None:
    """Let the reactor turn until *condition* is true."""
    for _ in range(1000):
        if condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it did not happen")


@pytest.fixture
def reactor() -> Any:
    """The reactor that pytest-twisted runs."""
    from twisted.internet import reactor

    return reactor


@pytest.fixture(autouse=True)
def _nothing_unhandled() -> Iterator[None]:
    """No failure may end in the log, where only an operator would find it."""
    failures: list[object] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            failures.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    yield
    gc.collect(1)
    globalLogPublisher.removeObserver(observe)
    assert failures == []


@pytest.fixture
def clock() -> Clock:
    """Where the limits' time comes from; the sockets are real."""
    return Clock()


@async_yield_fixture
async def stub(reactor: Any) -> AsyncIterator[Stub]:
    """An HTTP server with an empty script."""
    stub = Stub(reactor)
    stub.start()
    yield stub
    await stub.stop()


@pytest.fixture
def stub_config(stub: Stub) -> BackendConfig:
    """A backend that is the stub."""
    return BackendConfig(
        name="b",
        endpoint=f"http://127.0.0.1:{stub.port}",
        region="us-east-1",
        bucket="bucket",
        access_key_id="key",
        secret_access_key="secret",
        force_path_style=True,
        quota_bytes=0,
    )


@async_yield_fixture
async def scripted(
    reactor: Any, stub_config: BackendConfig, clock: Clock
) -> AsyncIterator[S3Backend]:
    """The client of the stub; its time stands still until a test moves it."""
    backend = S3Backend(stub_config, reactor=reactor, now=now, clock=clock)
    yield backend
    await backend.close()


@pytest.fixture
def bucket(
    s3server: S3Server, backend_config: Callable[..., BackendConfig]
) -> Iterator[BackendConfig]:
    """A fresh bucket of the real server, emptied at the end."""
    config = backend_config()
    yield config
    for key in s3server.keys(config):
        s3server.client.delete_object(Bucket=config.bucket, Key=key)


@async_yield_fixture
async def proxy(reactor: Any, bucket: BackendConfig) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the real server."""
    proxy = FaultProxy(reactor, int(bucket.endpoint.rpartition(":")[2]))
    proxy.start()
    yield proxy
    await proxy.stop()


@async_yield_fixture
async def proxied(
    reactor: Any, bucket: BackendConfig, proxy: FaultProxy, clock: Clock
) -> AsyncIterator[S3Backend]:
    """The real server through the proxy; time stands still until a test moves it."""
    config = evolve(bucket, endpoint=f"http://127.0.0.1:{proxy.port}")
    backend = S3Backend(config, reactor=reactor, now=now, clock=clock)
    yield backend
    await backend.close()
