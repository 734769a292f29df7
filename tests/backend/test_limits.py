"""Waits that end in time, and waits that are dropped."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from s3proxy.backend.limits import Signal, Stalled, limited


@ensureDeferred
async def test_a_result_in_time(clock: Clock) -> None:
    """It comes through, and no timer stays."""
    result: Deferred[int] = Deferred()
    waiting = limited(result, clock, 10, "it")
    result.callback(5)
    assert await waiting == 5
    assert await limited(succeed(6), clock, 10, "it") == 6
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_failure_in_time(clock: Clock) -> None:
    """It comes through as it is."""
    result: Deferred[int] = Deferred()
    waiting = limited(result, clock, 10, "it")
    result.errback(KeyError("x"))
    with pytest.raises(KeyError):
        await waiting
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_no_result_in_time(clock: Clock) -> None:
    """What was waited for is cancelled; whatever it says to that is not heard."""
    cancelled: list[object] = []
    result: Deferred[int] = Deferred(cancelled.append)
    waiting = limited(result, clock, 10, "nothing")
    clock.advance(10)
    with pytest.raises(Stalled, match="nothing for 10 s"):
        await waiting
    assert cancelled == [result]
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_dropped_wait(clock: Clock) -> None:
    """It fails as cancelled, even where the result makes another error of that."""
    result: Deferred[int] = Deferred(lambda d: d.errback(KeyError("wrapped")))
    waiting = limited(result, clock, 10, "it")
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_signal(clock: Clock) -> None:
    """Firing wakes the one who waits; an unheard one is forgotten."""
    signal = Signal(clock)
    signal.fire()
    waiting = Deferred.fromCoroutine(signal.wait(10, "nothing"))
    assert not waiting.called
    signal.fire()
    await waiting
    assert clock.getDelayedCalls() == []

    waiting = Deferred.fromCoroutine(signal.wait(10, "nothing"))
    clock.advance(10)
    with pytest.raises(Stalled):
        await waiting

    waiting = Deferred.fromCoroutine(signal.wait(10, "nothing"))
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    signal.fire()
    assert clock.getDelayedCalls() == []
