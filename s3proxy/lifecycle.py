"""How a daemon comes up, reports that it cannot, follows SIGHUP, and is stopped."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.logger import Logger

from s3proxy.commands.runner import exit_with
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.errors import ConfigError, StoreError
from s3proxy.reload import Reloader, on_hang_up
from s3proxy.workers.crew import CrewFailed

#: What a person needs no traceback of.
_TOLD = (ConfigError, CrewFailed, EmbeddedError, StoreError, CannotListenError)


class Lifecycle(Service):
    """
    Starts everything in order, and stops it in the reverse order.

    A start that fails says why in one line, and ends the process with exit code 1.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._reloader: Reloader | None = None
        self._hung_up = False
        self._starting: Deferred[None] | None = None

    async def _start(self) -> None:
        """Come up; may be cancelled wherever it waits."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Undo what :meth:`_start` has done, as far as it came."""
        raise NotImplementedError

    def startService(self) -> None:
        """Begin when the reactor runs: twistd calls this before it does."""
        super().startService()  # type: ignore[no-untyped-call]
        self._follow_signals()
        self.reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """:returns: Fires when all has been stopped."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    def _follow_signals(self) -> None:
        on_hang_up(self.reactor, self._hang_up)

    def reload_with(self, reloader: Reloader) -> None:
        """Have it act at every SIGHUP from now on, and for those that came before."""
        self._reloader = reloader
        if self._hung_up:
            reloader.soon()

    def _hang_up(self) -> None:
        if self._reloader is None:
            self._hung_up = True  # The start goes on with what it has read.
        elif self.running:
            self._reloader.soon()

    def _begin(self) -> None:
        self._starting = Deferred.fromCoroutine(self._start_or_leave())

    async def _start_or_leave(self) -> None:
        try:
            await self._start()
            return
        except _TOLD as why:
            self.log.critical("s3proxy cannot start: {why}", why=why)
        except CancelledError:
            self.log.info("stopped before it had started")
            return
        except Exception:
            self.log.failure("s3proxy cannot start")
        exit_with(1)
        with suppress(ReactorNotRunning):
            self.reactor.stop()

    async def _stop(self) -> None:
        if self._starting is not None:
            # A start that waits for something gives it up and cleans up after itself.
            self._starting.cancel()
            await _ended(self._starting)
        await self._close()


async def _ended(work: Deferred[Any]) -> None:
    """Wait for *work* without taking over its result."""
    done: Deferred[None] = Deferred()

    def note(result: object) -> object:
        done.callback(None)
        return result

    work.addBoth(note)
    await done
