"""Requests and the operations that they ask for, counted."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

from twisted.internet.defer import CancelledError

from s3proxy.errors import ClientGone, S3Error
from s3proxy.observe import Outcome, Passage, current
from s3proxy.telemetry.metrics import Metrics

#: Others are called other: clients make up what they like.
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
_NAMES = {method.encode(): method for method in METHODS}
_OTHER = "other"
#: Where no backend was asked for bytes; no backend can be called that.
NO_BACKEND = "-"

#: As other proxies have it: the client closed the connection before it was answered.
CLIENT_LEFT = 499


class Body(Protocol):
    """Of a request (``web.body.RequestBody``)."""

    @property
    def received(self) -> int:
        """Bytes that came."""
        ...


class Request(Protocol):
    """A request that is answered (``web.request.S3Request``)."""

    @property
    def method(self) -> bytes: ...
    @property
    def code(self) -> int: ...
    @property
    def sentLength(self) -> int: ...
    @property
    def startedWriting(self) -> int: ...
    @property
    def body(self) -> Body: ...
    @property
    def gone(self) -> bool:
        """Whether there is nobody to answer any more."""
        ...

    @property
    def client_left(self) -> bool:
        """Whether that is the client's doing."""
        ...


class Requests:
    """Counts what the front door does."""

    def __init__(self, metrics: Metrics) -> None:
        self._monotonic = metrics.monotonic
        self._total = cache(metrics.counter("s3proxy_requests_total").labels)
        self._seconds = cache(
            metrics.histogram("s3proxy_request_duration_seconds").labels
        )
        self._received = cache(metrics.histogram("s3proxy_request_size_bytes").labels)
        self._sent = cache(metrics.histogram("s3proxy_response_size_bytes").labels)
        self._broken = cache(metrics.counter("s3proxy_broken_answers_total").labels)
        self._operations = cache(
            metrics.counter("s3proxy_manager_requests_total").labels
        )
        self._operation_seconds = cache(
            metrics.histogram("s3proxy_manager_duration_seconds").labels
        )
        inflight = metrics.gauge("s3proxy_inflight_requests")
        self._inflight = {
            method: inflight.labels(method) for method in (*METHODS, _OTHER)
        }

    async def over(self, request: Request, handling: Awaitable[None]) -> None:
        """
        Await the handling of a request, however it ends.

        To be the outermost of a coroutine that is run by itself: what is done under it
        is done for this request.
        """
        method = _NAMES.get(request.method, _OTHER)
        inflight = self._inflight[method]
        current.set(Passage())
        began = self._monotonic()
        inflight.inc()
        try:
            await handling
        finally:
            inflight.dec()
            self._seconds(method).observe(self._monotonic() - began)
            self._note(method, request)

    def refused(self, method: bytes, status: int) -> None:
        """A request was answered before it could be read whole."""
        self._total(_NAMES.get(method, _OTHER), status).inc()

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """An operation of S3, from when it is let through until it can be answered."""
        began = self._monotonic()
        outcome = Outcome.ERROR
        try:
            yield
            outcome = Outcome.SUCCESS
        except BaseException as why:
            outcome = outcome_of(why)
            raise
        finally:
            passage = current.get()
            backend = passage.backend if passage is not None else None
            seconds = self._monotonic() - began
            self._operations(name, backend or NO_BACKEND, outcome.value).inc()
            self._operation_seconds(name, backend or NO_BACKEND).observe(seconds)

    def _note(self, method: str, request: Request) -> None:
        if request.gone and not request.startedWriting:
            status = CLIENT_LEFT
        else:
            status = request.code
            if request.gone:
                by = "client" if request.client_left else "server"
                self._broken(method, by).inc()
        self._total(method, status).inc()
        if method in ("PUT", "POST"):
            self._received(method).observe(request.body.received)
        self._sent(method).observe(request.sentLength)


def outcome_of(why: BaseException) -> Outcome:
    """What an exception says of an operation."""
    if isinstance(why, S3Error) and why.status < 500:
        return Outcome.REFUSED
    if isinstance(why, ClientGone | CancelledError | GeneratorExit):
        return Outcome.ABORTED
    return Outcome.ERROR
