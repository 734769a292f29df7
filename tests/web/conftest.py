"""A front door on loopback, over objects in memory and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from prometheus_client import CollectorRegistry, Counter
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from s3proxy.config_model import (
    AuthConfig,
    CredentialConfig,
    RateLimitConfig,
    ServerConfig,
)
from s3proxy.telemetry.requests import Requests
from s3proxy.web.app import Pages
from s3proxy.web.assembly import Rooms, make_site
from s3proxy.web.auth import Authenticator
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.keyring import Keyring
from s3proxy.web.limits import Limits
from s3proxy.web.site import StreamingSite
from s3proxy.web.throttle import Throttle
from s3proxy.web.tls import Certificates, TlsFactory
from tests.certificates import Authority
from tests.web.fakes import (
    FakeBuckets,
    FakeBucketTags,
    FakeCopies,
    FakeCors,
    FakeObjects,
    FakeUploads,
)
from tests.web.wire import Response, Wire, bound_window, connect, request, soon

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@define(eq=False)
class Door:
    """
    :ivar clock: Times limits; the network is real.
    :ivar ca: Clients speak TLS and trust this authority (PEM).
    """

    site: StreamingSite
    objects: FakeObjects
    clock: Clock
    port: int
    uploads: FakeUploads
    copies: FakeCopies
    cors: FakeCors
    made: FakeBuckets
    ca: bytes | None = None
    wires: list[Wire] = field(factory=list)

    async def connect(self) -> Wire:
        self.wires.append(await connect(self.port, self.ca))
        return self.wires[-1]

    async def ask(
        self, method: str, target: str, *lines: str, body: bytes = b""
    ) -> Response:
        """One request on a connection of its own."""
        wire = await self.connect()
        wire.send(request(method, target, *lines, body=body))
        answer = await wire.response(head=method == "HEAD")
        wire.close()
        return answer

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the network run until *condition* holds."""
        for _ in range(200_000):
            if condition():
                return
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await soon(turn)
        raise AssertionError("it never came to that")


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """What was logged; failures fail the test, unless it takes them out."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)
    failures = [event for event in events if "log_failure" in event]
    assert not failures, failures[0]["log_failure"].getTraceback()


MakeDoor = Callable[..., Door]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients of TLS doors trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_by() -> Authority | None:
    """Whose certificate the doors show; None = plain HTTP."""
    return None


@pytest_twisted.async_yield_fixture
async def make_door(
    logged: list[LogEvent], tls_by: Authority | None
) -> AsyncIterator[MakeDoor]:
    """
    ``make_door(auth=…, limits=…, rate_limit=…, …)`` listens on loopback; what else is
    given is of the server's configuration.
    """
    ports, doors = [], []

    def make(
        *,
        auth: AuthConfig | None = None,
        credentials: Sequence[CredentialConfig] = (),
        buckets: Sequence[str] = ("unified",),
        limits: Limits | None = None,
        max_object_size: int = 5 * 1024**3,
        metrics_path: str | None = None,
        rate_limit: RateLimitConfig | None = None,
        domains: tuple[str, ...] = (),
        pages: Pages | None = None,
        tally: Callable[[int], None] | None = None,
        meter: Requests | None = None,
        **server: Any,
    ) -> Door:
        objects, clock = FakeObjects(), Clock()
        uploads, copies, made = FakeUploads(), FakeCopies(), FakeBuckets()
        cors = FakeCors()
        registry = CollectorRegistry()
        Counter("seen", "Seen.", registry=registry).inc(3)
        ids = count(1)
        config = ServerConfig(max_object_size=max_object_size, domain=domains, **server)
        directory = BucketDirectory(
            dict.fromkeys(buckets, CREATED), made, {"health", "metrics"}
        )
        site = make_site(
            Rooms(objects, uploads, copies, FakeBucketTags(), cors, directory),
            Authenticator(
                Keyring.of(auth or AuthConfig(), credentials),
                require_signed_payload=config.require_signed_payload,
                regions=("us-east-1",),
                now=lambda: NOW,
            ),
            server=config,
            clock=clock,
            now=lambda: NOW,
            metrics_path=metrics_path,
            registry=registry,
            request_ids=lambda: f"{next(ids):016X}",
            limits=limits,
            throttle=Throttle(config, rate_limit or RateLimitConfig(), clock),
            pages=pages,
            tally=tally,
            meter=meter,
        )
        factory: IProtocolFactory = site
        if tls_by is not None:
            certificates = Certificates(tls_by.issue().config(), lambda: NOW)
            factory = TlsFactory(certificates, site, reactor)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        bound_window(port)
        ports.append(port)
        number = port.getHost().port
        door = Door(site, objects, clock, number, uploads, copies, cors, made)
        door.ca = tls_by.ca_file.read_bytes() if tls_by is not None else None
        doors.append(door)
        return door

    yield make
    for port in ports:
        await port.stopListening()
    for door in doors:
        for wire in door.wires:
            if not wire.ended:
                wire.abort()
                await wire.until(lambda wire=wire: wire.ended)
        await door.until(lambda door=door: not door.site.drain._connections)
        assert door.site.drain.in_flight == 0
        # Whatever was timed has been untimed.
        assert door.clock.getDelayedCalls() == []


@pytest.fixture
def door(make_door: MakeDoor) -> Door:
    """Authentication off."""
    return make_door()
