"""s3proxy.web.channel and request: HTTP on real connections, byte by byte."""

from __future__ import annotations

import random

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from s3proxy.config_model import AuthConfig
from s3proxy.web.limits import Limits
from tests.web.conftest import NOW, Door, MakeDoor
from tests.web.wire import Wire, request

MIB = 1024 * 1024
TOKEN = AuthConfig(token="let me in")
PUT = "PUT /unified/k HTTP/1.1\r\nHost: h\r\n"


async def settled(door: Door) -> None:
    """The server has read what was sent, and has nothing to do."""
    turn: list[None] = []
    for _ in range(50):
        await door.until(lambda: turn.append(None) or len(turn) % 2 == 0)


class TestKeepAlive:
    @pytest_twisted.ensureDeferred
    async def test_one_connection_serves_answers_of_every_kind(
        self, door: Door
    ) -> None:
        wire = await door.connect()
        statuses = []
        for method, target, body, lines in [
            ("PUT", "/unified/a", b"data", ()),
            ("PUT", "/unified/empty", b"", ()),
            ("GET", "/unified/a", b"", ()),
            ("HEAD", "/unified/a", b"", ()),
            ("HEAD", "/unified/none", b"", ()),
            ("GET", "/unified/none", b"", ()),
            ("GET", "/unified/a", b"", ("If-None-Match: *",)),
            ("GET", "/unified/a", b"", ("If-Match: nope",)),
            ("GET", "/unified/empty", b"", ()),
            ("DELETE", "/unified/a", b"", ()),
        ]:
            wire.send(request(method, target, *lines, body=body))
            answer = await wire.response(head=method == "HEAD")
            statuses.append(answer.status)
            assert answer.header("connection") is None
        assert statuses == [200, 200, 200, 200, 404, 404, 304, 412, 200, 204]
        assert not wire.ended

    @pytest_twisted.ensureDeferred
    async def test_pipelined_requests_are_answered_in_order(self, door: Door) -> None:
        for n in range(20):
            door.objects.store("unified", f"k{n}", b"%d" % n * 3000)
        wire = await door.connect()
        wire.send(b"".join(request("GET", f"/unified/k{n}") for n in range(20)))
        for n in range(20):
            assert (await wire.response()).body == b"%d" % n * 3000

    @pytest_twisted.ensureDeferred
    async def test_pipelined_behind_a_slow_put_waits_its_turn(self, door: Door) -> None:
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        wire = await door.connect()
        wire.send(
            request("PUT", "/unified/a", body=b"new") + request("GET", "/unified/a")
        )
        await door.until(lambda: door.objects.events)
        await settled(door)
        assert door.objects.events == ["put a"]
        gate.callback(None)
        assert (await wire.response()).status == 200
        assert (await wire.response()).body == b"new"

    @pytest_twisted.ensureDeferred
    async def test_a_request_cut_anywhere_is_the_same_request(self, door: Door) -> None:
        whole = request("PUT", "/unified/k", body=b"0123456789") + request(
            "GET", "/unified/k"
        )
        wire = await door.connect()
        for byte in whole:
            wire.send(bytes([byte]))
            await door.until(lambda: True)
        assert (await wire.response()).status == 200
        assert (await wire.response()).body == b"0123456789"

    @pytest_twisted.ensureDeferred
    async def test_close_is_honoured(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(request("GET", "/health", "Connection: TE, close"))
        assert (await wire.response()).header("connection") == "close"
        assert await wire.end() == b""

    @pytest_twisted.ensureDeferred
    async def test_an_idle_connection_is_closed_late(self, make_door: MakeDoor) -> None:
        door = make_door()
        wire = await door.connect()
        wire.send(request("GET", "/health"))
        await wire.response()
        await settled(door)
        door.clock.advance(61)
        await settled(door)
        assert not wire.ended
        door.clock.advance(60)
        assert await wire.end() == b""


class TestHeaders:
    @pytest_twisted.ensureDeferred
    async def test_every_answer_has_date_and_id_and_no_banner(self, door: Door) -> None:
        ids = []
        for method, target in [
            ("GET", "/health"),
            ("GET", "/"),
            ("GET", "/unified/none"),
            ("HEAD", "/unified/none"),
            ("DELETE", "/unified/none"),
            ("BREW", "/unified/none"),
        ]:
            answer = await door.ask(method, target)
            assert answer.header("server") is None
            assert answer.header("date") == "Sun, 22 Nov 2026 12:00:00 GMT"
            ids.append(answer.header("x-amz-request-id"))
        assert NOW.isoformat().startswith("2026-11-22T12:00:00")
        assert len(set(ids)) == len(ids)
        assert all(each and len(each) == 16 for each in ids)

    @pytest_twisted.ensureDeferred
    async def test_a_head_error_has_headers_only(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(request("HEAD", "/unified/none") + request("GET", "/health"))
        answer = await wire.response(head=True)
        assert answer.status == 404
        assert answer.header("content-type") == "application/xml"
        assert (await wire.response()).body == b"ok"

    @pytest_twisted.ensureDeferred
    async def test_names_are_written_as_s3_writes_them(self, door: Door) -> None:
        """SDKs hand the names of metadata on as they come."""
        door.objects.store("unified", "k", b"", user_metadata={"name": "v"})
        wire = await door.connect()
        wire.send(request("GET", "/unified/k", "Connection: close"))
        head = await wire.end()
        assert b"\r\nx-amz-meta-name: v\r\n" in head
        assert b"\r\nx-amz-request-id: " in head
        assert b"\r\nETag: " in head


class TestContinue:
    @pytest_twisted.ensureDeferred
    async def test_it_comes_when_the_body_is_first_read(self, door: Door) -> None:
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        wire = await door.connect()
        wire.send((PUT + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n").encode())
        await door.until(lambda: door.objects.events)
        await settled(door)
        assert not wire.received
        gate.callback(None)
        assert (await wire.response()).status == 100
        wire.send(b"data" + request("GET", "/unified/k"))
        assert (await wire.response()).status == 200
        assert (await wire.response()).body == b"data"

    @pytest_twisted.ensureDeferred
    async def test_a_refused_request_gets_none(self, make_door: MakeDoor) -> None:
        door = make_door(auth=TOKEN)
        wire = await door.connect()
        wire.send((PUT + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n").encode())
        answer = await wire.response()
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert answer.header("connection") == "close"
        assert await wire.end() == b""
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_one_that_was_not_asked_for_does_not_come(self, door: Door) -> None:
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 4\r\n\r\n").encode())
        await door.until(lambda: door.objects.events)
        await settled(door)
        assert not wire.received
        wire.send(b"data")
        assert (await wire.response()).status == 200

    @pytest_twisted.ensureDeferred
    async def test_http_1_0_knows_none(self, door: Door) -> None:
        wire = await door.connect()
        head = PUT.replace("1.1", "1.0")
        wire.send((head + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n").encode())
        await door.until(lambda: door.objects.events)
        await settled(door)
        assert not wire.received
        wire.send(b"data")
        assert (await wire.response()).status == 200
        await wire.end()


class TestEarlyAnswer:
    @pytest_twisted.ensureDeferred
    async def test_a_small_rest_is_dropped_and_the_connection_kept(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(auth=TOKEN)
        evil = request("DELETE", "/unified/k", "X-Proxy-Token: let me in")
        wire = await door.connect()
        wire.send(
            request("PUT", "/unified/k", body=evil * 50) + request("GET", "/health")
        )
        assert (await wire.response()).status == 403
        assert (await wire.response()).body == b"ok"
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_a_small_rest_that_comes_late_is_dropped_too(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(auth=TOKEN)
        evil = request("DELETE", "/unified/k", "X-Proxy-Token: let me in")
        wire = await door.connect()
        wire.send((PUT + f"Content-Length: {len(evil)}\r\n\r\n").encode())
        answer = await wire.response()
        assert answer.status == 403
        assert answer.header("connection") is None
        wire.send(evil[:10])
        await settled(door)
        door.clock.advance(4.9)
        wire.send(evil[10:] + request("GET", "/health"))
        assert (await wire.response()).body == b"ok"
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_a_small_rest_that_never_comes_is_not_waited_for(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(auth=TOKEN)
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 4\r\n\r\n").encode())
        assert (await wire.response()).status == 403
        await settled(door)
        door.clock.advance(5.1)
        assert await wire.end() == b""

    @pytest_twisted.ensureDeferred
    async def test_drips_of_a_rest_do_not_hold_the_connection(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(auth=TOKEN)
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 400\r\n\r\n").encode())
        assert (await wire.response()).status == 403
        for _ in range(8):
            wire.send(b"x")
            await settled(door)
            door.clock.advance(4.0)
        assert await wire.end() == b""

    @pytest_twisted.ensureDeferred
    async def test_a_large_body_gets_its_answer_and_loses_the_connection(
        self, make_door: MakeDoor
    ) -> None:
        """The client sends everything before it reads, and still reads a 403."""
        door = make_door(auth=TOKEN)
        wire = await door.connect()
        wire.pause()
        size = 24 * MIB
        wire.send((PUT + f"Content-Length: {size}\r\n\r\n").encode())
        sent = 0

        class Source:
            def resumeProducing(self) -> None:
                nonlocal sent
                if sent < size:
                    sent += MIB
                    wire.send(request("DELETE", "/unified/k").ljust(MIB, b"x"))

            def stopProducing(self) -> None:
                pass

        wire.transport.registerProducer(Source(), False)
        await door.until(lambda: sent == size)
        wire.transport.unregisterProducer()
        wire.resume()
        answer = await wire.response()
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert answer.header("connection") == "close"
        assert await wire.end() == b""
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_a_large_body_that_never_comes_is_not_waited_for(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(auth=TOKEN)
        wire = await door.connect()
        wire.transport.loseConnection = lambda: None  # It ignores our FIN.
        wire.send((PUT + f"Content-Length: {5 * 1024**3}\r\n\r\n").encode())
        assert (await wire.response()).header("connection") == "close"
        await door.until(lambda: wire.ended or door.clock.getDelayedCalls())
        door.clock.advance(5.1)
        await wire.end()

    @pytest_twisted.ensureDeferred
    async def test_a_body_half_read_by_its_handler(self, door: Door) -> None:
        door.objects.put_fails_at = 1
        wire = await door.connect()
        head = request("PUT", "/unified/k", body=b"").replace(
            b"Content-Length: 0", b"Content-Length: 200000"
        )
        wire.send(head + b"x" * 1000)
        answer = await wire.response()
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        wire.send(b"x" * 199_000 + request("GET", "/health"))
        assert (await wire.response()).body == b"ok"

    @pytest_twisted.ensureDeferred
    async def test_a_get_with_a_body(self, door: Door) -> None:
        door.objects.store("unified", "k", b"stored")
        wire = await door.connect()
        wire.send(request("GET", "/unified/k", body=b"GET / HTTP/1.1\r\n\r\n") * 2)
        assert (await wire.response()).body == b"stored"
        assert (await wire.response()).body == b"stored"
        await settled(door)
        assert not wire.received

    @pytest_twisted.ensureDeferred
    async def test_a_chunked_body_nobody_reads(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(
            (PUT + "Transfer-Encoding: chunked\r\n\r\n").encode()
            + b"3\r\nabc\r\n0\r\n\r\n"
            + request("DELETE", "/unified/k")
        )
        answer = await wire.response()
        assert (answer.status, answer.code) == (411, "MissingContentLength")
        assert answer.header("connection") == "close"
        assert await wire.end() == b""
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_a_broken_chunk(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(
            (PUT + "Transfer-Encoding: chunked\r\n\r\n").encode()
            + b"zz\r\nabc"
            + request("DELETE", "/unified/k")
        )
        assert (await wire.response()).status == 411
        assert await wire.end() == b""
        assert door.objects.events == []


class TestRefusals:
    """What cannot be parsed gets S3's XML, and is the connection's last request."""

    @pytest.mark.parametrize(
        ("raw", "status", "code"),
        [
            ("GET /\r\nHost: h\r\n\r\n", 400, "InvalidRequest"),
            ("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 400, "InvalidRequest"),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidRequest"),
            ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost h\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\0\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\nc\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "InvalidRequest"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "InvalidRequest"),
            ("GET http://evil/b/k HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidURI"),
            ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidURI"),
            ("GET /unified/%FF HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidURI"),
            ("GET /unified/\xb0 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidURI"),
            ("GET /unified/%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidURI"),
            ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405, "MethodNotAllowed"),
            ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 405, "MethodNotAllowed"),
            ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 405, "MethodNotAllowed"),
            (PUT + "\r\n", 411, "MissingContentLength"),
            (PUT + "Content-Length: +5\r\n\r\nhello", 400, "InvalidRequest"),
            (PUT + "Content-Length: -5\r\n\r\nhello", 400, "InvalidRequest"),
            (PUT + "Content-Length: 5,5\r\n\r\nhello", 400, "InvalidRequest"),
            (PUT + "Content-Length: 0x5\r\n\r\nhello", 400, "InvalidRequest"),
            (PUT + "Content-Length:\r\n\r\nhello", 400, "InvalidRequest"),
            (
                PUT + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
                400,
                "InvalidRequest",
            ),
            (
                PUT + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                "0\r\n\r\n",
                400,
                "InvalidRequest",
            ),
            (
                PUT + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
                "0\r\n\r\n",
                400,
                "InvalidRequest",
            ),
            (
                PUT + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
                "\r\n0\r\n\r\n",
                400,
                "InvalidRequest",
            ),
            (PUT + "Transfer-Encoding: identity\r\n\r\n", 400, "InvalidRequest"),
            (PUT + "Transfer-Encoding: xchunked\r\n\r\n", 501, "NotImplemented"),
            (PUT + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "NotImplemented"),
            (
                PUT.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n",
                400,
                "InvalidRequest",
            ),
            (PUT + f"Content-Length: {10**26}\r\n\r\n", 400, "EntityTooLarge"),
            (PUT + f"Content-Length: {'9' * 5000}\r\n\r\n", 400, "EntityTooLarge"),
            (PUT + f"Content-Length: {6 * 1024**3}\r\n\r\n", 400, "EntityTooLarge"),
            (f"GET /{'k' * 20_000} HTTP/1.1\r\n\r\n", 400, "InvalidURI"),
            (
                f"GET / HTTP/1.1\r\nHost: h\r\nA: {'a' * 8200}\r\n\r\n",
                400,
                "RequestHeaderSectionTooLarge",
            ),
            (
                f"GET / HTTP/1.1\r\nHost: h\r\nA: {'a' * 40_000}",
                400,
                "RequestHeaderSectionTooLarge",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\n" + "A: b\r\n" * 400 + "\r\n",
                400,
                "RequestHeaderSectionTooLarge",
            ),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_answer(self, door: Door, raw: str, status: int, code: str) -> None:
        wire = await door.connect()
        wire.send(raw.encode("latin-1"))
        answer = await wire.response()
        assert (answer.status, answer.code) == (status, code)
        assert answer.header("content-type") == "application/xml"
        assert answer.header("date") and answer.header("server") is None
        assert answer.field("RequestId") == answer.header("x-amz-request-id")
        assert all(event.startswith("find") for event in door.objects.events)

    @pytest.mark.parametrize(
        "raw",
        [
            "GET /\r\n",
            PUT + "Content-Length: x\r\n\r\n",
            PUT + "A b: c\r\n",
            f"GET / HTTP/1.1\r\nA: {'a' * 9000}\r\n\r\n",
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_nothing_after_it_is_parsed(self, door: Door, raw: str) -> None:
        door.objects.store("unified", "k", b"")
        evil = request("DELETE", "/unified/k")
        wire = await door.connect()
        wire.send(raw.encode() + evil)
        answer = await wire.response()
        assert answer.header("connection") == "close"
        wire.send(evil)
        assert await wire.end() == b""
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_a_key_of_1024_bytes_escaped_fits_the_request_line(
        self, door: Door
    ) -> None:
        answer = await door.ask("PUT", "/unified/" + "%C3%A9" * 512, body=b"x")
        assert answer.status == 200
        assert door.objects.data("é" * 512) == b"x"

    @pytest_twisted.ensureDeferred
    async def test_to_a_head_without_a_body(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(b"HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n")
        answer = await wire.response(head=True)
        assert answer.status == 400
        assert await wire.end() == b""

    @pytest_twisted.ensureDeferred
    async def test_slow_headers_lose_their_slot(self, door: Door) -> None:
        wire = await door.connect()
        for _ in range(4):
            wire.send(b"GET /")
            await settled(door)
            door.clock.advance(9.0)
        answer = await wire.response()
        assert (answer.status, answer.code) == (400, "RequestTimeout")
        assert await wire.end() == b""

    @pytest_twisted.ensureDeferred
    async def test_the_next_requests_headers_have_their_own_time(
        self, door: Door
    ) -> None:
        wire = await door.connect()
        for _ in range(3):
            wire.send(b"GET /health HTTP/1.1\r\n")
            await settled(door)
            door.clock.advance(20)
            wire.send(b"Host: h\r\n\r\n")
            assert (await wire.response()).body == b"ok"
            await settled(door)


class TestSlowBody:
    @pytest_twisted.ensureDeferred
    async def test_silence_is_answered_with_request_timeout(self, door: Door) -> None:
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 10\r\n\r\nhalf.").encode())
        await door.until(lambda: door.objects.received_bytes == 5)
        door.clock.advance(30.1)
        answer = await wire.response()
        assert (answer.status, answer.code) == (400, "RequestTimeout")
        assert answer.header("connection") == "close"
        assert await wire.end() == b""
        assert "stored k" not in door.objects.events

    @pytest_twisted.ensureDeferred
    async def test_a_slow_handler_does_not_count(self, door: Door) -> None:
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 10\r\n\r\nhalf.").encode())
        await door.until(lambda: door.objects.events)
        door.clock.advance(1000)
        gate.callback(None)
        wire.send(b"half.")
        assert (await wire.response()).status == 200


class TestBackPressure:
    @pytest_twisted.ensureDeferred
    async def test_a_slow_handler_slows_the_client(self, make_door: MakeDoor) -> None:
        door = make_door(limits=Limits(idle_seconds=10))
        gates: list[Deferred[None]] = []

        def gate() -> Deferred[None]:
            gates.append(Deferred())
            return gates[-1]

        door.objects.before_read = gate
        door.objects.discard = True
        wire = await door.connect()
        size = 16 * MIB
        sent = 0

        class Source:
            def resumeProducing(self) -> None:
                nonlocal sent
                if sent < size:
                    sent += 65536
                    wire.send(b"x" * 65536)

            def stopProducing(self) -> None:
                pass

        wire.send((PUT + f"Content-Length: {size}\r\n\r\n").encode())
        wire.transport.registerProducer(Source(), False)
        await door.until(lambda: gates)
        before = -1
        while before != sent:
            before = sent
            await settled(door)
        # The kernel's buffers on loopback hold 3 MiB; ours hold half of one.
        assert sent < 8 * MIB
        request_at_work = next(iter(door.site.drain._connections)).requests[0]
        # What is received at a time comes whole, also past the mark.
        limits = door.site.limits
        bound = limits.queue_high_bytes + limits.transport_bytes
        assert request_at_work.body._queued_bytes < bound
        # Paused and at work, it is not idle.
        door.clock.advance(100)
        door.objects.before_read = None
        for each in gates:
            each.callback(None)
        answer = await wire.response()
        wire.transport.unregisterProducer()
        assert answer.status == 200
        assert door.objects.received_bytes == size

    @pytest_twisted.ensureDeferred
    async def test_answers_that_nobody_takes_do_not_pile_up(self, door: Door) -> None:
        for n in range(1000):
            door.objects.store("unified", f"{n:04}" + "x" * 1000, b"")
        wire = await door.connect()
        wire.pause()
        wire.send(request("GET", "/unified") * 600)
        await door.until(lambda: door.objects.events)
        before = -1
        while before != len(door.objects.events):
            before = len(door.objects.events)
            await settled(door)
        # Each answer is over a MiB; the kernel's buffers take some of them.
        assert len(door.objects.events) < 30
        wire.resume()
        for _ in range(50):
            assert len((await wire.response()).body) > MIB
        wire.pause()
        await settled(door)
        door.clock.advance(301)
        await door.until(lambda: not door.site.drain._connections)
        wire.resume()
        await wire.until(lambda: wire.ended)

    @pytest_twisted.ensureDeferred
    async def test_junk_is_answered_or_cut_and_logs_nothing(self, door: Door) -> None:
        """Whatever is changed in good requests, nothing breaks and nothing hangs."""
        chance = random.Random(20261122)
        good = request("PUT", "/unified/k", "x-amz-meta-a: b", body=b"data") + request(
            "GET", "/unified/k?a=b", "Range: bytes=1-2", "If-None-Match: x"
        )
        for _ in range(300):
            bad = bytearray(good)
            for _ in range(chance.randrange(1, 6)):
                place = chance.randrange(len(bad))
                bad[place : place + chance.randrange(3)] = chance.choice(
                    [b"", b"\r\n", b"\0", b"%", b" ", b":", b"\xff", b"9", b"\n", b"/"]
                )
            wire = await door.connect()
            wire.send(bytes(bad))
            await settled(door)
            wire.abort()
        assert (await door.ask("GET", "/health")).body == b"ok"


class TestClientGone:
    @pytest_twisted.ensureDeferred
    async def test_in_the_middle_of_a_body(self, door: Door) -> None:
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 10\r\n\r\nhalf.").encode())
        await door.until(lambda: door.objects.received_bytes == 5)
        wire.abort()
        await door.until(lambda: "gone" in door.objects.events)
        assert "stored k" not in door.objects.events
        await door.until(lambda: door.site.drain.in_flight == 0)

    @pytest_twisted.ensureDeferred
    async def test_while_the_handler_does_something_else(self, door: Door) -> None:
        """The handler is not cancelled: it finds out when it reads."""
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        wire = await door.connect()
        wire.send((PUT + "Content-Length: 10\r\n\r\nhalf.").encode())
        await door.until(lambda: door.objects.events)
        wire.abort()
        await door.until(lambda: not door.site.drain._connections)
        assert door.objects.events == ["put k"]
        assert door.site.drain.in_flight == 1
        gate.callback(None)
        assert door.objects.events == ["put k", "gone"]
        assert door.site.drain.in_flight == 0

    @pytest_twisted.ensureDeferred
    async def test_after_a_whole_body(self, door: Door) -> None:
        """The request is complete, so it is done, as if the answer had been lost."""
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        wire = await door.connect()
        wire.send(request("PUT", "/unified/k", body=b"whole"))
        await door.until(lambda: door.objects.events)
        await settled(door)
        wire.abort()
        await door.until(lambda: not door.site.drain._connections)
        gate.callback(None)
        assert door.objects.data("k") == b"whole"

    @pytest_twisted.ensureDeferred
    async def test_inside_the_headers(self, door: Door) -> None:
        wire = await door.connect()
        wire.send(b"GET / HTTP/1.1\r\nHost")
        await settled(door)
        wire.abort()
        await door.until(lambda: not door.site.drain._connections)

    @pytest_twisted.ensureDeferred
    async def test_during_a_rest(self, make_door: MakeDoor) -> None:
        door = make_door(auth=TOKEN)
        wire: Wire = await door.connect()
        wire.send((PUT + "Content-Length: 4\r\n\r\n").encode())
        assert (await wire.response()).status == 403
        wire.abort()
        await door.until(lambda: not door.site.drain._connections)
