"""A server as our child process: started, watched, started again, stopped."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import Protocol, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import (
    IProcessTransport,
    IReactorProcess,
    IReactorThreads,
    IReactorTime,
)
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from s3proxy.embedded.errors import EmbeddedError

log = Logger()

POLL_SECONDS = 0.05
LOG_FILE_BYTES = 4 * 1024 * 1024
TAIL_LINES = 20
FIRST_BACKOFF_SECONDS = 0.5
LAST_BACKOFF_SECONDS = 30.0


class EmbeddedReactor(IReactorProcess, IReactorTime, IReactorThreads):
    """What this room needs of a reactor."""


class Child(ProcessProtocol):
    """
    One run of a program; what it writes goes to a log file that rotates.

    :ivar ended: Fires with words for how it ended; never fails.
    :ivar succeeded: It has ended, and with status 0.
    :ivar tail: The last lines that it wrote.
    """

    transport: IProcessTransport

    def __init__(self, log_file: LogFile) -> None:
        self.ended: Deferred[str] = Deferred()
        self.is_running = True
        self.succeeded = False
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log_file = log_file

    @property
    def last_words(self) -> str:
        """The last lines that it wrote, for a message."""
        return "\n".join(self.tail)

    @property
    def pid(self) -> int:
        """Its process id; 0 once it has ended."""
        return cast(int, self.transport.pid) or 0

    def outReceived(self, data: bytes) -> None:
        """Standard output and standard error are one to us."""
        # A full disk must not stop us from reading: the server would block.
        with suppress(OSError):
            self._log_file.write(data)  # type: ignore[no-untyped-call]
        self.tail.extend(data.decode(errors="replace").splitlines())

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """Both pipes are closed and the process is reaped."""
        self.is_running = False
        self.succeeded = isinstance(reason.value, ProcessDone)
        self._log_file.close()  # type: ignore[no-untyped-call]
        self.ended.callback(reason.getErrorMessage())

    def signal(self, number: Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        with suppress(ProcessExitedAlready):
            # The number: of the names, Twisted knows only some.
            self.transport.signalProcess(int(number))

    async def wait(self) -> str:
        """Wait for the end; may be called by several and again."""
        waiting: Deferred[str] = Deferred()

        def pass_on(how: str) -> str:
            if not waiting.called:
                waiting.callback(how)
            return how

        self.ended.addCallback(pass_on)
        return await waiting


def spawn(
    reactor: EmbeddedReactor,
    command: list[str],
    *,
    directory: Path,
    log_path: Path,
    environment: dict[str, str] | None = None,
) -> Child:
    """
    Start a program.

    It gets none of our environment, which may hold secrets of the configuration.

    :param directory: Where it runs; its user may enter it.
    :param log_path: Where its output is appended.
    """
    child = Child(
        LogFile(  # type: ignore[no-untyped-call]
            log_path.name,
            str(log_path.parent),
            rotateLength=LOG_FILE_BYTES,
            maxRotatedFiles=2,
            defaultMode=0o600,
        )
    )
    inherited = {"PATH": os.environ.get("PATH", os.defpath)}
    reactor.spawnProcess(
        child,
        command[0],
        command,
        env={**inherited, "HOME": str(directory), "LC_ALL": "C", **(environment or {})},
        path=str(directory),
    )
    return child


class Program(Protocol):
    """What a supervised server is."""

    name: str

    async def launch(self) -> Child:
        """
        Start it and wait until it serves.

        :raises EmbeddedError: It does not start; it is not running then.
        """
        ...

    async def end(self, child: Child) -> None:
        """Stop it in order, and wait until it has ended."""
        ...


class Supervisor:
    """Keeps one server running between :meth:`start` and :meth:`stop`."""

    def __init__(self, program: Program, clock: IReactorTime) -> None:
        self._program = program
        self._clock = clock
        self._child: Child | None = None
        self._watch: Deferred[None] | None = None

    async def start(self) -> None:
        """
        Start the server.

        :raises EmbeddedError: It does not start; it is not running then.
        """
        self._child = await self._program.launch()
        self._watch = Deferred.fromCoroutine(self._keep_running())

    async def stop(self) -> None:
        """Stop it and wait until it has ended. Calling it again is fine."""
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.cancel()
            await watch
        if self._child is not None and self._child.is_running:
            await self._program.end(self._child)

    async def _keep_running(self) -> None:
        backoff_seconds = FIRST_BACKOFF_SECONDS
        while True:
            assert self._child is not None
            started = self._clock.seconds()
            try:
                how = await self._child.wait()
                log.error(
                    "the embedded {name} ended by itself and is started again: {how}",
                    name=self._program.name,
                    how=how,
                )
                if self._clock.seconds() - started > LAST_BACKOFF_SECONDS:
                    backoff_seconds = FIRST_BACKOFF_SECONDS
                while not self._child.is_running:
                    await deferLater(self._clock, backoff_seconds)
                    backoff_seconds = min(2 * backoff_seconds, LAST_BACKOFF_SECONDS)
                    self._child = await self._program.launch()
            except CancelledError:
                return
            except EmbeddedError as why:
                log.error("{why}", why=why)
