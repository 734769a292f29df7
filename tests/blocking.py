"""
Blocking code that waits for coroutines while the reactor runs: hypothesis's state
machines know no other way.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from greenlet import greenlet
from pytest_twisted import blockon
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def blocking(call: Callable[[], object]) -> Deferred[None]:
    """Run *call*, which may :func:`wait`; fires when it has returned."""
    done: Deferred[None] = Deferred()

    def run() -> None:
        try:
            call()
        except BaseException:
            end = partial(done.errback, Failure())
        else:
            end = partial(done.callback, None)
        # Whoever waits must not go on in this greenlet, which is at its end.
        reactor.callLater(0, end)

    greenlet(run).switch()
    return done


def wait(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of *work*, for code within :func:`blocking`."""
    return blockon(Deferred.fromCoroutine(work))
