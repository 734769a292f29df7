"""A front door for Prometheus alone, on a listener of its own."""

# mypy: allow-untyped-calls
# (twisted.web.resource has few annotations.)

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from s3proxy.config_model import RateLimitConfig, ServerConfig
from s3proxy.errors import NoSuchKey
from s3proxy.web.answer import Answer
from s3proxy.web.drain import Drain
from s3proxy.web.limits import Limits
from s3proxy.web.request import S3Request
from s3proxy.web.requestid import request_id
from s3proxy.web.site import StreamingSite
from s3proxy.web.throttle import Throttle

#: Scrapers are few.
MAX_CONNECTIONS = 50


@implementer(IResource)
class MetricsPage(Resource):
    """The metrics, ``ok`` for ``/health``, and nothing else."""

    isLeaf = True

    def __init__(self, registry: CollectorRegistry, path: str) -> None:
        super().__init__()
        self._registry = registry
        self._path = path

    def render(self, request: S3Request) -> int:
        """Answer at once: there is nothing to wait for."""
        route = request.site.route_of(request.method, request.uri, b"")
        if route == b"metrics":
            page = generate_latest(self._registry)
            answer = Answer.text(page, CONTENT_TYPE_LATEST)
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


def make_metrics_site(
    registry: CollectorRegistry,
    path: str,
    *,
    clock: IReactorTime,
    now: Callable[[], datetime],
) -> StreamingSite:
    """
    :param path: Where *registry* is shown.
    :param now: Wall clock, aware.
    """
    server = ServerConfig(max_connections=MAX_CONNECTIONS)
    return StreamingSite(
        MetricsPage(registry, path),
        clock=clock,
        now=now,
        request_ids=request_id,
        limits=Limits(),
        drain=Drain(clock),
        throttle=Throttle(server, RateLimitConfig(), clock),
        routes={b"/health": b"health", path.encode(): b"metrics"},
    )
