"""No faster than so many bytes a second."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

#: So far ahead of its pace it may be: a wait for every few bytes would be many timers.
_AHEAD_SECONDS = 0.05


@define(eq=False)
class Pace:
    """
    Matches :class:`s3proxy.manager.replicating.Pace`.

    :ivar clock: To wait with.
    :ivar now: Seconds by a clock that nobody sets.
    :ivar bytes_per_second: Of all that spend together; None: as fast as it goes.
    """

    _clock: IReactorTime
    _now: Callable[[], float]
    bytes_per_second: int | None = None
    _paid_until: float = float("-inf")

    async def spend(self, count_bytes: int) -> None:
        """Returns when as many bytes may have gone."""
        if self.bytes_per_second is None:
            return
        now = self._now()
        # Time that was not used is not saved up.
        begin = max(self._paid_until, now)
        self._paid_until = begin + count_bytes / self.bytes_per_second
        wait = self._paid_until - now
        if wait > _AHEAD_SECONDS:
            await deferLater(self._clock, wait)
