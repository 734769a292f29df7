"""Each request, to the end of its handler: its span, and its line in the log."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from attrs import define
from twisted.logger import Logger, LogLevel

from s3proxy.errors import S3Error
from s3proxy.telemetry import trail, w3c
from s3proxy.telemetry.trail import CLIENT_CLOSED_REQUEST, Trail
from s3proxy.web.request import S3Request

if TYPE_CHECKING:
    from s3proxy.telemetry.tracing import ServerSpan, Tracing

_LOG = Logger("s3proxy.access")


@define(eq=False)
class Watch:
    """
    :ivar tracing: None = there are no spans; the client's trace is logged all the same.
    """

    _tracing: Tracing | None = None

    async def over(self, request: S3Request, work: Awaitable[None]) -> None:
        """
        Do *work*, which answers *request*, and tell what became of it.

        It is told at the end of the work, whatever that end is; also when the client
        has long gone. Probes (``/health`` and the like) have no span, and a line only
        where everything is logged.
        """
        # The coroutine's context is its own, and so nothing has to be put back.
        found, began = request.trail, request.site.clock.seconds()
        trail.enter(found)
        is_probe = request.route != b""
        span = self._begin(request, found, is_probe)
        try:
            await work
        finally:
            self._end(request, found, request.site.clock.seconds() - began)
            if span is not None:
                span.end(found)
            level = LogLevel.debug if is_probe else LogLevel.info
            _LOG.emit(level, "{access}", access=found)

    def _begin(
        self, request: S3Request, found: Trail, is_probe: bool
    ) -> ServerSpan | None:
        headers = request.requestHeaders
        found.method = _text(request.method)
        found.path = _text(request.path)
        found.client = str(getattr(request.client, "host", "") or "")
        parent = w3c.parse(headers.getRawHeaders(b"traceparent", []))
        if parent is not None:
            found.trace_id = parent.trace_id_hex
        if self._tracing is None or is_probe:
            return None
        return self._tracing.serve(
            found,
            parent,
            tracestate=headers.getRawHeaders(b"tracestate", []),
            scheme="https" if request.encrypted else "http",
            host=_first(request, b"host"),
            user_agent=_first(request, b"user-agent"),
        )

    def _end(self, request: S3Request, found: Trail, seconds: float) -> None:
        found.seconds = seconds
        found.received_bytes = request.body.received
        found.sent_bytes = request.sentLength
        found.status = request.code if request.startedWriting else CLIENT_CLOSED_REQUEST
        found.outcome = "complete"
        if request.was_broken_off:
            found.outcome = "broken off"
        elif request.gone:
            found.outcome = "client gone"


def log_refusal(
    error: S3Error, request_id: str, method: bytes, path: bytes, client: str | None
) -> None:
    """The line of what could not be parsed, and so never became a request."""
    refused = Trail(
        request_id,
        method=_text(method),
        path=_text(path),
        client=client or "",
        error=error.code,
        status=error.status,
        outcome="complete",
    )
    _LOG.emit(LogLevel.info, "{access}", access=refused)


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")


def _first(request: S3Request, name: bytes) -> str:
    values = request.requestHeaders.getRawHeaders(name, [b""])
    return values[0].decode("latin-1")
