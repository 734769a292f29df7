"""A command runs with the reactor, ends it, and leaves its exit code."""

from __future__ import annotations

import io
from collections.abc import Callable, Coroutine
from typing import cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from s3proxy.commands.runner import CommandService
from s3proxy.errors import StoreUnavailable

Work = Callable[[], Coroutine[Deferred[object], object, int]]


class Reactor(MemoryReactorClock):
    """Notes when it was stopped; a second stop fails, as a real one's does."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1
        if self.stopped > 1:
            raise ReactorNotRunning


class Run:
    """A service around *work*, with what it leaves behind."""

    def __init__(self, work: Work) -> None:
        self.reactor = Reactor()  # type: ignore[no-untyped-call]
        self.codes: list[int] = []
        self.err = io.StringIO()
        self.service = CommandService(
            "check",
            work,
            reactor=self.reactor,
            err=self.err,
            told=(StoreUnavailable,),
            leave=self.codes.append,
        )
        self.service.startService()

    def begin(self) -> None:
        for hook in list(self.reactor.whenRunningHooks):
            hook[0](*hook[1], **hook[2])


@pytest.mark.parametrize("code", [0, 1])
def test_ends_with_the_commands_code(code: int) -> None:
    async def work() -> int:
        return code

    run = Run(work)
    assert run.codes == []
    run.begin()
    assert run.codes == [code]
    assert run.reactor.stopped == 1
    assert run.err.getvalue() == ""
    assert run.service.stopService().called


def test_waits_for_the_command() -> None:
    waiting: Deferred[int] = Deferred()

    async def work() -> int:
        return await waiting

    run = Run(work)
    run.begin()
    assert (run.codes, run.reactor.stopped) == ([], 0)
    waiting.callback(0)
    assert (run.codes, run.reactor.stopped) == ([0], 1)


def test_known_trouble_is_told_in_one_line() -> None:
    async def work() -> int:
        raise StoreUnavailable("cannot connect\nto db:5432")

    run = Run(work)
    run.begin()
    assert run.codes == [2]
    assert run.err.getvalue() == "s3proxy check: cannot connect to db:5432\n"


def test_unknown_trouble_is_logged_with_its_traceback() -> None:
    async def work() -> int:
        raise ZeroDivisionError("oops")

    events: list[LogEvent] = []
    note = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(note)
    try:
        run = Run(work)
        run.begin()
    finally:
        globalLogPublisher.removeObserver(note)
    assert run.codes == [2]
    [failure] = [event["log_failure"] for event in events if "log_failure" in event]
    assert failure.check(ZeroDivisionError)


def test_a_signal_cancels_and_waits_for_the_clean_up() -> None:
    """Stopped early: the command's own clean-up ends before the service does."""
    cleaned: Deferred[None] = Deferred()
    steps: list[str] = []

    async def work() -> int:
        try:
            await Deferred()
        finally:
            steps.append("cleaning")
            await cleaned
            steps.append("clean")
        return 0

    run = Run(work)
    run.begin()
    run.reactor.stop()
    run.service.stopService().addCallback(lambda _: steps.append("stopped"))
    assert steps == ["cleaning"]
    cleaned.callback(None)
    assert steps == ["cleaning", "clean", "stopped"]
    assert run.codes == [2]
    assert "stopped before it was done" in run.err.getvalue()


def test_stopped_before_it_began() -> None:
    async def work() -> int:
        raise AssertionError("it runs")

    run = Run(work)
    assert run.service.stopService().called
