"""s3proxy.web.throttle: the caps, by themselves and on real connections."""

from __future__ import annotations

import ipaddress
from contextlib import ExitStack

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent

from s3proxy.config_model import AuthConfig, RateLimitConfig, ServerConfig
from s3proxy.errors import SlowDown, TooManyRequests
from s3proxy.web.throttle import SPARE_CONNECTIONS, TRANSFER_BYTES, Throttle
from tests.web.conftest import MakeDoor
from tests.web.fakes import FakeReader
from tests.web.wire import Response, request

MIB = 1024 * 1024
NO_LIMIT = RateLimitConfig()
PROXY = (ipaddress.ip_network("127.0.0.0/8"),)
TOKEN = AuthConfig(token="let me in")


def throttle(rate_limit: RateLimitConfig = NO_LIMIT, **server: object) -> Throttle:
    return Throttle(evolve(ServerConfig(), **server), rate_limit, Clock())


def seats(throttle: Throttle, host: str, count: int) -> list[str]:
    """What each of *count* connections gets."""
    found = [throttle.enter(host) for _ in range(count)]
    return ["closed" if x is None else "spare" if x.is_spare else "in" for x in found]


class TestConnections:
    def test_of_all(self) -> None:
        whole = throttle(max_connections=3)
        assert seats(whole, "192.0.2.1", 2) == ["in", "in"]
        assert seats(whole, "192.0.2.2", 2) == ["in", "spare"]
        assert seats(whole, "192.0.2.3", SPARE_CONNECTIONS) == [
            *["spare"] * (SPARE_CONNECTIONS - 1),
            "closed",
        ]

    def test_of_one(self) -> None:
        """Others still get in."""
        each = throttle(max_connections_per_ip=1)
        assert seats(each, "192.0.2.1", 2) == ["in", "spare"]
        assert seats(each, "192.0.2.2", 1) == ["in"]
        assert seats(each, "2001:db8::1", 1) == ["in"]
        assert seats(each, "2001:db8::2", 1) == ["spare"]

    def test_a_trusted_proxy_stands_for_many(self) -> None:
        each = throttle(max_connections_per_ip=1, trusted_proxies=PROXY)
        assert seats(each, "127.0.0.1", 3) == ["in", "in", "in"]

    def test_places_are_given_back(self) -> None:
        both = throttle(max_connections=2, max_connections_per_ip=1)
        for _ in range(300):
            first, spare = both.enter("192.0.2.1"), both.enter("192.0.2.1")
            assert first is not None and not first.is_spare
            assert spare is not None and spare.is_spare
            both.leave(first)
            both.leave(spare)
        assert not both._by_group

    def test_another_configuration(self) -> None:
        """It holds for those who come."""
        each = throttle(max_connections=1)
        first = each.enter("192.0.2.1")
        each.apply(ServerConfig(max_connections=2), NO_LIMIT)
        assert seats(each, "192.0.2.1", 2) == ["in", "spare"]
        each.apply(ServerConfig(max_connections=1), NO_LIMIT)
        assert first is not None
        each.leave(first)
        assert seats(each, "192.0.2.1", 1) == ["spare"]


