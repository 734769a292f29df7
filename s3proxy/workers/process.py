"""One worker as the master sees it: a child process with pipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from signal import Signals
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from s3proxy.config_model import Config
from s3proxy.workers import messages
from s3proxy.workers.events import relay, relay_text
from s3proxy.workers.messages import (
    Act,
    Acted,
    Drop,
    Lines,
    Prepare,
    Prepared,
    Ready,
    Start,
    Stop,
)

_OUTPUT, _ERROR = 1, 2


class Listener(Protocol):
    """Who is told of a worker."""

    def serves(self, number: int, settings: tuple[str, ...]) -> None:
        """It serves, and follows a reload in these settings."""
        ...

    def ended(self, number: int, pid: int, how: str) -> None:
        """It is no more."""
        ...


class WorkerProcess(ProcessProtocol):
    """Gives orders, takes answers, and passes on what is logged."""

    transport: IProcessTransport
    log = Logger()

    def __init__(self, number: int, listener: Listener) -> None:
        self.number = number
        self.pid = 0
        self._listener = listener
        self._lines = {
            each: Lines()
            for each in (_OUTPUT, _ERROR, messages.ANSWERS, messages.EVENTS)
        }
        self._asked: dict[int, Deferred[tuple[str, ...] | None]] = {}
        self._acting: dict[int, Deferred[None]] = {}
        self._is_running = True

    def connectionMade(self) -> None:
        """It has been started."""
        self.pid = cast(int, self.transport.pid)

    # Orders.

    def prepare(self, serial: int, config: Config) -> Deferred[tuple[str, ...] | None]:
        """
        Have it get a configuration ready.

        :returns: What is wrong; None when it ended before it answered.
        """
        asked: Deferred[tuple[str, ...] | None] = Deferred()
        if self._is_running:
            self._asked[serial] = asked
            self.tell(Prepare(serial, config))
        else:
            asked.callback(None)
        return asked

    def act(self, serial: int) -> Deferred[None]:
        """Have it put that in force; fires when it has, or has ended."""
        acting: Deferred[None] = Deferred()
        if self._is_running:
            self._acting[serial] = acting
            self.tell(Act(serial))
        else:
            acting.callback(None)
        return acting

    def drop(self, serial: int) -> None:
        """Have it forget that."""
        self.tell(Drop(serial))

    def stop(self) -> None:
        """Have it finish its requests and end."""
        self.tell(Stop())

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(int(Signals.SIGKILL))

    def tell(self, order: messages.Order) -> None:
        """Give an order."""
        if self._is_running:
            self.transport.writeToChild(messages.TOLD, messages.pack(order))

    # What comes back.

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Bytes of one of its pipes."""
        for line in self._lines[childFD].feed(data):
            self._take(childFD, line)

    def childConnectionLost(self, childFD: int) -> None:
        """A pipe is closed: what came last may be no whole line."""
        lines = self._lines.get(childFD)
        rest = lines.rest() if lines is not None else b""
        if rest:
            self._take(childFD, rest)

    def _take(self, descriptor: int, line: bytes) -> None:
        if descriptor == messages.EVENTS:
            relay(self.number, line, globalLogPublisher)
        elif descriptor != messages.ANSWERS:
            relay_text(self.number, line)
        else:
            try:
                answer = messages.read_answer(line)
            except ValueError as why:
                self.log.error("worker {number}: {why}", number=self.number, why=why)
                return
            match answer:
                case Ready(settings):
                    self._listener.serves(self.number, settings)
                case Prepared(serial, problems):
                    asked = self._asked.pop(serial, None)
                    if asked is not None:
                        asked.callback(problems)
                case Acted(serial):
                    acting = self._acting.pop(serial, None)
                    if acting is not None:
                        acting.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """Its pipes are closed, and it is reaped."""
        self._is_running = False
        asked, self._asked = self._asked, {}
        for each in asked.values():
            each.callback(None)
        acting, self._acting = self._acting, {}
        for done in acting.values():
            done.callback(None)
        self._listener.ended(self.number, self.pid, _how(reason))


def _how(reason: Failure) -> str:
    value: Any = reason.value
    if value.signal is not None:
        try:
            return f"by {Signals(value.signal).name}"
        except ValueError:
            return f"by signal {value.signal}"
    return f"with exit code {value.exitCode}"


def spawn(
    reactor: Any,
    start: Start,
    listener: Listener,
    *,
    command: Callable[[int], list[str]],
    environment: Mapping[str, str],
    inherited: Mapping[int, int],
) -> WorkerProcess:
    """
    Start a worker.

    :param command: Its command line, by its number.
    :param inherited: Descriptors of this process, by what they are to be in the worker.
    """
    worker = WorkerProcess(start.number, listener)
    line = command(start.number)
    reactor.spawnProcess(
        worker,
        line[0],
        line,
        env=dict(environment),
        path=None,
        childFDs={
            messages.TOLD: "w",
            _OUTPUT: "r",
            _ERROR: "r",
            messages.ANSWERS: "r",
            messages.EVENTS: "r",
            **inherited,
        },
    )
    worker.tell(start)
    return worker
