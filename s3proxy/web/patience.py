"""
Answers that may take long, to clients that would give up on a silent connection.

S3 answers such a request with 200 before it knows the result, and sends blanks until it
does: the XML that follows, maybe an ``<Error>``, is the answer. Clients know it of
CompleteMultipartUpload and of copies, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")


async def patiently(
    work: Awaitable[T],
    beat: Callable[[], None],
    *,
    clock: IReactorTime,
    first_seconds: float,
    each_seconds: float,
) -> T:
    """
    Await *work*, and call *beat* as long as it lasts.

    :param first_seconds: Before the first beat; what takes less is answered as if
        this were not here.
    :param each_seconds: Between beats.
    """
    call: IDelayedCall

    def again() -> None:
        nonlocal call
        call = clock.callLater(each_seconds, again)
        beat()

    call = clock.callLater(first_seconds, again)
    try:
        return await work
    finally:
        call.cancel()
