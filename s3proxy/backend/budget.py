"""
What a backend may still be used for this month, as far as this process knows.

The database has the account, and every process reserves a batch there before it uses
it (protocol, rule 51): what is used never exceeds the limit, however many processes
there are, and most calls ask nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.errors import BackendBusy, BackendSpent, StoreError
from s3proxy.plan.usage import BATCHES, KINDS, Grant, Kind
from s3proxy.telemetry.trail import detached

#: The database is asked again after this whether there is room: another process may
#: have returned what it had reserved.
ASK_AGAIN_SECONDS = 5.0

#: Between two times that a daemon returns what it does not use.
SETTLE_SECONDS = 20.0

#: Gives back so much of what was taken.
Refund = Callable[[int], None]


class UsageLedger(Protocol):
    """The account of all processes (``store.usage.PostgresUsage``)."""

    async def reserve(
        self, backend: str, kind: Kind, least: int, most: int, limit: int
    ) -> Grant:
        """From *least* to *most* of what is left of *limit*; StoreUnavailable."""
        ...

    async def add(
        self, backend: str, kind: Kind, month: date | None, amount: int
    ) -> None:
        """
        Count *amount* (below 0: returned), whatever the limit; StoreUnavailable.

        :param month: None for this one.
        """
        ...


@define(eq=False)
class Allowance:
    """
    One kind of usage of one backend.

    :ivar limit: For a month, of all processes together.
    """

    backend: str
    kind: Kind
    limit: int
    _ledger: UsageLedger
    _monotonic: Callable[[], float]
    # Below 0: used without asking, and not told to the database yet.
    _left: int = 0
    _month: date | None = None
    _ends_at: float = float("inf")
    _room: int = 0
    _room_until: float = float("-inf")
    _is_used: bool = False
    _waiting: list[Deferred[None]] = field(factory=list)
    _untold: list[tuple[date | None, int]] = field(factory=list)
    _log = Logger()

    def allows(self, amount: int) -> bool:
        """Whether there may be so much left; where that is not known, yes."""
        return (
            amount <= self._left + self._room
            or self._monotonic() >= self._room_until
            or self._is_over()
        )

    async def take(self, amount: int) -> Refund:
        """
        Use so much.

        :raises BackendSpent: There is not so much left.
        :raises BackendBusy: Nobody knows: the database cannot be asked.
        """
        self._turn()
        while self._left < amount:
            if not self.allows(amount):
                raise BackendSpent(
                    self.backend,
                    f"its usage budget of {self.limit} {self.kind} a month has no "
                    f"{amount} left",
                )
            await self._refilled(amount)
        return self._use(amount)

    def owe(self, amount: int) -> Refund:
        """Use so much, whether it is left or not."""
        self._turn()
        return self._use(amount)

    async def settle(self, *, everything: bool) -> None:
        """
        Tell the database what was used without asking, and return what nobody needs.

        :param everything: Also what was reserved for the next calls.
        :raises StoreUnavailable: It is told the next time.
        """
        self._turn()
        if everything or self._left < 0 or not self._is_used:
            self._put_by()
        self._is_used = False
        while self._untold:
            month, amount = self._untold.pop()
            try:
                await self._ledger.add(self.backend, self.kind, month, amount)
            except BaseException:
                self._untold.append((month, amount))
                raise

    def _use(self, amount: int) -> Refund:
        self._left -= amount
        self._is_used = True
        month = self._month

        def refund(unused: int) -> None:
            if not unused:
                return
            if month == self._month:
                self._left += unused
            else:
                self._untold.append((month, -unused))

        return refund

    async def _refilled(self, amount: int) -> None:
        """Wait for what is asked of the database, for all that wait at once."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            # On its own: who asked may go away, and what is granted is for all.
            detached(self._refill(amount))
        await waiter

    async def _refill(self, amount: int) -> None:
        least = max(amount - self._left, 1)
        most = max(least, BATCHES[self.kind])
        problem: BackendBusy | None = None
        try:
            grant = await self._ledger.reserve(
                self.backend, self.kind, least, most, self.limit
            )
        except Exception as why:
            if not isinstance(why, StoreError):
                self._log.failure("usage of {backend}", backend=self.backend)
            problem = BackendBusy(
                self.backend,
                f"its usage budget cannot be looked up: {why}",
                landed=False,
            )
        else:
            self._take_in(grant)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if problem is None:
                waiter.callback(None)
            else:
                waiter.errback(problem)

    def _take_in(self, grant: Grant) -> None:
        if grant.month != self._month:
            self._put_by()
            self._month = grant.month
        now = self._monotonic()
        self._left += grant.granted
        self._room, self._room_until = grant.room, now + ASK_AGAIN_SECONDS
        self._ends_at = now + grant.seconds

    def _turn(self) -> None:
        """What was reserved is of its month, and of no other."""
        if self._is_over():
            self._put_by()
            self._month, self._ends_at = None, float("inf")
            self._room, self._room_until = 0, float("-inf")

    def _is_over(self) -> bool:
        return self._monotonic() >= self._ends_at

    def _put_by(self) -> None:
        if self._left:
            self._untold.append((self._month, -self._left))
            # What is returned can be had again.
            self._room_until = float("-inf")
        self._left = 0


