"""s3proxy.web.app: routes, the order of checks, and errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent, formatEvent

from s3proxy.config_model import AuthConfig
from s3proxy.errors import (
    ClientGone,
    InsufficientStorage,
    NotImplementedYet,
    StoreError,
    StoreUnavailable,
)
from s3proxy.web.answer import Answer
from tests.web.conftest import Door, MakeDoor
from tests.web.wire import request

TOKEN = AuthConfig(token="let me in")
LET_ME_IN = "X-Proxy-Token: let me in"


class TestRoutes:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest_twisted.ensureDeferred
    async def test_health_is_open_to_everybody(
        self, make_door: MakeDoor, method: str
    ) -> None:
        answer = await make_door(auth=TOKEN).ask(method, "/health")
        assert answer.status == 200
        assert answer.body == (b"ok" if method == "GET" else b"")
        assert (answer.header("content-type") or "").startswith("text/plain")

    @pytest.mark.parametrize("path", ["/metrics", "/internal/numbers"])
    @pytest_twisted.ensureDeferred
    async def test_metrics_are_where_they_are_configured(
        self, make_door: MakeDoor, path: str
    ) -> None:
        answer = await make_door(metrics_path=path).ask("GET", path)
        assert answer.status == 200
        assert b"seen_total 3.0" in answer.body

    @pytest_twisted.ensureDeferred
    async def test_metrics_are_nowhere_by_default(self, door: Door) -> None:
        assert (await door.ask("GET", "/metrics")).code == "NoSuchBucket"

    @pytest.mark.parametrize(
        "target",
        ["/health/", "/health?list-type=2", "//health", "/%68ealth", "/health/x"],
    )
    @pytest_twisted.ensureDeferred
    async def test_only_the_exact_target_is_reserved(
        self, door: Door, target: str
    ) -> None:
        answer = await door.ask("GET", target)
        assert answer.header("content-type") == "application/xml"
        assert answer.code in ("NoSuchBucket", "InvalidURI")

    @pytest.mark.parametrize(
        "target", ["/ui", "/ui/", "/ui?a=b", "/ui/browse?bucket=b"]
    )
    @pytest_twisted.ensureDeferred
    async def test_pages_have_all_that_is_below_their_path(
        self, make_door: MakeDoor, target: str
    ) -> None:
        asked: list[tuple[bytes, Sequence[str]]] = []

        async def pages(uri: bytes, shown: Sequence[str]) -> Answer:
            asked.append((uri, shown))
            return Answer.text(b"a page")

        door = make_door(auth=TOKEN, pages=pages, domains=("s3.test",))
        answer = await door.ask("GET", target, "Authorization: Basic Og==")
        assert answer.body == b"a page"
        assert asked == [(target.encode(), ["Basic Og=="])]
        for method, other in (("PUT", target), ("GET", "/ui2"), ("GET", "/u%69")):
            assert (await door.ask(method, other)).status == 403
        wire = await door.connect()
        wire.send(request("GET", target, host="unified.s3.test"))
        assert (await wire.response()).status == 403

    @pytest_twisted.ensureDeferred
    async def test_without_pages_their_path_is_s3s(self, door: Door) -> None:
        assert (await door.ask("GET", "/ui")).code == "NoSuchBucket"

    @pytest_twisted.ensureDeferred
    async def test_the_status_of_what_is_s3s_is_told(self, make_door: MakeDoor) -> None:
        told: list[int] = []
        door = make_door(tally=told.append)
        for target in ("/health", "/unified?location", "/unified/none"):
            await door.ask("GET", target)
        assert told == [200, 404]

    @pytest_twisted.ensureDeferred
    async def test_other_methods_are_s3s(self, door: Door) -> None:
        answer = await door.ask("PUT", "/health")
        assert (answer.status, answer.code) == (403, "AccessDenied")

    @pytest.mark.parametrize(
        ("path", "key"),
        [
            ("health", "health"),
            ("metrics", "metrics"),
            ("a%20b+c%2Bd", "a b+c+d"),
            ("%E2%82%AC", "€"),
            ("/lead", "/lead"),
            ("a//b", "a//b"),
            ("a%2Fb", "a/b"),
            ("..", ".."),
            ("../x", "../x"),
            ("a/./../b", "a/./../b"),
            ("a/", "a/"),
            ("%25", "%"),
            ("a;b=c&d'e\"f(g)*~!@$:,", "a;b=c&d'e\"f(g)*~!@$:,"),
            ("__multipart/x/1", "__multipart/x/1"),
            ("%0A%1B[31m", "\n\x1b[31m"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_keys_come_through_as_they_are(
        self, door: Door, path: str, key: str
    ) -> None:
        assert (await door.ask("PUT", f"/unified/{path}", body=b"x")).status == 200
        assert list(door.objects.objects) == [("unified", key)]
        assert (await door.ask("GET", f"/unified/{path}")).body == b"x"


class TestOrder:
    @pytest.mark.parametrize(
        "target", ["/other", "/other/k", "/unified/k?legal-hold", "/unified?abac"]
    )
    @pytest_twisted.ensureDeferred
    async def test_a_stranger_learns_nothing(
        self, make_door: MakeDoor, target: str
    ) -> None:
        door = make_door(auth=TOKEN)
        answer = await door.ask("GET", target)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert (await door.ask("GET", target, LET_ME_IN)).status in (404, 501)
        assert door.objects.events == []

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
    @pytest_twisted.ensureDeferred
    async def test_another_bucket(self, door: Door, method: str) -> None:
        answer = await door.ask(method, "/other/k")
        assert answer.status == 404
        if method != "HEAD":
            assert answer.code == "NoSuchBucket"
            assert answer.field("BucketName") == "other"
        assert door.objects.events == []

    @pytest.mark.parametrize(
        ("method", "target", "line"),
        [
            ("DELETE", "/unified/k?legal-hold", "A: b"),
            ("DELETE", "/unified/k?uploads", "A: b"),
            ("PUT", "/unified/k?uploads", "x-amz-copy-source: /unified/other"),
            ("GET", "/unified/k", "x-amz-copy-source: /unified/other"),
            (
                "PUT",
                "/unified/k",
                "x-amz-content-sha256: STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            ),
            ("PUT", "/unified/k", "Content-Encoding: aws-chunked"),
            ("PUT", "/unified/k", "x-amz-decoded-content-length: 1"),
            ("POST", "/unified?metadataTable", "A: b"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_what_is_not_served_is_never_something_else(
        self, door: Door, method: str, target: str, line: str
    ) -> None:
        answer = await door.ask(method, target, line)
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert door.objects.events == []

    @pytest_twisted.ensureDeferred
    async def test_405_says_what_is_allowed(self, door: Door) -> None:
        answer = await door.ask("TRACE", "/unified/k")
        assert answer.status == 405
        assert "GET" in (answer.header("allow") or "")


class TestErrors:
    @pytest.mark.parametrize("why", [StoreUnavailable("db on fire"), StoreError("x")])
    @pytest_twisted.ensureDeferred
    async def test_the_ledgers_trouble_is_a_503(
        self, door: Door, why: StoreError
    ) -> None:
        door.objects.failure = why
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            answer = await door.ask(method, "/unified/k")
            assert answer.status == 503
            assert answer.header("retry-after") == "1"
            assert b"fire" not in answer.body

    @pytest_twisted.ensureDeferred
    async def test_a_mistake_of_ours_is_a_500_with_its_id_and_no_more(
        self, door: Door, logged: list[LogEvent]
    ) -> None:
        door.objects.failure = RuntimeError("secret detail")
        answer = await door.ask("GET", "/unified/k")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert answer.field("RequestId") == answer.header("x-amz-request-id")
        assert b"secret" not in answer.body
        failures = [event for event in logged if "log_failure" in event]
        assert len(failures) == 1
        assert str(answer.header("x-amz-request-id")) in str(formatEvent(failures[0]))
        logged.remove(failures[0])

    @pytest_twisted.ensureDeferred
    async def test_the_products_own_status(self, door: Door) -> None:
        door.objects.failure = InsufficientStorage()
        answer = await door.ask("PUT", "/unified/k", body=b"x")
        assert (answer.status, answer.code) == (507, "InsufficientStorage")

    @pytest.mark.parametrize(
        ("why", "level"),
        [(NotImplementedYet(), "info"), (InsufficientStorage(), "warn")],
    )
    @pytest_twisted.ensureDeferred
    async def test_what_is_not_served_is_no_warning(
        self, door: Door, logged: list[LogEvent], why: Exception, level: str
    ) -> None:
        """Some clients ask for eight such things in a row, and mean nothing by it."""
        door.objects.failure = why
        await door.ask("GET", "/unified/k")
        [told] = [each for each in logged if "k:" in str(formatEvent(each))]
        assert told["log_level"].name == level

    @pytest.mark.parametrize("why", [ClientGone(), CancelledError()])
    @pytest_twisted.ensureDeferred
    async def test_an_end_without_an_answer_breaks_the_connection(
        self, door: Door, why: Exception
    ) -> None:
        door.objects.failure = why
        wire = await door.connect()
        wire.send(request("GET", "/unified/k") * 2)
        assert await wire.end() == b""
        assert door.objects.events == ["find k"]

    @pytest_twisted.ensureDeferred
    async def test_too_much_at_once_is_told_to_slow_down(
        self, make_door: MakeDoor
    ) -> None:
        door = make_door(max_requests=2)
        gate: Deferred[None] = Deferred()
        door.objects.before_put = lambda: gate
        for n in range(2):
            (await door.connect()).send(request("PUT", f"/unified/{n}", body=b"x"))
        await door.until(lambda: len(door.objects.events) == 2)
        answer = await door.ask("GET", "/unified/k")
        assert (answer.status, answer.code) == (503, "SlowDown")
        assert answer.header("retry-after") == "1"
        assert (await door.ask("GET", "/health")).status == 200
        gate.callback(None)
        await door.until(lambda: door.site.drain.in_flight == 0)
        assert (await door.ask("GET", "/unified/0")).status == 200

    @pytest_twisted.ensureDeferred
    async def test_logs_are_one_line_and_hold_no_secret(
        self, make_door: MakeDoor, logged: list[LogEvent]
    ) -> None:
        door = make_door(auth=TOKEN)
        door.objects.failure = StoreUnavailable("down")
        answer = await door.ask("GET", "/unified/a%0Ab?x=canary", LET_ME_IN)
        assert answer.status == 503
        await door.ask("GET", "/unified/k", "Authorization: canary")
        lines = [str(formatEvent(event)) for event in logged]
        assert any("a%0Ab" in line for line in lines)
        assert all(event.get("log_level") is not None for event in logged)
        for line in lines:
            assert "canary" not in line and "let me in" not in line
            assert "\n" not in line
