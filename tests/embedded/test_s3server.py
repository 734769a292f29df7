"""The embedded S3 server starts, survives what kills it, and stops."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from s3proxy.config import BackendConfig
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.s3server import GIB, EmbeddedS3, default_quota
from tests.servers import make_client


def make(data_dir: Path) -> EmbeddedS3:
    return EmbeddedS3(data_dir, reactor)  # type: ignore[arg-type]


def client(backend: BackendConfig) -> Any:
    return make_client(
        backend.endpoint, backend.access_key_id, backend.secret_access_key
    )


def put(backend: BackendConfig, key: str, body: bytes) -> Deferred[Any]:
    return deferToThread(
        client(backend).put_object, Bucket=backend.bucket, Key=key, Body=body
    )


def get(backend: BackendConfig, key: str) -> Deferred[bytes]:
    def read() -> bytes:
        reply = client(backend).get_object(Bucket=backend.bucket, Key=key)
        return bytes(reply["Body"].read())

    return deferToThread(read)


def stop_watching(server: EmbeddedS3) -> None:
    """As if the process that started it were gone."""
    watch = server._supervisor._watch
    assert watch is not None
    watch.cancel()


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "s3server.pid").read_text())


@ensureDeferred
async def test_objects_identity_and_address_are_kept(data_dir: Path) -> None:
    """A second start has the same backends, and the objects of the first; strangers
    have neither."""
    server = make(data_dir)
    first = await server.start()
    assert [each.name for each in first] == ["local-a", "local-b"]
    assert len({each.identity for each in first}) == 2
    await put(first[0], "a key", b"first")
    await put(first[1], "a key", b"second")
    stranger = make_client(first[0].endpoint, first[0].access_key_id, "x" * 40)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        await deferToThread(stranger.list_objects_v2, Bucket=first[0].bucket)
    await server.stop()
    again = make(data_dir)
    assert await again.start() == first
    assert await get(first[0], "a key") == b"first"
    assert await get(first[1], "a key") == b"second"
    await again.stop()
    assert os.stat(data_dir / "s3server.json").st_mode & 0o77 == 0


@ensureDeferred
async def test_taken_port_changes_the_endpoint_only(data_dir: Path) -> None:
    """When another program has one of its ports, it moves, and is the same backend."""
    server = make(data_dir)
    before = (await server.start())[0]
    await put(before, "k", b"x")
    await server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(before.endpoint.rpartition(":")[2])))
        taken.listen()
        after = (await server.start())[0]
        assert after.endpoint != before.endpoint
        assert after.identity == before.identity
        assert await get(after, "k") == b"x"
        await server.stop()


@ensureDeferred
async def test_killed_server_comes_back(data_dir: Path) -> None:
    """When the server dies, it is started again at the same address with its bytes."""
    server = make(data_dir)
    backend = (await server.start())[0]
    await put(backend, "k", b"x")
    first = server_pid(data_dir)
    os.kill(first, signal.SIGKILL)
    for _poll in range(300):
        await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        try:
            assert await get(backend, "k") == b"x"
            break
        except (BotoCoreError, ClientError):
            continue
    else:
        pytest.fail("it did not come back")
    assert server_pid(data_dir) != first
    await server.stop()


@ensureDeferred
async def test_server_of_another_run_is_replaced(data_dir: Path) -> None:
    """A server left behind by a run that was killed is ended first."""
    left = make(data_dir)
    backend = (await left.start())[0]
    await put(backend, "k", b"x")
    pid = server_pid(data_dir)
    stop_watching(left)
    server = make(data_dir)
    assert (await server.start())[0] == backend
    assert server_pid(data_dir) != pid
    assert await get(backend, "k") == b"x"
    await server.stop()
    await left.stop()


@ensureDeferred
async def test_damaged_identity_is_not_replaced(data_dir: Path) -> None:
    """New keys would lose the stored data silently: the start fails instead."""
    (data_dir / "s3server.json").write_text('{"storage_id": "x"}')
    with pytest.raises(EmbeddedError, match=r"s3server\.json is damaged"):
        await make(data_dir).start()


@given(st.integers(0, 10**14))
def test_default_quota_fits_the_disk(free_bytes: int) -> None:
    """Two limits leave room on any disk that has some, and never pass 10 GiB."""
    quota_bytes = default_quota(free_bytes)
    assert GIB // 4 <= quota_bytes <= 10 * GIB
    if free_bytes > GIB:
        assert 2 * quota_bytes <= free_bytes * 4 // 5