class TestRequests:
    def test_rate(self) -> None:
        """By the address of the client, whatever the connection."""
        limited = throttle(RateLimitConfig(True, 0.25, 2), trusted_proxies=PROXY)
        limited.admit("192.0.2.1", ["127.0.0.1"], 1)
        limited.admit("192.0.2.1", ["198.51.100.1"], 1)
        with pytest.raises(TooManyRequests) as caught:
            limited.admit("192.0.2.1", ["198.51.100.2"], 1)
        assert (caught.value.code, caught.value.status) == ("SlowDown", 429)
        assert caught.value.headers == {"Retry-After": "4"}
        limited.admit("127.0.0.1", ["192.0.2.2"], 1)
        with pytest.raises(TooManyRequests):
            limited.admit("127.0.0.1", ["192.0.2.1"], 1)

    def test_a_new_rate_begins_anew_and_an_old_one_goes_on(self) -> None:
        slow, slower = RateLimitConfig(True, 1, 1), RateLimitConfig(True, 0.1, 1)
        limited = throttle(slow)
        limited.admit("192.0.2.1", [], 1)
        limited.apply(ServerConfig(max_requests=5), slow)
        with pytest.raises(TooManyRequests):
            limited.admit("192.0.2.1", [], 1)
        limited.apply(ServerConfig(), slower)
        limited.admit("192.0.2.1", [], 1)
        limited.apply(ServerConfig(), NO_LIMIT)
        limited.admit("192.0.2.1", [], 1)

    def test_at_work(self) -> None:
        both = throttle(RateLimitConfig(True, 1, 1), max_requests=2)
        with pytest.raises(SlowDown) as caught:
            both.admit("192.0.2.1", [], 3)
        assert caught.value.status == 503
        both.admit("192.0.2.1", [], 2)

    def test_memory(self) -> None:
        """Each transfer counts as what it may hold, small ones as what they are."""
        room = throttle(max_buffer_bytes=16 * MIB)
        with ExitStack() as stack:
            for length in (15 * TRANSFER_BYTES, MIB - 1, 1, *[None] * 14):
                stack.enter_context(room.transfer(length))
            with pytest.raises(SlowDown):
                stack.enter_context(room.transfer(1))
            stack.enter_context(room.transfer(0))
        with room.transfer(MIB), room.transfer(None):
            pass

    def test_the_log_tells_seldom(self, logged: list[LogEvent]) -> None:
        clock = Clock()
        server = ServerConfig(max_requests=1, max_buffer_bytes=1)
        both = Throttle(server, RateLimitConfig(True, 0.01, 1), clock)
        both.admit("192.0.2.1", [], 1)
        for _ in range(25):
            with pytest.raises(SlowDown):
                both.admit(None, [], 2)
            with pytest.raises(SlowDown):
                both.transfer(2).__enter__()
            with pytest.raises(TooManyRequests):
                both.admit("192.0.2.1", [], 1)
            clock.advance(1)
        lines = [str(formatEvent(event)) for event in logged]
        assert len(lines) == 9
        assert all(event["log_level"] is LogLevel.warn for event in logged)
        assert {line.split(" ")[0] for line in lines} == {
            "server.max_requests",
            "server.max_buffer_bytes",
            "rate_limit",
        }
        assert any(" by 192.0.2.1 " in line for line in lines)


def assert_slow_down(answer: Response, status: int = 503) -> None:
    assert (answer.status, answer.code) == (status, "SlowDown")
    assert int(answer.header("retry-after") or 0) >= 1


