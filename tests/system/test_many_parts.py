"""As many parts as there can be, each claimed, stored and committed by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from s3proxy.config import DatabaseConfig
from s3proxy.manager.uploads import MAX_PARTS
from s3proxy.model import CompletedPart
from s3proxy.s3.uploads import CreateMultipartUpload, UploadPart
from s3proxy.store.statements import statements
from tests.servers import PostgresServer
from tests.system.test_multipart_machine import (
    ANY,
    BUCKET,
    Proxy,
    Whole,
    digest,
    whole_etag,
)
from tests.system.wire import make_body

pytestmark = pytest.mark.system

CLIENTS = 8


@pytest.fixture
def proxy(postgres: PostgresServer, database: DatabaseConfig) -> Iterator[Proxy]:
    """A real ledger, and backends in memory, of which the first is soon full."""
    proxy = Proxy(postgres, database)
    yield proxy
    proxy.close()


async def read(proxy: Proxy, key: str, start: int, end: int) -> bytes:
    """Bytes of an object."""
    stored = await proxy.objects.find(BUCKET, key)
    reader = await proxy.objects.open(stored, start, end)
    pieces = []
    while piece := await reader.read():
        pieces.append(piece)
    return b"".join(pieces)


@ensureDeferred
async def test_ten_thousand_parts(proxy: Proxy) -> None:
    """Sent by several clients in any order, and one object in the end."""
    bodies = [make_body(number, number % 7 + 1) for number in range(MAX_PARTS)]
    upload_id = await proxy.uploads.create(CreateMultipartUpload(BUCKET, "k"))
    numbers = iter(random.Random(1).sample(range(1, MAX_PARTS + 1), MAX_PARTS))

    async def send() -> None:
        for number in numbers:
            data = bodies[number - 1]
            op = UploadPart(BUCKET, "k", upload_id, number, len(data))
            part = await proxy.uploads.put_part(op, Whole(data), sha256=None)
            assert part.etag == digest(data)

    await gatherResults([Deferred.fromCoroutine(send()) for _ in range(CLIENTS)])
    parts = [CompletedPart(n, digest(data)) for n, data in enumerate(bodies, 1)]
    done = await proxy.upload_ledger.complete(
        upload_id, BUCKET, "k", parts, ANY, least_part_bytes=0
    )
    assert done.etag == whole_etag(bodies)
    whole = b"".join(bodies)
    assert await read(proxy, "k", 0, len(whole)) == whole
    for start in random.Random(2).sample(range(len(whole) - 100), 20):
        assert await read(proxy, "k", start, start + 100) == whole[start : start + 100]
    found = await proxy.objects.part_range(BUCKET, "k", 5_000)
    start = sum(map(len, bodies[:4_999]))
    assert found.found == (start, start + len(bodies[4_999]))
    await proxy.objects.delete(BUCKET, "k")
    proxy.pass_time()
    while any(backend.objects for backend in proxy.backends.values()):
        await proxy.collector.round()
    for _name, used, _limit, summed, *_counts in proxy.sql(statements()["sums"]):
        assert used == summed == 0
