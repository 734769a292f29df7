"""The factory of clients' connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import http, server
from twisted.web.resource import IResource

from s3proxy.s3.hosts import bucket_of
from s3proxy.telemetry.requests import Requests
from s3proxy.web.channel import S3Channel
from s3proxy.web.drain import Drain
from s3proxy.web.limits import Limits
from s3proxy.web.request import S3Request
from s3proxy.web.throttle import Throttle


class StreamingSite(server.Site):
    """
    HTTP/1.1 whose requests are handled when their headers have come.

    :ivar drain: What is at work; its ``drain`` ends it gracefully.
    :ivar throttle: Who is let in.
    :ivar meter: Counts requests; None = nobody does.
    """

    protocol = S3Channel  # type: ignore[assignment]
    resource: IResource

    def __init__(
        self,
        resource: IResource,
        *,
        clock: IReactorTime,
        now: Callable[[], datetime],
        request_ids: Callable[[], str],
        limits: Limits,
        drain: Drain,
        throttle: Throttle,
        routes: Mapping[bytes, bytes],
        branches: Mapping[bytes, bytes] = MappingProxyType({}),
        domains: Sequence[str] = (),
        meter: Requests | None = None,
    ) -> None:
        """
        :param resource: The application.
        :param now: Wall clock, aware.
        :param routes: Targets that are not S3's, and the router's name for each.
        :param branches: Paths that are not S3's with all that is below them.
        :param domains: Below which a host is a bucket's, and so has S3's targets only.
        """
        super().__init__(  # type: ignore[no-untyped-call]
            resource,
            requestFactory=S3Request,
            parsePOSTFormSubmission=False,
            timeout=limits.idle_seconds,
            reactor=clock,
        )
        self.clock = clock
        self.now = now
        self.request_ids = request_ids
        self.limits = limits
        self.drain = drain
        self.throttle = throttle
        self.meter = meter
        self._routes = routes
        self._branches = branches
        self._domains = domains

    def buildProtocol(self, addr: IAddress | None) -> S3Channel | None:  # type: ignore[override]
        """None = there are too many connections: this one is closed."""
        place = self.throttle.enter(getattr(addr, "host", None))
        if place is None:
            return None
        channel: S3Channel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        channel.place = place
        return channel

    def route_of(self, method: bytes, target: bytes, host: bytes) -> bytes:
        """
        The one path segment that the router gets to see.

        Only the exact target, read, is reserved: the same name in another method, or
        with a query, is a bucket's or a key's, and a bucket's host has keys only. Of a
        branch it is the path, up to the query.
        """
        route = b""
        if method in (b"GET", b"HEAD"):
            route = self._routes.get(target, b"")
            for branch, name in self._branches.items():
                path = target.partition(b"?")[0]
                if path == branch or path.startswith(branch + b"/"):
                    route = name
        if route and bucket_of(host.decode("latin-1"), self._domains):
            return b""
        return route

    def startFactory(self) -> None:
        """No access log here: raw targets would bring signatures into it."""

    def stopFactory(self) -> None:
        """See :meth:`startFactory`."""

    def log(self, request: http.Request) -> None:
        """See :meth:`startFactory`."""

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1, whatever else may be installed."""
        return [b"http/1.1"]
