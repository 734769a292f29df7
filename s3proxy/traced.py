"""
The seams at which spans begin: manager, ledger, backends, jobs.

Each is a wrapper or a subclass that is built in place of the plain one where tracing is
enabled; where it is not, nothing of this is imported, or runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

import psycopg2
from attrs import define, evolve, field
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse

from s3proxy.backend.signing import SigningAgent
from s3proxy.config_model import BackendConfig, TracingConfig
from s3proxy.store.connection import Row
from s3proxy.store.pool import Pool
from s3proxy.store.statements import name_of
from s3proxy.telemetry.tracing import Tracing, failed, outgoing
from s3proxy.web.assembly import Rooms

T = TypeVar("T")

_ERROR = Status(StatusCode.ERROR)


@define(eq=False)
class TracedPool(Pool):
    """A pool with a span for each statement, its wait for a connection included."""

    tracing: Tracing = field(kw_only=True)

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
    ) -> list[Row]:
        """See :meth:`Pool.query`."""
        return await self._within(
            sql,
            lambda: Pool.query(self, sql, parameters, timeout_seconds=timeout_seconds),
        )

    async def fresh(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """See :meth:`Pool.fresh`."""
        return await self._within(sql, lambda: Pool.fresh(self, sql, parameters))

    async def _within(self, sql: str, work: Callable[[], Awaitable[T]]) -> T:
        name = name_of(sql)
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": self.arguments.get("dbname", ""),
            # Its name in store/queries; the text is there, and parameters stay here.
            "db.query.summary": name,
            "server.address": str(self.arguments.get("host", "")),
        }
        return await self.tracing.within(
            name, SpanKind.CLIENT, attributes, work, _refused
        )


def _refused(span: Span, why: BaseException) -> None:
    code = why.pgcode if isinstance(why, psycopg2.Error) else None
    failed(span, why)
    if code is not None:
        span.set_attributes({"db.response.status_code": code, "error.type": code})


class TracedAgent(SigningAgent):
    """
    An agent with a span for each request, up to the headers of its answer.

    ``traceparent`` goes with the request, unsigned: a backend that does not know it
    passes over it, and one between that changes it spoils no signature.
    """

    def __init__(self, config: BackendConfig, *, tracing: Tracing, **more: Any) -> None:
        super().__init__(config, **more)
        self._tracing = tracing
        self._name = config.name

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :meth:`SigningAgent.request`."""
        name, address = method.decode("ascii"), self.address
        attributes = {
            "http.request.method": name,
            "url.full": uri.decode("ascii", "backslashreplace"),
            "server.address": address.host,
            "server.port": address.port,
            "s3proxy.backend": self._name,
        }
        span, is_recorded = self._tracing.start(name, SpanKind.CLIENT, attributes)
        told = outgoing(span)
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders(b"traceparent", [told.traceparent])
        if told.tracestate:
            headers.setRawHeaders(b"tracestate", [told.tracestate])
        answer = super().request(method, uri, headers, bodyProducer)
        return answer.addBoth(partial(_answered, span)) if is_recorded else answer


def _answered(span: Span, result: Any) -> Any:
    if isinstance(result, Failure):
        failed(span, cast(BaseException, result.value))
    else:
        span.set_attribute("http.response.status_code", result.code)
        if result.code >= 400:
            span.set_attribute("error.type", str(result.code))
            span.set_status(_ERROR)
    span.end()
    return result


class TracedRoom:
    """Stands for an object of the manager's, with a span for each of its operations."""

    def __init__(self, inner: object, tracing: Tracing) -> None:
        self._inner = inner
        kind = type(inner)
        for name in dir(kind):
            if not name.startswith("_") and iscoroutinefunction(getattr(kind, name)):
                label = f"{kind.__name__}.{name}"
                setattr(self, name, _operation(tracing, label, getattr(inner, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _operation(
    tracing: Tracing, label: str, method: Callable[..., Awaitable[T]]
) -> Callable[..., Awaitable[T]]:
    async def traced(*args: Any, **named: Any) -> T:
        work = partial(method, *args, **named)
        return await tracing.within(label, SpanKind.INTERNAL, {}, work)

    return traced


class Traced:
    """
    What is built in place of the plain parts.

    :ivar seams: For :func:`s3proxy.foundation.open_foundation`.
    """

    def __init__(self, config: TracingConfig, reactor: Any) -> None:
        """See :class:`Tracing`."""
        self.tracing = Tracing(config, reactor)
        self.seams: dict[str, Any] = {
            "make_pool": partial(TracedPool, tracing=self.tracing),
            "make_agent": partial(TracedAgent, tracing=self.tracing),
        }

    def rooms(self, rooms: Rooms) -> Rooms:
        """What handlers call, with a span for each operation of the manager's."""

        def of(room: T) -> T:
            return cast(T, TracedRoom(room, self.tracing))

        return evolve(
            rooms,
            objects=of(rooms.objects),
            uploads=of(rooms.uploads),
            copies=of(rooms.copies),
        )
