"""How fast one client may send requests: a bucket of tokens for each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from attrs import define, field

#: Clients that are remembered. A forgotten one begins with a full bucket.
MAX_CLIENTS = 65_536


class Rate(Protocol):
    """How fast clients may send."""

    def take(self, client: str, now: float) -> float:
        """See :meth:`RateLimit.take`."""
        ...


def step(
    full_at: float, now: float, per_second: float, burst: int
) -> tuple[float, float]:
    """
    Take a token from one bucket.

    :param full_at: When it will be full again; a time that is over = it is.
    :returns: That time from now on, and what :meth:`RateLimit.take` returns.
    """
    whole = burst / per_second
    each = 1 / per_second
    full_at = min(max(full_at, now), now + whole)
    wait = full_at + each - (now + whole)
    # A hair's breadth is rounding, not a missing token.
    if wait > each * 1e-6:
        return full_at, wait
    return full_at + each, 0.0


@define(eq=False)
class RateLimit:
    """
    A bucket holds *burst* tokens at most and gains *per_second*; a request costs one.

    Kept for each client is one number, the time at which its bucket will be full again.
    Who is full need not be remembered.
    """

    _per_second: float
    _burst: int
    _max_clients: int = MAX_CLIENTS
    _full_at: OrderedDict[str, float] = field(factory=OrderedDict, init=False)

    def take(self, client: str, now: float) -> float:
        """
        Take a token.

        :param now: Seconds of a clock; when it is set back, nobody waits longer for it
            than for a whole bucket.
        :returns: 0, or seconds until there will be one, and then nothing was taken.
        """
        full_at = self._full_at.get(client, now)
        full_at, wait = step(full_at, now, self._per_second, self._burst)
        self._full_at[client] = full_at
        if not wait:
            self._full_at.move_to_end(client)
            self._forget(now)
        return wait

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._full_at)

    def _forget(self, now: float) -> None:
        """The longest silent go first: those who are full, and those past the bound."""
        while self._full_at:
            client = next(iter(self._full_at))
            if len(self._full_at) <= self._max_clients and self._full_at[client] > now:
                return
            del self._full_at[client]
