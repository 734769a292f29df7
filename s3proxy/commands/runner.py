"""
Subcommands: run one coroutine in the foreground, then end with its exit code.

A command is a module here with ``async def run(context, …, out) -> int``. Exit codes:
0 done (for ``check``: clean), 1 a difference was found, 2 it could not be done.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TextIO

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

FAILED = 2


def exit_with(code: int) -> None:
    """
    Let the process end with *code* once twistd is done.

    twistd's script ends with 0 whatever happened. A handler at exit runs after twistd
    has stopped its services and removed its pid file, and can still set the code.
    """
    atexit.register(_leave, code)


def _leave(code: int) -> None:
    _flush()
    os._exit(code)


def _flush() -> None:
    # Not sys.stdout: twistd has put its log there by now.
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()


class CommandService(Service):
    """
    Runs a command when the reactor runs, and stops the reactor after it.

    Stopped earlier (a signal), it cancels the command and waits for its clean-up.

    :param work: Returns the exit code.
    :param told: Exceptions of *work* whose text is all that a person needs; any other
        one is logged with its traceback.
    :param leave: What sets the process's exit code.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        work: Callable[[], Coroutine[Deferred[object], object, int]],
        *,
        reactor: IReactorCore,
        err: TextIO,
        told: tuple[type[Exception], ...],
        leave: Callable[[int], None] = exit_with,
    ) -> None:
        self.command = name
        self._work = work
        self._reactor = reactor
        self._err = err
        self._told = told
        self._leave = leave
        self._running: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Begin with the reactor, which does not run yet when twistd calls this."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """:returns: Fires when the command's own clean-up is done."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._running.cancel()
        return self._running

    def _begin(self) -> None:
        self._running = Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        code = FAILED
        try:
            code = await self._work()
        except CancelledError:
            self._tell("stopped before it was done")
        except self._told as why:
            self._tell(str(why) or type(why).__name__)
        except Exception:
            self.log.failure("{command} failed", command=self.command)
        # Now: twistd may end by a signal, and then nothing runs at exit.
        _flush()
        self._leave(code)
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def _tell(self, text: str) -> None:
        line = " ".join(text.splitlines())
        self._err.write(f"s3proxy {self.command}: {line}\n")
