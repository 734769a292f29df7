"""
One worker: the same daemon, on sockets that the master has opened.

A composition root, beside :mod:`s3proxy.service`, and the main module of a process of
its own: Twisted cannot fork once it has a reactor. What is configured comes through a
pipe from the master; when that pipe ends the master is gone, and so is the worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure

from s3proxy import __version__
from s3proxy.config import Config
from s3proxy.errors import ConfigError, StoreError
from s3proxy.foundation import Foundation
from s3proxy.front import Front, Listen
from s3proxy.reload import Applier, prepare_all
from s3proxy.service import Daemon, now
from s3proxy.telemetry.logs import quieten
from s3proxy.web.shared_rates import SharedRateLimit, Table
from s3proxy.workers import messages
from s3proxy.workers.events import Sender
from s3proxy.workers.messages import (
    Act,
    Acted,
    Answer,
    Drop,
    Order,
    Orders,
    Prepare,
    Prepared,
    Ready,
    Socket,
    Start,
    Stop,
)

_PR_SET_PDEATHSIG = 1


class Worker(Daemon):
    """Serves, and does what the master says."""

    log = Logger()
    warns = False  # The master has warned.

    def __init__(self, start: Start, reactor: Any) -> None:
        super().__init__(
            start.config,
            reactor,
            start.accept_moved,
            False,
            sys.stdout,
            None,
        )
        self.number = start.number
        self._sockets = start.sockets
        self._rates = partial(SharedRateLimit, Table(start.rates))
        self._control = Control(self)
        self._appliers: Sequence[Applier] | None = None
        self._waiting: list[Prepare] = []
        self._prepared: dict[int, Callable[[], Awaitable[None]]] = {}

    def startService(self) -> None:
        """Take orders, and begin with the reactor."""
        pipes: Any = StandardIO
        pipes(self._control, messages.TOLD, messages.ANSWERS, reactor=self.reactor)
        super().startService()

    def _follow_signals(self) -> None:
        # The master tells what a hang-up means; a terminal tells it to everybody.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _make_front(self, config: Config) -> Front:
        return Front(
            config,
            reactor=self.reactor,
            now=now,
            listen=inherited_ports(self.reactor, self._sockets),
            rates=self._rates,
        )

    def _announce(self, address: Any, foundation: Foundation, config: Config) -> None:
        self.log.info("process {pid} serves", pid=os.getpid())

    def _follow(self, config: Config, appliers: Sequence[Applier]) -> None:
        self._appliers = appliers
        self.answer(Ready(tuple(p for each in appliers for p in each.settings)))
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self.obey(each)

    def answer(self, answer: Answer) -> None:
        """Tell the master."""
        self._control.transport.write(messages.answer_line(answer))

    def obey(self, order: Order) -> None:
        """Do as the master says."""
        match order:
            case Prepare() if self._appliers is None:
                self._waiting.append(order)  # It does not serve yet.
            case Prepare(serial, config):
                Deferred.fromCoroutine(self._prepare(serial, config))
            case Act(serial):
                Deferred.fromCoroutine(self._act(serial))
            case Drop(serial):
                self._prepared.pop(serial, None)
                self._waiting = [x for x in self._waiting if x.serial != serial]
            case Stop():
                with suppress(ReactorNotRunning):
                    self.reactor.stop()

    async def _act(self, serial: int) -> None:
        act = self._prepared.pop(serial, None)
        if act is not None:
            await act()
        self.answer(Acted(serial))

    async def _prepare(self, serial: int, config: Config) -> None:
        problems: list[str] = []
        try:
            assert self._appliers is not None
            # One at a time: what is left of an earlier one was dropped.
            self._prepared = {serial: await prepare_all(self._appliers, config)}
        except (ConfigError, StoreError) as why:
            problems = str(why).splitlines() or [type(why).__name__]
        except Exception as why:
            self.log.failure("the reload cannot be prepared")
            problems = [
                f"worker {self.number}: {type(why).__name__}; its log says more"
            ]
        self.answer(Prepared(serial, tuple(problems)))


class Control(Protocol):
    """The pipes to the master and back."""

    transport: Any

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._orders = Orders()

    def dataReceived(self, data: bytes) -> None:
        """Orders come."""
        for order in self._orders.feed(data):
            self._worker.obey(order)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master is gone, and where it could not take us along, we go now."""
        if self._worker.running:
            os._exit(1)


class FairPort(tcp.Port):
    """
    A port that accepts one connection at a time.

    Twisted's own takes all that wait: of clients that come together, the first worker
    to look would get every one.
    """

    @property
    def numberAccepts(self) -> int:
        """How many are accepted before the reactor looks elsewhere."""
        return 1

    @numberAccepts.setter
    def numberAccepts(self, value: int) -> None:
        """Twisted adapts it to what it finds; here it stays."""


def inherited_ports(reactor: Any, sockets: Mapping[str, Socket]) -> Listen:
    """Opens ports on sockets that the master has opened."""

    def listen(key: str, address: str, factory: IProtocolFactory) -> IListeningPort:
        inherited = sockets[key]
        # As adoptStreamPort does, which makes no ports of another class.
        port: IListeningPort
        port = FairPort._fromListeningDescriptor(  # type: ignore[no-untyped-call]
            reactor, inherited.descriptor, inherited.family, factory
        )
        port.startListening()
        os.close(inherited.descriptor)  # The port has one of its own.
        return port

    return listen


def main() -> None:
    """Serve until told to stop, or until the master is gone."""
    _die_with_the_master()
    # Those of a terminal or a log rotation go to the whole group.
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    version = os.environ.pop("S3PROXY_VERSION")
    if version != __version__:
        sys.exit(
            f"the daemon is s3proxy {version}, and {__version__} is installed by now: "
            "no worker can be started until the daemon is started again"
        )
    with os.fdopen(messages.TOLD, "rb", buffering=0, closefd=False) as told:
        start = messages.read_first(lambda size: _read(told, size))
    if not isinstance(start, Start):
        sys.exit(1)
    globalLogBeginner.beginLoggingTo([Sender(messages.EVENTS)])
    quieten()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    service = Worker(start, reactor)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


def _die_with_the_master() -> None:
    """
    Have the kernel end this process with its parent, also when it is stuck.

    Elsewhere than on Linux, the end of the pipe does it.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _read(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data