class TestOnTheWire:
    @pytest_twisted.ensureDeferred
    async def test_one_connection_too_many_is_told_so(
        self, make_door: MakeDoor
    ) -> None:
        """After its headers, so that it hears; the large body stays where it is."""
        door = make_door(max_connections=1)
        first = await door.connect()
        first.send(request("GET", "/health"))
        assert (await first.response()).status == 200
        second = await door.connect()
        put = request("PUT", "/unified/k", body=b"")
        second.send(put.replace(b"Length: 0", b"Length: 99999999") + b"x" * MIB)
        answer = await second.response()
        assert_slow_down(answer)
        assert answer.header("connection") == "close"
        assert await second.end() == b""
        # Those who are in notice nothing, and a place is free again.
        first.send(request("GET", "/health"))
        assert (await first.response()).status == 200
        first.close()
        await door.until(lambda: not door.site.drain._connections)
        assert (await door.ask("PUT", "/unified/k", body=b"x")).status == 200
        assert door.objects.events == ["put k", "stored k"]

    @pytest_twisted.ensureDeferred
    async def test_a_silent_one_too_many_is_cut_soon(self, make_door: MakeDoor) -> None:
        door = make_door(max_connections_per_ip=1)
        await door.connect()
        second = await door.connect()
        await door.until(lambda: len(door.site.drain._connections) == 2)
        second.send(b"GET / HTTP/1.1\r\n")
        door.clock.advance(5.1)
        assert await second.end() == b""

    @pytest_twisted.ensureDeferred
    async def test_far_too_many_are_closed(self, make_door: MakeDoor) -> None:
        door = make_door(max_connections=1)
        kept = await door.connect()
        spare = [await door.connect() for _ in range(SPARE_CONNECTIONS)]
        over = await door.connect()
        assert await over.end() == b""
        assert not kept.ended and not any(each.ended for each in spare)
        kept.send(request("GET", "/health"))
        assert (await kept.response()).status == 200

    @pytest_twisted.ensureDeferred
    async def test_rate(self, make_door: MakeDoor) -> None:
        """429 before anything is looked at, on a connection that is kept."""
        door = make_door(
            auth=TOKEN,
            rate_limit=RateLimitConfig(True, 1, 2),
            trusted_proxies=PROXY,
        )
        wire = await door.connect()

        async def ask(method: str, target: str, client: str) -> Response:
            wire.send(
                request(
                    method,
                    target,
                    f"X-Forwarded-For: {client}",
                    "X-Proxy-Token: let me in",
                    body=b"x" if method == "PUT" else b"",
                )
            )
            return await wire.response()

        assert (await ask("PUT", "/unified/k", "192.0.2.1")).status == 200
        assert (await ask("GET", "/unified/k", "192.0.2.1")).status == 200
        before = list(door.objects.events)
        for method in ("GET", "PUT", "DELETE", "BREW"):
            refused = await ask(method, "/unified/k", "192.0.2.1")
            assert_slow_down(refused, 429)
            assert refused.header("connection") is None
        assert (await ask("GET", "/health", "192.0.2.1")).body == b"ok"
        assert door.objects.events == before
        assert (await ask("GET", "/unified/k", "192.0.2.2")).status == 200
        door.clock.advance(1)
        assert (await ask("GET", "/unified/k", "192.0.2.1")).status == 200

    @pytest_twisted.ensureDeferred
    async def test_strangers_are_counted_too(self, make_door: MakeDoor) -> None:
        """Before authentication: guessing costs tokens as well."""
        door = make_door(auth=TOKEN, rate_limit=RateLimitConfig(True, 1, 2))
        codes = [(await door.ask("GET", "/unified/k")).code for _ in range(4)]
        assert codes == ["AccessDenied", "AccessDenied", "SlowDown", "SlowDown"]

    @pytest_twisted.ensureDeferred
    async def test_metrics_are_counted_and_not_made(self, make_door: MakeDoor) -> None:
        door = make_door(
            metrics_path="/metrics", rate_limit=RateLimitConfig(True, 1, 1)
        )
        assert (await door.ask("GET", "/metrics")).status == 200
        assert_slow_down(await door.ask("GET", "/metrics"), 429)

    @pytest_twisted.ensureDeferred
    async def test_no_memory_for_a_put(self, make_door: MakeDoor) -> None:
        """No 100 Continue, no byte read; small and empty ones still go."""
        door = make_door(max_buffer_bytes=2 * MIB)
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        for n in range(2):
            put = request("PUT", f"/unified/{n}", body=b"x")
            (await door.connect()).send(put.replace(b"Length: 1", b"Length: 2097152"))
        await door.until(lambda: len(door.objects.events) == 2)
        wire = await door.connect()
        expect = "Expect: 100-continue\r\nContent-Length: 2097152"
        put = request("PUT", "/unified/k").replace(
            b"Content-Length: 0", expect.encode()
        )
        wire.send(put)
        assert_slow_down(await wire.response())
        assert (await door.ask("HEAD", "/unified/k")).status == 404
        assert "put k" not in door.objects.events
        gate.callback(None)

    @pytest_twisted.ensureDeferred
    async def test_no_memory_for_a_copy(self, make_door: MakeDoor) -> None:
        """Its bytes pass through as well, as long as it lasts."""
        door = make_door(max_buffer_bytes=MIB)
        door.copies.gate = Deferred()
        copy = request("PUT", "/unified/k", "x-amz-copy-source: /unified/a")
        first = await door.connect()
        first.send(copy)
        await door.until(lambda: door.copies.ops)
        second = await door.connect()
        second.send(copy)
        assert_slow_down(await second.response())
        door.copies.gate.callback(None)
        assert (await first.response()).status == 200
        second.send(copy)
        assert (await second.response()).status == 200

    @pytest_twisted.ensureDeferred
    async def test_no_memory_for_a_get(self, make_door: MakeDoor) -> None:
        """The reader that was opened is closed again, and room is given back."""
        door = make_door(max_buffer_bytes=MIB)
        door.objects.store("unified", "k", b"x" * 8 * MIB)
        door.objects.make_reader = lambda data: FakeReader(len(data), hold_at=65536)
        first = await door.connect()
        first.send(request("GET", "/unified/k"))
        await first.until(lambda: first.received)
        held = door.objects.last_reader
        assert_slow_down(await door.ask("GET", "/unified/k"))
        assert door.objects.last_reader is not held
        assert door.objects.last_reader is not None
        assert door.objects.last_reader.aborted == 1
        first.abort()
        await door.until(lambda: not door.site.drain._connections)
        assert held is not None
        held.held.callback(None)
        await door.until(lambda: door.site.drain.in_flight == 0)
        door.objects.make_reader = None
        assert (await door.ask("GET", "/unified/k")).status == 200
