"""
Who is let in, and how many at once.

Everything here is counted before a client has shown who it is, so it must cost next to
nothing, and what is remembered is bounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from s3proxy.config_model import RateLimitConfig, ServerConfig
from s3proxy.errors import SlowDown, TooManyRequests
from s3proxy.web.addresses import address_of, client_of, group_of, is_trusted
from s3proxy.web.rates import Rate, RateLimit

#: Connections past the cap that are still told so; further ones are closed unheard.
SPARE_CONNECTIONS = 100

#: What one transfer may hold in buffers at worst, on both sides of this process: the
#: body's queue and one receive past its mark, and what waits for the backend.
TRANSFER_BYTES = 1024 * 1024

#: The log says at most this often that one of the caps is reached.
TELL_SECONDS = 10.0


@frozen
class Place:
    """
    A connection's place among the others.

    :ivar group: Whom it is counted for; None = nobody in particular.
    :ivar is_spare: There is none for it: its request is told to slow down.
    """

    group: str | None
    is_spare: bool


class Throttle:
    """Counts connections, requests and what they may hold."""

    log = Logger()

    def __init__(
        self,
        server: ServerConfig,
        rate_limit: RateLimitConfig,
        clock: IReactorTime,
        rates: Callable[[float, int], Rate] = RateLimit,
    ) -> None:
        """
        :param rates: Makes what counts requests, of a number per second and a burst.
        """
        self._clock = clock
        self._rates = rates
        self._connections = 0
        self._spare = 0
        self._by_group: Counter[str] = Counter()
        self._held_bytes = 0
        self._told_at: dict[str, float] = {}
        self._rate_limit: RateLimitConfig | None = None
        self.apply(server, rate_limit)

    def apply(self, server: ServerConfig, rate_limit: RateLimitConfig) -> None:
        """
        Go by another configuration from now on; who is in stays in.

        Clients' buckets begin anew only where the rate has changed.
        """
        self._server = server
        if rate_limit != self._rate_limit:
            self._rate_limit = rate_limit
            self._rate = self._rates(rate_limit.requests_per_sec, rate_limit.burst)

    @property
    def connections(self) -> int:
        """How many are open, those past the cap too."""
        return self._connections + self._spare

    @property
    def held_bytes(self) -> int:
        """What transfers under way may hold."""
        return self._held_bytes

    # Connections.

    def enter(self, host: str | None) -> Place | None:
        """
        A client has connected.

        :param host: Its address; None for a local socket.
        :returns: Its place, to be given back to :meth:`leave`; None = close it.
        """
        server = self._server
        address = address_of(host or "")
        group = None
        if address is not None and not is_trusted(address, server.trusted_proxies):
            group = group_of(address)
        full = None
        if self._connections >= server.max_connections:
            full = "server.max_connections"
        elif group and self._by_group.get(group, 0) >= server.max_connections_per_ip:
            full = "server.max_connections_per_ip"
        if full is not None:
            self._tell(full)
            if self._spare >= SPARE_CONNECTIONS:
                return None
            self._spare += 1
            return Place(None, True)
        self._connections += 1
        if group is not None:
            self._by_group[group] += 1
        return Place(group, False)

    def leave(self, place: Place) -> None:
        """Its connection is closed."""
        if place.is_spare:
            self._spare -= 1
            return
        self._connections -= 1
        if place.group is not None:
            self._by_group[place.group] -= 1
            if not self._by_group[place.group]:
                del self._by_group[place.group]

    # Requests.

    def admit(self, host: str | None, forwarded: Sequence[str], at_work: int) -> None:
        """
        A request has come.

        :param host: The other end of its connection.
        :param forwarded: Its ``X-Forwarded-For`` headers.
        :param at_work: Requests at work, this one among them.
        :raises TooManyRequests: Its client sends too many.
        :raises SlowDown: All clients together do.
        """
        if at_work > self._server.max_requests:
            self._tell("server.max_requests")
            raise SlowDown
        assert self._rate_limit is not None
        if not self._rate_limit.enabled:
            return
        peer = address_of(host or "")
        if peer is None:
            return
        client = client_of(peer, forwarded, self._server.trusted_proxies)
        group = group_of(client)
        wait = self._rate.take(group, self._clock.seconds())
        if wait:
            self._tell("rate_limit", f"by {group} ")
            raise TooManyRequests(headers={"Retry-After": str(math.ceil(wait))})

    @contextmanager
    def transfer(self, length: int | None) -> Iterator[None]:
        """
        Keep room in memory for a transfer while it goes on.

        :param length: Of its body, in bytes; None = not known.
        :raises SlowDown: There is none.
        """
        size = TRANSFER_BYTES if length is None else min(length, TRANSFER_BYTES)
        if size and self._held_bytes + size > self._server.max_buffer_bytes:
            self._tell("server.max_buffer_bytes")
            raise SlowDown
        self._held_bytes += size
        try:
            yield
        finally:
            self._held_bytes -= size

    def _tell(self, what: str, who: str = "") -> None:
        """Log that clients are told to slow down, now and then."""
        now = self._clock.seconds()
        if abs(now - self._told_at.get(what, -math.inf)) >= TELL_SECONDS:
            self._told_at[what] = now
            self.log.warn(
                "{what} is reached {who}and clients are told to slow down",
                what=what,
                who=who,
            )
