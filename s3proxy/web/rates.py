"""How fast one client may send requests: a bucket of tokens for each."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field

#: Clients that are remembered. A forgotten one begins with a full bucket.
MAX_CLIENTS = 65_536


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
        whole = self._burst / self._per_second
        each = 1 / self._per_second
        full_at = min(max(self._full_at.get(client, now), now), now + whole)
        wait = full_at + each - (now + whole)
        # A hair's breadth is rounding, not a missing token.
        if wait > each * 1e-6:
            self._full_at[client] = full_at
            return wait
        self._full_at[client] = full_at + each
        self._full_at.move_to_end(client)
        self._forget(now)
        return 0.0

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
