"""Calls of a backend that may fail for a moment, tried again; and many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from s3proxy.errors import BackendUnavailable

T = TypeVar("T")

#: How long to wait before each further try.
WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0)


async def patiently(clock: IReactorTime, call: Callable[[], Awaitable[T]]) -> T:
    """
    What *call* gives, tried a few times while the backend is unavailable.

    :raises BackendUnavailable: It is so for longer; or any other error, at once.
    """
    for seconds in WAITS_SECONDS:
        try:
            return await call()
        except BackendUnavailable:
            await deferLater(clock, seconds)
    return await call()


async def all_of(calls: Sequence[Deferred[T]]) -> list[T]:
    """
    What all of them give, once the last has ended.

    :raises Exception: What the first of them failed with that did.
    """
    outcomes = await DeferredList(calls, consumeErrors=True)
    for good, outcome in outcomes:
        if not good:
            outcome.raiseException()  # type: ignore[attr-defined]
    return [outcome for _, outcome in outcomes]
