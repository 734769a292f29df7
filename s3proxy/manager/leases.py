"""
Leases of claims under way, extended together and watched by their writers.

When one ends is for the database's clock to say; the watch is by the process's own
(protocol, rules 7 and 28).
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.logger import Logger

from s3proxy.errors import ClaimLost, StoreError
from s3proxy.manager.ports import Ledger
from s3proxy.model import Claim


@define(eq=False)
class Lease:
    """
    One writer's hold on its claim.

    :ivar confirmed_seconds: When the request that the ledger last confirmed was *sent*,
        by this process's monotonic clock: the ledger's own lease ends no earlier than
        ``lease_seconds`` after that.
    """

    claim: Claim
    confirmed_seconds: float
    _monotonic: Callable[[], float]
    lost: bool = False

    def check(self) -> None:
        """
        Called before each write to a backend.

        :raises ClaimLost: Somebody may have given the claim up, so no byte may follow.
        """
        age = self._monotonic() - self.confirmed_seconds
        if self.lost or age >= self.claim.lease_seconds:
            raise ClaimLost(f"the lease of claim {self.claim.copy.copy_id} has run out")


@define(eq=False)
class Leases:
    """Every claim of this process that is being written."""

    _ledger: Ledger
    _monotonic: Callable[[], float]
    _held: dict[str, Lease] = field(factory=dict)
    _log = Logger()

    def hold(self, claim: Claim, asked_seconds: float) -> Lease:
        """
        Watch over a claim until :meth:`drop`.

        :param asked_seconds: When the claim was asked for, by the monotonic clock.
        """
        lease = Lease(claim, asked_seconds, self._monotonic)
        self._held[claim.copy.copy_id] = lease
        return lease

    def drop(self, lease: Lease) -> None:
        """The claim is committed or given up."""
        self._held.pop(lease.claim.copy.copy_id, None)

    async def extend(self) -> None:
        """
        One round for all; to be called every third of a lease.

        Where the ledger cannot be reached the leases just grow old: writers stop in
        time by themselves.
        """
        held = dict(self._held)
        if not held:
            return
        asked = self._monotonic()
        try:
            confirmed = await self._ledger.extend(held)
        except StoreError as why:
            self._log.warn("leases not extended: {why}", why=why)
            return
        for copy_id, lease in held.items():
            if copy_id in confirmed:
                lease.confirmed_seconds = asked
            else:
                lease.lost = True
