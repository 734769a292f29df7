"""A front door for Prometheus alone, on a listener of its own."""

# mypy: allow-untyped-calls
# (twisted.web.resource has few annotations.)

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from s3proxy.config_model import RateLimitConfig, ServerConfig
from s3proxy.errors import NoSuchKey
from s3proxy.web.answer import Answer
from s3proxy.web.drain import Drain
from s3proxy.web.limits import Limits
from s3proxy.web.readiness import Readiness
from s3proxy.web.request import S3Request
from s3proxy.web.requestid import request_id
from s3proxy.web.site import StreamingSite
from s3proxy.web.throttle import Throttle

#: Scrapers are few.
MAX_CONNECTIONS = 50


@implementer(IResource)
class MetricsPage(Resource):
    """The metrics, ``/health``, ``/health/ready`` with names, and nothing else."""

    isLeaf = True

    def __init__(
        self, registry: CollectorRegistry, path: str, readiness: Readiness | None = None
    ) -> None:
        super().__init__()
        self._readiness = readiness
        self._registry = registry
        self._path = path

    def render(self, request: S3Request) -> int:
        """Answer at once, where there is nothing to wait for."""
        route = request.site.route_of(request.method, request.uri, b"")
        if route == b"metrics":
            page = generate_latest(self._registry)
            answer = Answer.text(page, CONTENT_TYPE_LATEST)
        elif route == b"ready" and self._readiness is not None:
            Deferred.fromCoroutine(self._tell(request, self._readiness))
            return int(NOT_DONE_YET)
        elif route == b"health":
            answer = Answer.text(b"ok")
        else:
            answer = Answer.error(
                NoSuchKey(f"There is GET {self._path} here, and GET /health."),
                request_id=request.request_id,
                resource=request.path,
            )
        request.write_answer(answer)
        request.finish()
        return int(NOT_DONE_YET)

    async def _tell(self, request: S3Request, readiness: Readiness) -> None:
        draining = request.site.drain.draining
        answer = await readiness.report(draining=draining, detailed=True)
        if not request.gone:
            request.write_answer(answer)
            request.finish()


def make_metrics_site(
    registry: CollectorRegistry,
    path: str,
    *,
    clock: IReactorTime,
    now: Callable[[], datetime],
    readiness: Readiness | None = None,
) -> StreamingSite:
    """
    :param path: Where *registry* is shown.
    :param now: Wall clock, aware.
    :param readiness: What ``/health/ready`` says.
    """
    server = ServerConfig(max_connections=MAX_CONNECTIONS)
    return StreamingSite(
        MetricsPage(registry, path, readiness),
        clock=clock,
        now=now,
        request_ids=request_id,
        limits=Limits(),
        drain=Drain(clock),
        throttle=Throttle(server, RateLimitConfig(), clock),
        routes={
            b"/health": b"health",
            b"/health/ready": b"ready",
            path.encode(): b"metrics",
        },
    )
