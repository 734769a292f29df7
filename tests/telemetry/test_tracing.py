"""Spans: whose child each is, which are recorded, and a collector that is not there."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from s3proxy.config_model import TracingConfig
from s3proxy.errors import NoSuchKey, ServiceUnavailable
from s3proxy.telemetry import exporting
from s3proxy.telemetry.tracing import Tracing, outgoing
from s3proxy.telemetry.trail import Trail
from s3proxy.telemetry.w3c import TraceParent, parse

CONFIG = TracingConfig(True, "127.0.0.1:1", insecure=True)
CLIENT = TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0xF067AA0BA902B7, 1)


class Kept(SpanExporter):
    """Keeps what it is given; *result* is what it says."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.result = SpanExportResult.SUCCESS
        self.gate: threading.Event | None = None

    def export(self, spans: Any) -> SpanExportResult:
        if self.gate is not None:
            self.gate.wait(20)
        self.spans += spans
        return self.result

    def shutdown(self) -> None:
        if self.gate is not None:
            self.gate.set()

    def tree(self) -> list[tuple[str, str, int]]:
        """Each span's name, its parent's, and the trace."""
        names = {s.context.span_id: s.name for s in self.spans if s.context}
        return [
            (
                span.name,
                names.get(span.parent.span_id, "?") if span.parent else "",
                span.context.trace_id if span.context else 0,
            )
            for span in self.spans
        ]


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(str(formatEvent(event)))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


def serve(
    tracing: Tracing, name: str, parent: TraceParent | None = None, **more: Any
) -> tuple[Trail, Any]:
    trail = Trail(name, method="GET", path=f"/photos/{name}")
    given: dict[str, Any] = {
        "tracestate": [],
        "scheme": "http",
        "host": "a:1",
        "user_agent": "u",
    }
    return trail, tracing.serve(trail, parent, **{**given, **more})


@pytest_twisted.ensureDeferred
async def test_interleaved_requests_keep_their_children() -> None:
    """
    Three requests that wake each other from within their own coroutines, as the pool's
    queue does, with one cancelled: no child is under another's parent.
    """
    kept = Kept()
    tracing = Tracing(CONFIG, reactor, kept)
    turns: dict[str, Deferred[None]] = {}

    async def wait(name: str) -> None:
        turns[name] = Deferred()
        await turns[name]

    async def statement(name: str) -> None:
        async def work() -> None:
            # A Deferred of its own, as the pool makes it.
            await Deferred.fromCoroutine(wait(name))

        await tracing.within(f"sql {name}", SpanKind.CLIENT, {}, work)

    async def request(name: str, wakes: str) -> None:
        trail, span = serve(tracing, name, evolve(CLIENT, trace_id=ord(name)))
        try:
            await tracing.within(
                f"do {name}", SpanKind.INTERNAL, {}, lambda: statement(name)
            )
            if wakes:
                turns[wakes].callback(None)
            await tracing.within(
                f"then {name}", SpanKind.INTERNAL, {}, lambda: statement(name)
            )
        finally:
            trail.outcome = "complete"
            span.end(trail)

    works = {
        name: Deferred.fromCoroutine(request(name, wakes))
        for name, wakes in (("a", ""), ("b", "a"), ("c", "b"))
    }
    turns["c"].callback(None)  # Wakes b from within c, and b wakes a.
    works["b"].addErrback(lambda _: None).cancel()
    for name in ("a", "c"):
        turns[name].callback(None)
        await works[name]
    await tracing.close()
    by_trace: dict[int, set[tuple[str, str]]] = {}
    for name, parent, trace in kept.tree():
        by_trace.setdefault(trace, set()).add((name, parent))
    assert by_trace == {
        ord(name): {
            ("GET", "?"),
            (f"do {name}", "GET"),
            (f"sql {name}", f"do {name}"),
            (f"then {name}", "GET"),
            (f"sql {name}", f"then {name}"),
        }
        for name in "abc"
    }


@pytest_twisted.ensureDeferred
async def test_no_header_is_a_mistake_of_ours() -> None:
    """What a client writes into its headers makes no request fail."""
    tracing = Tracing(CONFIG, reactor, InMemorySpanExporter())

    @settings(max_examples=50)
    @example([b"a=1", b"a=2"], "[::1")
    @example([b"=,=,\xff=\xff" * 20], ":")
    @given(st.lists(st.binary(max_size=40), max_size=3), st.text(max_size=20))
    def try_one(state: list[bytes], host: str) -> None:
        _, span = serve(tracing, "x", CLIENT, tracestate=state, host=host)
        span.end(Trail("x", outcome="complete"))

    try_one()
    await tracing.close()


