"""Requests as the metrics have them: every one once, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent

from s3proxy.config_model import AuthConfig
from s3proxy.errors import BackendUnavailable, StoreUnavailable
from s3proxy.observe import note_backend
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.requests import METHODS, Requests
from tests.telemetry.pages import Page
from tests.web.conftest import Door, MakeDoor
from tests.web.fakes import FakeReader
from tests.web.wire import Response, request

OPEN = request("PUT", "/unified/k").replace(b"Content-Length: 0", b"Content-Length: 9")


@define
class Counted:
    """A door, and what was counted there."""

    door: Door
    metrics: Metrics

    @property
    def page(self) -> Page:
        return Page.of(self.metrics.shown)

    @property
    def inflight(self) -> float:
        return self.page.total("s3proxy_inflight_requests")

    @property
    def answers(self) -> dict[tuple[str, str], float]:
        """By method and status, those that there were."""
        page = self.page
        return {
            (sample.labels["method"], sample.labels["status_code"]): sample.value
            for sample in page.families["s3proxy_requests"].samples
        }

    def operations(self, operation: str, **labels: str) -> float:
        name = "s3proxy_manager_requests_total"
        return self.page.total(name, operation=operation, **labels)


@pytest.fixture
def counted(make_door: MakeDoor) -> Callable[..., Counted]:
    """``counted(**as make_door)``."""

    def make(**options: object) -> Counted:
        metrics = Metrics()
        return Counted(make_door(meter=Requests(metrics), **options), metrics)

    return make


@pytest_twisted.ensureDeferred
async def test_an_object_comes_and_goes(counted: Callable[..., Counted]) -> None:
    """Operations, sizes, durations; the answer to nothing there is no error of ours."""
    here = counted()
    door = here.door
    await door.ask("PUT", "/unified/k", body=b"x" * 2000)
    await door.ask("GET", "/unified/k")
    await door.ask("HEAD", "/unified/k")
    await door.ask("GET", "/unified/nothing")
    await door.ask("DELETE", "/unified/k")
    assert here.answers == {
        ("PUT", "200"): 1,
        ("GET", "200"): 1,
        ("HEAD", "200"): 1,
        ("GET", "404"): 1,
        ("DELETE", "204"): 1,
    }
    assert here.operations("PutObject", status="success") == 1
    assert here.operations("GetObject", status="success") == 1
    assert here.operations("GetObject", status="refused") == 1
    page = here.page
    assert page.value("s3proxy_request_size_bytes_sum", method="PUT") == 2000
    assert page.labels("s3proxy_request_size_bytes_count", "method") == {"PUT"}
    size, count = "s3proxy_response_size_bytes_sum", "s3proxy_response_size_bytes_count"
    assert (page.value(size, method="GET") or 0) > 2000
    assert page.value(count, method="GET") == 2
    assert page.value(size, method="HEAD") == 0
    assert page.total("s3proxy_request_duration_seconds_count") == 5
    assert here.inflight == 0
    assert page.total("s3proxy_broken_answers_total") == 0


@pytest.mark.parametrize(
    ("failure", "status"),
    [(ZeroDivisionError(), 500), (StoreUnavailable("away"), 503)],
)
@pytest_twisted.ensureDeferred
async def test_a_handler_raises(
    counted: Callable[..., Counted],
    logged: list[LogEvent],
    failure: Exception,
    status: int,
) -> None:
    here = counted()
    here.door.objects.failure = failure
    assert (await here.door.ask("GET", "/unified/k")).status == status
    assert here.answers == {("GET", str(status)): 1}
    assert here.operations("GetObject", status="error", backend="-") == 1
    assert here.inflight == 0
    logged[:] = [event for event in logged if "log_failure" not in event]


@pytest_twisted.ensureDeferred
async def test_a_client_leaves_in_the_middle_of_its_body(
    counted: Callable[..., Counted],
) -> None:
    """There is nobody to answer: 499. Nothing stays in flight."""
    here = counted()
    wire = await here.door.connect()
    wire.send(OPEN + b"some")
    await here.door.until(lambda: here.door.objects.received_bytes)
    assert here.page.value("s3proxy_inflight_requests", method="PUT") == 1
    wire.abort()
    await here.door.until(lambda: not here.door.site.drain.in_flight)
    assert here.answers == {("PUT", "499"): 1}
    assert here.operations("PutObject", status="aborted") == 1
    assert here.page.value("s3proxy_request_size_bytes_sum", method="PUT") == 4
    assert here.inflight == 0


@pytest_twisted.ensureDeferred
async def test_a_client_leaves_while_its_handler_works(
    counted: Callable[..., Counted],
) -> None:
    """It is in flight until the handler has ended: that is what costs."""
    here = counted()
    gate: Deferred[None] = Deferred()
    here.door.objects.before_put = lambda: gate
    wire = await here.door.connect()
    wire.send(request("PUT", "/unified/k", body=b"data"))
    await here.door.until(lambda: here.door.objects.events)
    wire.abort()
    await here.door.until(lambda: not here.door.site.drain._connections)
    assert here.inflight == 1
    gate.callback(None)
    await here.door.until(lambda: not here.door.site.drain.in_flight)
    assert here.answers == {("PUT", "499"): 1}
    # What it asked for was done.
    assert here.operations("PutObject", status="success") == 1
    assert here.inflight == 0


@pytest.mark.parametrize("by", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_an_answer_is_cut(counted: Callable[..., Counted], by: str) -> None:
    """Its status has gone out, and is what counts; that it was cut counts as well."""
    here = counted()
    objects, door = here.door.objects, here.door
    objects.store("unified", "k", b"x" * 300_000)
    fault: dict[str, Any] = {"hold_at": 65536}
    if by == "server":
        error = BackendUnavailable("b1", "broke off")
        fault = {"fail_at": 65536, "error": error}
    objects.make_reader = lambda data: FakeReader(len(data), data=data, **fault)
    wire = await door.connect()
    wire.send(request("GET", "/unified/k"))
    await wire.until(lambda: wire.received or wire.ended)
    if by == "client":
        wire.abort()
        await door.until(lambda: not door.site.drain._connections)
        assert objects.last_reader is not None
        objects.last_reader.held.callback(None)
    await door.until(lambda: not door.site.drain.in_flight)
    assert here.answers == {("GET", "200"): 1}
    page = here.page
    assert page.value("s3proxy_broken_answers_total", method="GET", by=by) == 1
    assert page.total("s3proxy_broken_answers_total") == 1
    assert here.inflight == 0


@pytest_twisted.ensureDeferred
async def test_strangers_make_no_labels(counted: Callable[..., Counted]) -> None:
    """Methods, paths, buckets, operations of their own: all are of a few."""
    here = counted(auth=AuthConfig(token="let me in"), metrics_path="/metrics")
    door = here.door
    let_in = "X-Proxy-Token: let me in"
    for method in ("BREW", "G" * 50, "get", "PATCH", "OPTIONS"):
        await door.ask(method, "/unified/k", let_in)
    for target in ("/unified/k?acl", "/u?x=y", "/unified?policy", "/" + "k" * 300):
        await door.ask("GET", target, let_in)
        await door.ask("GET", target)
    for path in ("/health", "/metrics"):
        await door.ask("GET", path)
    for raw in (b"NOTHING\r\n\r\n", b"EVIL / HTTP/1.1\r\nBad Header: x\r\n\r\n"):
        wire = await door.connect()
        wire.send(raw)
        await wire.response()
        wire.close()
    page, answers = here.page, here.answers
    assert {method for method, _ in answers} <= {*METHODS, "other"}
    assert page.labels("s3proxy_requests_total", "method") == {
        *("GET", "OPTIONS", "other")
    }
    # 4 methods of their own, 2 that are no requests; health and metrics do not count.
    assert sum(n for (method, _), n in answers.items() if method == "other") == 6
    assert sum(answers.values()) == 5 + 8 + 2
    operations = page.labels("s3proxy_manager_requests_total", "operation")
    assert operations <= {
        "GetObjectAcl",
        "GetObject",
        "GetBucketSetting",
        "ListObjects",
    }
    assert here.inflight == 0


@pytest_twisted.ensureDeferred
async def test_a_backend_is_named_by_whoever_asks_it(
    counted: Callable[..., Counted],
) -> None:
    """Requests that are under way at once do not name each other's."""
    here = counted()
    door = here.door
    gates: dict[str, Deferred[None]] = {}

    async def wait(key: str) -> None:
        gate = gates[key] = Deferred()
        await gate
        note_backend(key)

    puts = iter(("b1", "b2"))
    door.objects.before_put = lambda: Deferred.fromCoroutine(wait(next(puts)))
    answers: list[Response] = []
    for _ in range(2):
        work = Deferred.fromCoroutine(door.ask("PUT", "/unified/k", body=b"data"))
        work.addCallback(answers.append)
    await door.until(lambda: len(gates) == 2)
    for key in ("b2", "b1"):
        gates[key].callback(None)
    await door.until(lambda: len(answers) == 2)
    for backend in ("b1", "b2"):
        assert here.operations("PutObject", status="success", backend=backend) == 1
    assert here.operations("PutObject") == 2
