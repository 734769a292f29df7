"""The proxy before backends: each fault is what its name says, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from random import Random
from urllib.parse import urlsplit

import pytest

from chaos.http_faults import BackendProxy
from chaos.http_messages import Head
from chaos.http_rules import Rule
from s3proxy.config import BackendConfig
from s3proxy.s3.sigv4 import sign_headers
from tests.servers import S3Server

DATA = Random(1).randbytes(200_000)
GONE = (OSError, http.client.HTTPException)


class Told:
    """What a plain client saw, and what the server behind has."""

    def __init__(self, proxy: BackendProxy) -> None:
        self.proxy = proxy
        self.kept: http.client.HTTPConnection | None = None

    async def call(
        self, method: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes] | None:
        """Status and body of the answer to a request through the proxy, or None."""

        def work() -> tuple[int, bytes] | None:
            if self.kept is None:
                self.kept = connection(self.proxy.config)
            try:
                return request(self.kept, self.proxy.config, method, body, headers)
            except GONE:
                self.kept.close()
                return None

        return await asyncio.to_thread(work)

    def stored(self) -> bytes | None:
        """What the server has."""
        bare = self.proxy.backend
        status, body = request(connection(bare), bare, "GET", b"", {})
        return body if status == 200 else None


def connection(backend: BackendConfig) -> http.client.HTTPConnection:
    """To a backend."""
    return http.client.HTTPConnection(urlsplit(backend.endpoint).netloc, timeout=20)


def request(
    kept: http.client.HTTPConnection,
    backend: BackendConfig,
    method: str,
    body: bytes,
    headers: Mapping[str, str],
    key: str = "/k",
    query: str = "",
) -> tuple[int, bytes]:
    """A signed request."""
    path = f"/{backend.bucket}{key}"
    sent = {"host": urlsplit(backend.endpoint).netloc, **headers}
    sent |= sign_headers(
        method,
        path,
        query,
        sent,
        access_key_id=backend.access_key_id,
        secret_access_key=backend.secret_access_key,
        region=backend.region,
        payload_hash=hashlib.sha256(body).hexdigest(),
        now=datetime.now(UTC),
    )
    kept.request(method, path + (f"?{query}" if query else ""), body or None, sent)
    answer = kept.getresponse()
    return answer.status, answer.read()


Run = Callable[[Callable[[Told], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def bucket(s3server: S3Server) -> BackendConfig:
    """Shared: every test begins with removing the key."""
    return s3server.create_bucket()


@pytest.fixture
def run(bucket: BackendConfig) -> Run:
    """Run a test against a proxy of its own."""

    def run(test: Callable[[Told], Awaitable[None]]) -> None:
        async def inside() -> None:
            async with BackendProxy(bucket, Random(1)) as proxy:
                await test(Told(proxy))

        request(connection(bucket), bucket, "DELETE", b"", {})
        asyncio.run(asyncio.wait_for(inside(), 30))

    return run


def test_without_rules_everything_passes(run: Run) -> None:
    """PUT, GET, ranges, HEAD, listings, DELETE, over one connection."""

    async def test(told: Told) -> None:
        assert await told.call("PUT", DATA) == (200, b"")
        assert await told.call("GET") == (200, DATA)
        assert await told.call("GET", range="bytes=10-19") == (206, DATA[10:20])
        assert await told.call("HEAD") == (200, b"")
        assert told.kept is not None
        listed = await asyncio.to_thread(
            request, told.kept, told.proxy.config, "GET", b"", {}, "", "list-type=2"
        )
        assert b"<Key>k</Key>" in listed[1]
        assert await told.call("DELETE") == (204, b"")
        assert told.stored() is None
        assert told.proxy.requests == 6 and not told.proxy.counts

    run(test)


@pytest.mark.parametrize(
    ("kind", "statuses", "is_stored"),
    [
        ("error", (500, 503), False),
        ("hang_before", (), False),
        ("hang_after", (), True),
        ("reset", (), False),
        ("lost", (), True),
        ("skewed", (403,), False),
    ],
)
def test_a_put_that_goes_wrong(
    run: Run, kind: str, statuses: tuple[int, ...], is_stored: bool
) -> None:
    """It fails; whether the server has it is the kind's matter."""

    async def test(told: Told) -> None:
        told.proxy.rules = [Rule(kind, seconds=0.01, left=1)]
        answer = await told.call("PUT", DATA)
        assert (answer[0] in statuses) if answer is not None else not statuses
        assert (told.stored() == DATA) == is_stored
        assert told.proxy.counts == {kind: 1}
        # Once, it said.
        assert await told.call("PUT", DATA) == (200, b"")

    run(test)