@pytest.mark.parametrize(
    ("rate", "parent", "recorded"),
    [
        (1.0, None, True),
        (0.0, None, False),
        (0.0, CLIENT, True),
        (1.0, evolve(CLIENT, flags=0), False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_who_decides_what_is_recorded(
    rate: float, parent: TraceParent | None, recorded: bool
) -> None:
    """The client, where it says; else the share. The trace goes on in any case."""
    kept = Kept()
    tracing = Tracing(evolve(CONFIG, sample_rate=rate), reactor, kept)
    trail, span = serve(tracing, "k", parent, tracestate=[b"a=1", b"b=2"])

    async def call() -> None:
        inner, _ = tracing.start("PUT", SpanKind.CLIENT, {})
        told = outgoing(inner)
        inner.end()
        sent = parse([told.traceparent])
        assert sent is not None
        assert sent.flags == recorded
        assert sent.trace_id_hex == trail.trace_id
        if parent is not None:
            assert sent.trace_id == parent.trace_id
            assert sent.span_id != parent.span_id
            assert told.tracestate == b"a=1,b=2"

    await tracing.within("Objects.put", SpanKind.INTERNAL, {}, call)
    span.end(trail)
    await tracing.close()
    assert len(kept.spans) == (3 if recorded else 0)


@pytest_twisted.ensureDeferred
async def test_names_and_attributes() -> None:
    """A closed set of names; the key is an attribute, and nothing of the query is."""
    kept = Kept()
    tracing = Tracing(CONFIG, reactor, kept)
    trail, span = serve(tracing, "k" * 5000, host="[::1]:80")
    trail.operation, trail.bucket, trail.key = "GetObject", "photos", "k" * 5000
    trail.status, trail.outcome = 404, "complete"
    span.end(trail)
    odd, span = serve(tracing, "x")
    odd.method = "BREW"
    _, brew = serve(tracing, "x")
    for failure in (NoSuchKey(), ServiceUnavailable(), RuntimeError("canary")):

        async def fail(failure: Exception = failure) -> None:
            raise failure

        with pytest.raises(type(failure)):
            await tracing.within("Objects.head", SpanKind.INTERNAL, {}, fail)
    odd.status, odd.outcome = 200, "broken off"
    span.end(odd)
    brew.end(Trail("y", outcome="client gone", status=499))
    await tracing.close()
    first, *heads, broken, gone = kept.spans
    assert first.name == "GET /{bucket}/{key}" and first.status.is_unset
    assert first.attributes is not None
    assert first.attributes["aws.s3.key"] == "k" * 1024
    assert first.attributes["server.address"] == "[::1]"
    assert first.attributes["http.route"] == "/{bucket}/{key}"
    assert [(s.status.is_unset, (s.attributes or {})["error.type"]) for s in heads] == [
        (True, "NoSuchKey"),
        (False, "ServiceUnavailable"),
        (False, "RuntimeError"),
    ]
    assert "canary" not in "".join(span.to_json() for span in kept.spans)
    assert not broken.status.is_unset and broken.name == "GET"
    assert gone.status.is_unset
    assert (gone.attributes or {})["error.type"] == "client gone"


@pytest_twisted.ensureDeferred
async def test_a_made_up_method_names_no_span() -> None:
    kept = Kept()
    tracing = Tracing(CONFIG, reactor, kept)
    trail = Trail("x", method="BREW", outcome="complete")
    tracing.serve(
        trail, None, tracestate=[], scheme="http", host="", user_agent=""
    ).end(trail)
    await tracing.close()
    assert [span.name for span in kept.spans] == ["HTTP"]


@pytest_twisted.ensureDeferred
async def test_a_collector_that_is_slow_costs_spans_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """The queue is bounded, the reactor never waits, the log says it once."""
    monkeypatch.setattr(exporting, "QUEUE_SPANS", 1024)
    monkeypatch.setattr(exporting, "FLUSH_SECONDS", 0.2)
    kept = Kept()
    kept.gate = threading.Event()
    tracing = Tracing(CONFIG, reactor, kept)
    for _ in range(4000):
        tracing.start("x", SpanKind.CLIENT, {})[0].end()
    await tracing.close()
    # What waited, and the batch that was under way.
    assert len(kept.spans) <= 1024 + 512
    assert [line for line in logged if "Queue full" in line] == [
        "tracing: Queue full, dropping Span."
    ]


@pytest.mark.parametrize("kind", ["closed", "silent"])
@pytest_twisted.ensureDeferred
async def test_a_dead_collector_does_not_hold_a_stop_up(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Over real gRPC: a port that is closed, and one where nobody answers."""
    monkeypatch.setattr(exporting, "FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(exporting, "HOPELESS_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        if kind == "closed":
            hole.close()
            endpoint = "127.0.0.1:1"
        else:
            endpoint = f"127.0.0.1:{hole.getsockname()[1]}"
        tracing = Tracing(evolve(CONFIG, endpoint=endpoint), reactor)
        tracing.start("x", SpanKind.CLIENT, {})[0].end()
        began = reactor.seconds()  # type: ignore[attr-defined]
        await tracing.close()
        # Many times the limits, for a busy machine; gRPC's own is ten seconds.
        assert reactor.seconds() - began < 5  # type: ignore[attr-defined]


def test_the_log_is_told_once_and_then_of_the_end(logged: list[str]) -> None:
    class Now:
        """A reactor, as far as it goes."""

        now = 0.0

        def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
            call(*args)

        def seconds(self) -> float:
            return self.now

    kept, clock = Kept(), Now()
    exporter = exporting.Exporter(kept, "tempo:4317", clock)
    kept.result = SpanExportResult.FAILURE
    exporter.reason = "StatusCode.UNAVAILABLE"
    for _ in range(5):
        exporter.export([None, None])  # type: ignore[list-item]
    assert exporter.is_failing
    clock.now = exporting.REPEAT_SECONDS
    exporter.export([])
    kept.result = SpanExportResult.SUCCESS
    exporter.export([])
    exporter.export([])
    assert not exporter.is_failing
    told = "traces cannot be sent to tempo:4317: StatusCode.UNAVAILABLE"
    assert [line.partition(". ")[0] for line in logged] == [
        told,
        told,
        "traces are sent to tempo:4317 again; about 10 spans were lost",
    ]


def test_nothing_is_imported_where_nothing_is_traced() -> None:
    code = (
        "import sys, s3proxy.service, s3proxy.tap; print([name for name in sys.modules "
        "if name.split('.')[0] in ('grpc', 'opentelemetry', 'google')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
