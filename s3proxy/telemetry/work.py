"""Calls of backends, statements of the ledger, rounds of jobs: counted."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import cache
from typing import TypeVar

from twisted.internet.defer import CancelledError

from s3proxy.errors import BackendError, OutcomeUnknown, StoreError
from s3proxy.observe import Outcome
from s3proxy.telemetry.metrics import Metrics

T = TypeVar("T")

#: Calls that each backend gets sooner or later: they are shown from the start, so that
#: the first failure is a step from 0 that an alert can see.
CALLS = ("PutObject", "GetObject", "CopyObject", "DeleteObject", "HeadObject")
#: What a breaker stands before.
BREAKERS = ("write", "read")


class BackendCalls:
    """Matches :class:`s3proxy.observe.BackendWatch`."""

    def __init__(self, metrics: Metrics, backends: Iterable[str]) -> None:
        self._total = cache(metrics.counter("s3proxy_backend_requests_total").labels)
        self._seconds = cache(
            metrics.histogram("s3proxy_backend_duration_seconds").labels
        )
        self._errors = cache(metrics.counter("s3proxy_backend_errors_total").labels)
        self._opened = cache(metrics.counter("s3proxy_breaker_opened_total").labels)
        state = metrics.gauge("s3proxy_breaker_state")
        for backend in backends:
            for operation in CALLS:
                for outcome in (Outcome.SUCCESS, Outcome.ERROR):
                    self._total(operation, backend, outcome.value)
            for calls in BREAKERS:
                self._opened(backend, calls)
                state.labels(backend, calls).set(0)

    def called(
        self,
        backend: str,
        operation: str,
        seconds: float | None,
        why: BaseException | None,
    ) -> None:
        """See :class:`~s3proxy.observe.BackendWatch`."""
        outcome = Outcome.SUCCESS
        if isinstance(why, CancelledError | GeneratorExit):
            outcome = Outcome.ABORTED
        elif why is not None:
            outcome = Outcome.ERROR
            # Named by the classes of s3proxy.errors, which are few.
            kind = "other"
            if isinstance(why, BackendError):
                kind = type(why).__name__.removeprefix("Backend").lower()
            self._errors(operation, backend, kind).inc()
        self._total(operation, backend, outcome.value).inc()
        if seconds is not None:
            self._seconds(operation, backend).observe(seconds)

    def opened(self, backend: str, calls: str) -> None:
        """See :class:`~s3proxy.observe.BackendWatch`."""
        self._opened(backend, calls).inc()


class Statements:
    """Matches :class:`s3proxy.observe.StatementWatch`."""

    def __init__(self, metrics: Metrics) -> None:
        self._monotonic = metrics.monotonic
        self._total = cache(metrics.counter("s3proxy_ledger_statements_total").labels)
        self._seconds = cache(
            metrics.histogram("s3proxy_ledger_statement_duration_seconds").labels
        )

    async def statement(self, name: str, work: Awaitable[T]) -> T:
        """See :class:`~s3proxy.observe.StatementWatch`."""
        began = self._monotonic()
        status = "unavailable"
        try:
            result = await work
            status = "success"
            return result
        except OutcomeUnknown:
            status = "unknown"
            raise
        except StoreError:
            raise
        except Exception:
            status = "refused"
            raise
        finally:
            self._total(name, status).inc()
            self._seconds(name).observe(self._monotonic() - began)


class Rounds:
    """Matches :class:`s3proxy.observe.RoundWatch`."""

    def __init__(self, metrics: Metrics) -> None:
        self._monotonic, self._now = metrics.monotonic, metrics.now
        self._total = cache(metrics.counter("s3proxy_task_runs_total").labels)
        self._seconds = cache(metrics.histogram("s3proxy_task_duration_seconds").labels)
        self._ended_well = metrics.gauge("s3proxy_task_last_success_timestamp_seconds")

    def expect(self, job: str) -> None:
        """A job that there is: it is shown before its first round."""
        for outcome in (Outcome.SUCCESS, Outcome.ERROR):
            self._total(job, outcome.value)

    async def round(self, job: str, work: Awaitable[T]) -> T:
        """See :class:`~s3proxy.observe.RoundWatch`."""
        began = self._monotonic()
        outcome = Outcome.ERROR
        try:
            result = await work
            outcome = Outcome.SUCCESS
            self._ended_well.labels(job).set(self._now())
            return result
        except (CancelledError, GeneratorExit):
            outcome = Outcome.ABORTED
            raise
        finally:
            self._total(job, outcome.value).inc()
            self._seconds(job).observe(self._monotonic() - began)
