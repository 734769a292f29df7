"""
Spans, by OpenTelemetry's conventions, and whose child each one is.

The innermost span is in a context variable of ours, next to the request's trail: what
a coroutine starts is its child, however requests interleave. Of a trace that is not
recorded only the server's span is made, since its ids go on to the backends.

Names are of closed sets. Keys and paths are attributes; queries, headers and bodies,
where secrets are, go nowhere. Failures are named by their kind, not their text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from attrs import define, frozen
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from s3proxy import __version__
from s3proxy.config_model import TracingConfig
from s3proxy.errors import S3Error
from s3proxy.telemetry.exporting import Sender
from s3proxy.telemetry.trail import Trail
from s3proxy.telemetry.w3c import TraceParent

T = TypeVar("T")
Attributes = Mapping[str, Any]

#: Longer text is cut: a key may have 1024 bytes.
ATTRIBUTE_CHARACTERS = 1024
#: A longer ``tracestate`` is not handed on (W3C asks for at least so much).
STATE_CHARACTERS = 512

_NOWHERE = Context()
_ERROR = Status(StatusCode.ERROR)
#: Others are ``_OTHER``, so that nobody makes up names.
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)
_current: ContextVar[Span | None] = ContextVar("s3proxy.span", default=None)


@frozen
class Outgoing:
    """What goes to a backend beside the request: the headers of the trace."""

    traceparent: bytes
    tracestate: bytes


class Tracing:
    """Makes spans. What it is told while :meth:`close` is at work may be lost."""

    def __init__(
        self, config: TracingConfig, reactor: Any, exporter: SpanExporter | None = None
    ) -> None:
        """
        Not before the process has become a daemon: a thread is started.

        :param exporter: Takes the spans; OTLP over gRPC when None.
        """
        self._sender = Sender(config, reactor, exporter)
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(config.sample_rate)),
            resource=_resource(),
            span_limits=SpanLimits(max_span_attribute_length=ATTRIBUTE_CHARACTERS),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._sender.processor)
        self._tracer = provider.get_tracer("s3proxy", __version__)

    async def close(self) -> None:
        """Send what there is, within a few seconds."""
        await self._sender.close()

    def serve(
        self,
        trail: Trail,
        parent: TraceParent | None,
        *,
        tracestate: Sequence[bytes],
        scheme: str,
        host: str,
        user_agent: str,
    ) -> ServerSpan:
        """
        Begin the span of a request: this coroutine and what it starts are within it.

        The trace's id is noted in *trail*.

        :param parent: The client's span, where it sent one.
        """
        method = trail.method if trail.method in _METHODS else "_OTHER"
        span = self._tracer.start_span(
            method if method != "_OTHER" else "HTTP",
            _remote(parent, tracestate) if parent is not None else _NOWHERE,
            SpanKind.SERVER,
        )
        trail.trace_id = f"{span.get_span_context().trace_id:032x}"
        if span.is_recording():
            address, _, port = host.rpartition(":")
            span.set_attributes(
                {
                    "http.request.method": method,
                    "url.scheme": scheme,
                    "url.path": trail.path,
                    "server.address": address if port.isdecimal() else host,
                    "client.address": trail.client,
                    "user_agent.original": user_agent,
                    "network.protocol.version": "1.1",
                    "s3proxy.request_id": trail.request_id,
                }
            )
        _current.set(span)
        return ServerSpan(span, method)

    def start(
        self, name: str, kind: SpanKind, attributes: Attributes
    ) -> tuple[Span, bool]:
        """
        A span within the one at work, which the caller ends; whether it is recorded.

        Of a trace that is not recorded it is the one at work itself: not to be ended.
        """
        parent = _current.get()
        if parent is not None and not parent.is_recording():
            return parent, False
        context = _NOWHERE if parent is None else set_span_in_context(parent, _NOWHERE)
        span = self._tracer.start_span(name, context, kind, attributes)
        return span, span.is_recording()

    async def within(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        work: Callable[[], Awaitable[T]],
        fail: Callable[[Span, BaseException], None] | None = None,
    ) -> T:
        """
        Do *work* within a span of its own.

        :param fail: Says what a failure means; :func:`failed` by default.
        """
        parent = _current.get()
        span, is_recorded = self.start(name, kind, attributes)
        if span is parent:
            return await work()
        # Put back by hand: a token is refused where a dropped coroutine is closed.
        _current.set(span)
        try:
            return await work()
        except BaseException as why:
            if is_recorded:
                (fail or failed)(span, why)
            raise
        finally:
            if _current.get() is span:
                _current.set(parent)
            span.end()

    async def apart(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work* in a trace of its own, whoever caused it."""
        _current.set(None)
        return await self.within(name, SpanKind.INTERNAL, {}, work)


@define
class ServerSpan:
    """A request's span, until it is answered."""

    _span: Span
    _method: str

    def end(self, trail: Trail) -> None:
        """The request has been answered, or nobody is there any more."""
        span = self._span
        if span.is_recording():
            if trail.operation:
                route = "/{bucket}/{key}" if trail.key else "/{bucket}"
                if not trail.bucket:
                    route = "/"
                span.update_name(f"{self._method} {route}")
                span.set_attribute("http.route", route)
            told: dict[str, Any] = {
                "http.response.status_code": trail.status,
                "http.request.body.size": trail.received_bytes,
                "http.response.body.size": trail.sent_bytes,
                "s3proxy.operation": trail.operation,
                "aws.s3.bucket": trail.bucket,
                "aws.s3.key": trail.key,
                "s3proxy.access_key_id": trail.access_key_id,
                "s3proxy.backends": trail.backends,
                "s3proxy.outcome": trail.outcome,
                "error.type": trail.error
                or ("" if trail.outcome == "complete" else trail.outcome),
            }
            span.set_attributes({name: each for name, each in told.items() if each})
            # By the convention, what the client did wrong is no error of the server's.
            if trail.status >= 500 or trail.outcome == "broken off":
                span.set_status(_ERROR)
        span.end()


def outgoing(span: Span) -> Outgoing:
    """What tells the next process that its work is part of *span*."""
    context = span.get_span_context()
    flags = context.trace_flags & TraceFlags.SAMPLED
    return Outgoing(
        TraceParent(context.trace_id, context.span_id, flags).render(),
        context.trace_state.to_header().encode(),
    )


def failed(span: Span, why: BaseException) -> None:
    """Mark a span: an S3 error that is the client's doing is no failure of ours."""
    if isinstance(why, S3Error):
        span.set_attribute("error.type", why.code)
        if why.status < 500:
            return
    else:
        span.set_attribute("error.type", type(why).__name__)
    span.set_status(_ERROR)


def _resource() -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES stand above it."""
    told = OTELResourceDetector().detect().attributes
    ours = {"service.name": "s3proxy", "service.version": __version__}
    return Resource.create({**ours, **told})


def _remote(parent: TraceParent, tracestate: Sequence[bytes]) -> Context:
    text = b",".join(tracestate).decode("latin-1")
    state = None
    if text and len(text) <= STATE_CHARACTERS:
        state = TraceState.from_header([text])
    context = SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=state,
    )
    return set_span_in_context(NonRecordingSpan(context), _NOWHERE)