@pytest.mark.parametrize("kind", ["cut", "long", "short", "missing"])
def test_a_get_that_goes_wrong(run: Run, kind: str) -> None:
    """Bytes are missing, at an end that shows or at one that does not."""

    async def test(told: Told) -> None:
        await told.call("PUT", DATA)
        told.proxy.rules = [Rule(kind)]
        answer = await told.call("GET")
        if kind == "short":
            assert answer == (200, DATA[: len(DATA) // 2])
        elif kind == "missing":
            assert answer is not None and answer[0] == 404
            assert b"<Code>NoSuchKey</Code>" in answer[1]
        else:
            assert answer is None
        # Such faults are of reads: PUT and DELETE pass, on a connection that lives.
        assert told.kept is not None
        told.kept.close()
        assert await told.call("DELETE") == (204, b"")
        assert told.stored() is None

    run(test)


def test_a_drip_and_a_wrong_clock_lose_nothing(run: Run) -> None:
    """They are slow and strange, and right."""

    async def test(told: Told) -> None:
        await told.call("PUT", DATA)
        told.proxy.rules = [Rule("drip", seconds=0.02, left=1), Rule("clock")]
        assert await told.call("GET") == (200, DATA)
        assert await told.call("GET") == (200, DATA)
        assert told.proxy.counts == {"drip": 1, "clock": 1}

    run(test)


def test_what_lands_late(run: Run) -> None:
    """A PUT, and a DELETE that takes away what was stored in between."""

    async def test(told: Told) -> None:
        told.proxy.rules = [Rule("late", seconds=0.05, left=1)]
        assert await told.call("PUT", DATA) is None
        await told.proxy.settle()
        assert told.stored() == DATA
        told.proxy.rules = [Rule("late", seconds=0.2, left=1)]
        assert await told.call("DELETE") is None
        assert told.stored() == DATA
        await told.proxy.settle()
        assert told.stored() is None

    run(test)


def test_a_head_is_changed_in_one_place() -> None:
    """A header is replaced whatever its case, or added; the rest stays as it was."""
    raw = b"HTTP/1.1 200 OK\r\nA: 1\r\ncontent-LENGTH: 5\r\nB: 2\r\n\r\n"
    head = Head(raw, "HTTP/1.1 200 OK", {"content-length": "5"})
    wanted = b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\ncontent-length: 9\r\n\r\n"
    assert head.replaced("content-length", "9").raw == wanted
    assert head.replaced("content-length", "9").length == 9


def test_rules_choose_by_method_share_and_seed() -> None:
    """The same seed breaks the same requests."""
    put, get = Head(b"", "PUT /b/k HTTP/1.1", {}), Head(b"", "GET /b/k HTTP/1.1", {})
    listing = Head(b"", "GET /b?list-type=2 HTTP/1.1", {})
    assert Rule("late").meets(put, Random(1))
    assert not Rule("late").meets(get, Random(1))
    assert not Rule("missing").meets(listing, Random(1))
    assert Rule("error", frozenset({"GET"})).meets(listing, Random(1))
    assert not Rule("error", frozenset({"GET"})).meets(put, Random(1))
    rule, again = Rule("error", share=0.5), Rule("error", share=0.5)
    first, second = Random(3), Random(3)
    chosen = [rule.meets(put, first) for _ in range(50)]
    assert chosen == [again.meets(put, second) for _ in range(50)]
    assert 10 < sum(chosen) < 40
