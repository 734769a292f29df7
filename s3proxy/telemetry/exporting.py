"""
Spans on their way to the collector, over OTLP/gRPC, from a thread of their own.

The reactor only puts a span into a bounded queue. A collector that is slow or away
costs the spans that the queue has no room for, and nothing else.

Imports gRPC: only :mod:`s3proxy.telemetry.tracing` may import this, and it is imported
only where tracing is enabled.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

# gRPC's core writes to standard error by itself; what fails is told here, in one line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.config_model import TracingConfig

#: Spans that wait; about 2 KB each.
QUEUE_SPANS = 4096
#: How long one batch is tried, its retries and all.
EXPORT_SECONDS = 10
#: How long a stop waits for the last spans; where the last batch had failed already.
FLUSH_SECONDS, HOPELESS_SECONDS = 3.0, 0.5
#: How often the log repeats that the collector does not answer.
REPEAT_SECONDS = 600.0


class Exporter(SpanExporter):
    """
    Tells when spans cannot be sent, and when they can again; not every batch.

    :ivar is_failing: The last batch was lost.
    """

    _log = Logger()

    def __init__(self, inner: SpanExporter, endpoint: str, reactor: Any) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._reactor = reactor
        self._lost = 0
        self._told_seconds: float | None = None
        self._said_seconds: float | None = None
        self.is_failing = False
        self.reason = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; called in the sending thread."""
        try:
            result = self._inner.export(spans)
        except Exception as why:
            self.reason = f"{type(why).__name__}: {why}"
            result = SpanExportResult.FAILURE
        # The log's observers expect to be called in one thread.
        self._reactor.callFromThread(self._note, result, len(spans))
        return result

    def shutdown(self) -> None:
        """Send no more; an attempt under way ends."""
        self._inner.shutdown()

    def say(self, text: str) -> None:
        """Log what OpenTelemetry has to say beside; in the reactor, and seldom."""
        now = self._reactor.seconds()
        if self._said_seconds is None or now - self._said_seconds >= REPEAT_SECONDS:
            self._said_seconds = now
            self._log.warn("tracing: {text}", text=text)

    def _note(self, result: SpanExportResult, count: int) -> None:
        now = self._reactor.seconds()
        if result is SpanExportResult.SUCCESS:
            if self.is_failing:
                self._log.info(
                    "traces are sent to {endpoint} again; about {lost} spans were lost",
                    endpoint=self._endpoint,
                    lost=self._lost,
                )
            self.is_failing, self._lost, self._told_seconds = False, 0, None
            return
        self.is_failing = True
        self._lost += count
        if self._told_seconds is None or now - self._told_seconds >= REPEAT_SECONDS:
            self._told_seconds = now
            self._log.warn(
                "traces cannot be sent to {endpoint}: {reason}. Requests are served as "
                "ever, their traces are lost. See telemetry.tracing",
                endpoint=self._endpoint,
                reason=self.reason or "the collector refuses them",
            )


class _Reasons(logging.Handler):
    """What OpenTelemetry logs by itself: why a batch failed; that the queue is full."""

    def __init__(self, exporter: Exporter, reactor: Any) -> None:
        super().__init__(logging.WARNING)
        self._exporter = exporter
        self._reactor = reactor

    def emit(self, record: logging.LogRecord) -> None:
        """Called in any thread."""
        text = " ".join(record.getMessage().split())[:300]
        if record.name.startswith("opentelemetry.exporter"):
            # "Failed to export traces to …, error code: …", of which we say the first.
            self._exporter.reason = text.rpartition("error code: ")[2]
        else:
            self._reactor.callFromThread(self._exporter.say, text)


class Sender:
    """
    The queue, the thread and the connection.

    :ivar processor: To be given to a tracer provider.
    """

    def __init__(
        self,
        config: TracingConfig,
        reactor: Any,
        inner: SpanExporter | None = None,
    ) -> None:
        """
        :param inner: Sends; OTLP over gRPC when None.
        """
        assert config.endpoint is not None
        self._reactor = reactor
        self._inner = inner or OTLPSpanExporter(
            endpoint=config.endpoint, insecure=config.insecure, timeout=EXPORT_SECONDS
        )
        self.exporter = Exporter(self._inner, config.endpoint, reactor)
        self._logger = logging.getLogger("opentelemetry")
        self._logger.propagate = False
        self._reasons = _Reasons(self.exporter, reactor)
        self._logger.addHandler(self._reasons)
        self.processor = BatchSpanProcessor(self.exporter, max_queue_size=QUEUE_SPANS)

    async def close(self) -> None:
        """
        Send what waits, for a limited time; then drop it.

        The thread is a daemon's: if it hangs all the same, the process ends without it.
        """
        flushed = self._in_thread(self.processor.shutdown)
        limit = HOPELESS_SECONDS if self.exporter.is_failing else FLUSH_SECONDS
        if not await self._within(flushed, limit):
            # Ends an attempt under way, and its waits between retries.
            self._in_thread(self._inner.shutdown)
            await self._within(flushed, HOPELESS_SECONDS)
        self._logger.removeHandler(self._reasons)

    def _in_thread(self, work: Callable[[], object]) -> Deferred[None]:
        """Not in the reactor's pool, which a stop waits for without a limit."""
        done: Deferred[None] = Deferred()

        def run() -> None:
            try:
                work()
            finally:
                self._reactor.callFromThread(done.callback, None)

        threading.Thread(target=run, name="traces: close", daemon=True).start()
        return done

    async def _within(self, work: Deferred[None], seconds: float) -> bool:
        """Whether *work* was done in time; it goes on in any case."""
        waiting: Deferred[bool] = Deferred()

        def fire(result: bool) -> None:
            if not waiting.called:
                waiting.callback(result)

        timer = self._reactor.callLater(seconds, fire, False)
        work.addCallback(lambda _: fire(True))
        in_time = await waiting
        if timer.active():
            timer.cancel()
        return in_time
