"""The ports that clients reach: what they speak, and how many they let in."""

from __future__ import annotations

import resource
from collections.abc import Callable
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from s3proxy.config_model import Config
from s3proxy.config_values import split_address
from s3proxy.reload import Act, Applier
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.requests import Requests
from s3proxy.web.metrics_site import make_metrics_site
from s3proxy.web.rates import Rate, RateLimit
from s3proxy.web.readiness import Readiness
from s3proxy.web.site import StreamingSite
from s3proxy.web.throttle import Throttle
from s3proxy.web.tls import Certificates, TlsFactory

#: Open files of a connection, beside what the process itself needs: its own, and one
#: to a backend.
_FILES_EACH, _FILES_BASE = 2, 500

#: Opens a port: the key of its address, the address, and what speaks there.
Listen = Callable[[str, str, IProtocolFactory], IListeningPort]

#: Settings that a reload puts in force here.
_FOLLOWED = (
    "rate_limit",
    "server.max_buffer_bytes",
    "server.max_connections",
    "server.max_connections_per_ip",
    "server.max_requests",
    "server.tls",
    "server.trusted_proxies",
)


class Front:
    """
    :ivar throttle: For the site that is opened.
    :ivar metrics: What is counted; None = nothing is.
    :ivar requests: Likewise of that site.
    :ivar readiness: What it shows of that, to those who may see names.
    """

    log = Logger()
    readiness: Readiness | None = None

    def __init__(
        self,
        config: Config,
        *,
        reactor: Any,
        now: Callable[[], datetime],
        listen: Listen | None = None,
        rates: Callable[[float, int], Rate] = RateLimit,
    ) -> None:
        """
        :param now: Wall clock, aware.
        :param listen: Opens ports; None = on this process's own sockets.
        :param rates: See :class:`Throttle`.
        :raises ConfigError: The certificate cannot be used, or the directory that
            several processes' metrics are kept in.
        """
        self._config = config
        self._reactor = reactor
        self._now = now
        self._open_port = listen or tcp_ports(reactor)
        tls = config.server.tls
        self._certificates = Certificates(tls, now) if tls is not None else None
        self.throttle = Throttle(config.server, config.rate_limit, reactor, rates)
        self.metrics: Metrics | None = None
        if config.telemetry.metrics.enabled:
            self.metrics = Metrics()
        self.requests = Requests(self.metrics) if self.metrics is not None else None
        self._ports: list[IListeningPort] = []
        self._metrics_site: StreamingSite | None = None

    @property
    def registry(self) -> CollectorRegistry | None:
        """What the metrics page shows; None = there is none."""
        return self.metrics.shown if self.metrics is not None else None

    @property
    def metrics_path(self) -> str | None:
        """Where the S3 listener shows metrics; None = nowhere, or on their own."""
        metrics = self._config.telemetry.metrics
        beside = metrics.enabled and metrics.listen_addr is None
        return metrics.path if beside else None

    def open(self, site: StreamingSite) -> IListeningPort:
        """
        Listen.

        :param site: S3.
        :returns: Its port.
        :raises CannotListenError: An address is taken, or not ours.
        """
        self._raise_file_limit()
        factory: IProtocolFactory = site
        if self._certificates is not None:
            factory = TlsFactory(self._certificates, site, self._reactor)
        server = self._config.server
        port = self._listen("server.listen_addr", server.listen_addr, factory)
        metrics = self._config.telemetry.metrics
        if self.metrics is not None and metrics.listen_addr is not None:
            self._metrics_site = make_metrics_site(
                self.metrics.shown,
                metrics.path,
                clock=self._reactor,
                now=self._now,
                readiness=self.readiness,
            )
            key = "telemetry.metrics.listen_addr"
            own = self._listen(key, metrics.listen_addr, self._metrics_site)
            address: Any = own.getHost()
            self.log.info(
                "metrics on http://{host}:{port}{path}",
                host=address.host,
                port=address.port,
                path=metrics.path,
            )
        return port

    @property
    def applier(self) -> Applier:
        """What follows a changed configuration."""
        return Applier(_FOLLOWED, self._prepare)

    async def _prepare(self, config: Config) -> Act:
        """
        Certificate, rate limit, trusted proxies, caps.

        Addresses, and whether TLS is spoken at all, wait for the next start.
        """
        certificates = self._certificates
        exchange = certificates.prepare(config) if certificates is not None else None
        if certificates is None and config.server.tls is not None:
            self.log.warn(
                "server.tls is new in the configuration: the listener goes on without "
                "TLS until the next start"
            )

        def act() -> None:
            self.throttle.apply(config.server, config.rate_limit)
            if exchange is not None:
                exchange()

        return act

    async def close(self) -> None:
        """Listen no more; connections of the S3 site stay open."""
        ports, self._ports = self._ports, []
        for port in ports:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
        if self._metrics_site is not None:
            await self._metrics_site.drain.drain(0)

    def _listen(
        self, key: str, address: str, factory: IProtocolFactory
    ) -> IListeningPort:
        port = self._open_port(key, address, factory)
        self._ports.append(port)
        return port

    def _raise_file_limit(self) -> None:
        """Allow this process as many open files as its connections take."""
        wanted = _FILES_EACH * self._config.server.max_connections + _FILES_BASE
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            self.log.warn(
                "{allowed} open files are allowed (ulimit -n), and "
                "server.max_connections may take {wanted}: raise the one or lower the "
                "other",
                allowed=allowed,
                wanted=wanted,
            )


def tcp_ports(reactor: Any) -> Listen:
    """Opens ports on sockets of this process."""

    def listen(key: str, address: str, factory: IProtocolFactory) -> IListeningPort:
        host, number = split_address(address)
        port: IListeningPort = reactor.listenTCP(
            number, factory, backlog=511, interface=host
        )
        return port

    return listen
