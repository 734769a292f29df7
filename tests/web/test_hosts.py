"""Virtual-host style at the front door."""

from __future__ import annotations

import pytest_twisted

from tests.web.conftest import Door, MakeDoor
from tests.web.wire import Response, request


async def ask(door: Door, target: str, host: str) -> Response:
    wire = await door.connect()
    wire.send(request("GET", target, host=host))
    answer = await wire.response()
    wire.close()
    return answer


@pytest_twisted.ensureDeferred
async def test_a_host_names_the_bucket(make_door: MakeDoor) -> None:
    door = make_door(domains=("s3.example.com",))
    door.objects.store("unified", "a/k", b"bytes")
    for host, target in (
        ("unified.s3.example.com:9000", "/a/k"),
        ("UNIFIED.s3.example.com", "/a/k"),
        ("s3.example.com", "/unified/a/k"),
        ("10.0.0.1:9000", "/unified/a/k"),
    ):
        assert (await ask(door, target, host)).body == b"bytes"
    other = await ask(door, "/a/k", "other.s3.example.com")
    assert (other.status, other.code) == (404, "NoSuchBucket")


@pytest_twisted.ensureDeferred
async def test_the_servers_own_paths_are_keys_of_a_bucket(make_door: MakeDoor) -> None:
    """``health`` and ``metrics`` below a bucket's host are objects like others."""
    door = make_door(domains=("s3.example.com",), metrics_path="/metrics")
    for name in ("health", "metrics"):
        door.objects.store("unified", name, b"an object")
        found = await ask(door, f"/{name}", "unified.s3.example.com")
        assert found.body == b"an object"
        own = await ask(door, f"/{name}", "s3.example.com:9000")
        assert own.status == 200
        assert own.body != b"an object"