def no_refund(unused: int) -> None:
    """Nothing was taken."""


@define(eq=False)
class Budget:
    """A backend's, of all kinds; one without a limit is neither counted nor asked."""

    _allowances: Mapping[Kind, Allowance] = field(factory=dict)

    @classmethod
    def of(
        cls,
        backend: str,
        limits: Mapping[str, int],
        ledger: UsageLedger,
        monotonic: Callable[[], float],
    ) -> Budget:
        """One with these *limits*, by kind."""
        return cls(
            {
                kind: Allowance(backend, kind, limits[kind], ledger, monotonic)
                for kind in KINDS
                if kind in limits
            }
        )

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return bool(self._allowances)

    def allows(self, kind: Kind, amount: int = 1) -> bool:
        """See :meth:`Allowance.allows`."""
        allowance = self._allowances.get(kind)
        return allowance is None or allowance.allows(amount)

    def allows_write(self, size_bytes: int) -> bool:
        """Whether a body may go there."""
        return self.allows("class_a") and self.allows("ingress_bytes", size_bytes)

    def allows_read(self) -> bool:
        """Whether anything may be read there."""
        return self.allows("class_b") and self.allows("egress_bytes")

    async def take(self, kind: Kind, amount: int = 1) -> Refund:
        """See :meth:`Allowance.take`."""
        allowance = self._allowances.get(kind)
        return no_refund if allowance is None else await allowance.take(amount)

    def owe(self, kind: Kind, amount: int = 1) -> Refund:
        """See :meth:`Allowance.owe`."""
        allowance = self._allowances.get(kind)
        return no_refund if allowance is None else allowance.owe(amount)

    async def settle(self, *, everything: bool = False) -> None:
        """See :meth:`Allowance.settle`; StoreUnavailable."""
        for each in self._allowances.values():
            await each.settle(everything=everything)


async def settle_all(budgets: Mapping[str, Budget], *, everything: bool) -> str:
    """
    A job's round, and with *everything* the last one.

    :raises StoreUnavailable: The rest is told the next time.
    """
    for each in budgets.values():
        await each.settle(everything=everything)
    return f"{len(budgets)} backends"


@define(eq=False)
class Payment:
    """
    For the tries of one request.

    :ivar is_paid: The first one is paid for; a second one is owed.
    """

    _budget: Budget
    _kind: Kind
    _is_paid: bool
    _tries: int = 0
    _refund: Refund = no_refund

    async def once(self) -> None:
        """Pay for a try; BackendSpent, BackendBusy."""
        self._tries += 1
        if not self._is_paid:
            self._refund = await self._budget.take(self._kind)
        elif self._tries > 1:
            self._refund = self._budget.owe(self._kind)

    def back(self) -> None:
        """The try was not made."""
        if self._is_paid and self._tries == 1:
            self._tries = 0
        refund, self._refund = self._refund, no_refund
        refund(1)
