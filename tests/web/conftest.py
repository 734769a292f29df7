"""A front door on loopback, over objects in memory and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
import pytest_twisted
from attrs import define, field
from prometheus_client import CollectorRegistry, Counter
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from s3proxy.config_model import AuthConfig, ServerConfig
from s3proxy.web.app import make_site
from s3proxy.web.auth import Authenticator
from s3proxy.web.limits import Limits
from s3proxy.web.site import StreamingSite
from tests.web.fakes import FakeCopies, FakeCors, FakeObjects, FakeUploads
from tests.web.wire import Response, Wire, connect, request, soon

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@define(eq=False)
class Door:
    """
    :ivar clock: Times limits; the network is real.
    """

    site: StreamingSite
    objects: FakeObjects
    clock: Clock
    port: int
    uploads: FakeUploads
    copies: FakeCopies
    cors: FakeCors
    wires: list[Wire] = field(factory=list)

    async def connect(self) -> Wire:
        self.wires.append(await connect(self.port))
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


@pytest_twisted.async_yield_fixture
async def make_door(logged: list[LogEvent]) -> AsyncIterator[MakeDoor]:
    """``make_door(auth=…, limits=…, max_object_size=…)`` listens on loopback."""
    ports, doors = [], []

    def make(
        *,
        auth: AuthConfig | None = None,
        limits: Limits | None = None,
        max_object_size: int = 5 * 1024**3,
        metrics_path: str | None = None,
        domains: tuple[str, ...] = (),
    ) -> Door:
        objects, clock = FakeObjects(), Clock()
        uploads, copies, cors = FakeUploads(), FakeCopies(), FakeCors()
        registry = CollectorRegistry()
        Counter("seen", "Seen.", registry=registry).inc(3)
        ids = count(1)
        site = make_site(
            objects,
            Authenticator(
                auth or AuthConfig(), regions=("us-east-1",), now=lambda: NOW
            ),
            uploads=uploads,
            copies=copies,
            cors=cors,
            server=ServerConfig(max_object_size=max_object_size, domain=domains),
            clock=clock,
            now=lambda: NOW,
            buckets={"unified": CREATED},
            metrics_path=metrics_path,
            registry=registry,
            request_ids=lambda: f"{next(ids):016X}",
            limits=limits,
        )
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        ports.append(port)
        door = Door(site, objects, clock, port.getHost().port, uploads, copies, cors)
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
