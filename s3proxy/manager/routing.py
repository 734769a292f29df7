"""Where a body goes: the plan's order, from what this process knows of backends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import define, evolve, field

from s3proxy.plan.placement import (
    Fill,
    Placement,
    Standing,
    Strategy,
    Target,
    place,
)


class Health(Protocol):
    """How the backends do (``backend.guarded.Health``)."""

    def of_writes(self, backend: str) -> Standing:
        """Whether to send a body there."""
        ...

    def of_reads(self, backend: str) -> tuple[Standing, float]:
        """What to sort copies by, lowest first: standing, then seconds to answer."""
        ...

    def is_spent(self, backend: str, size_bytes: int) -> bool:
        """Whether its usage budget is too small for a body of that size."""
        ...


class Fills(Protocol):
    """The part of the ledger that knows how full backends are."""

    async def fills(self) -> Mapping[str, Fill]:
        """Every backend by its name."""
        ...


class NothingKnown:
    """The health of backends that nobody watches: all well, and all alike."""

    def of_writes(self, backend: str) -> Standing:
        """See :class:`Health`."""
        return Standing.READY

    def of_reads(self, backend: str) -> tuple[Standing, float]:
        """See :class:`Health`."""
        return Standing.READY, 0.0

    def is_spent(self, backend: str, size_bytes: int) -> bool:
        """See :class:`Health`."""
        return False


@define(eq=False)
class Router:
    """
    Orders the backends for each body.

    How full they are comes from a snapshot of the ledger, to which this process adds
    what it claims; the claim itself decides whether there is room.

    :ivar targets: As configured, in order of preference.
    """

    targets: Sequence[Target]
    _strategy: Strategy = "pack"
    _health: Health = field(factory=NothingKnown)
    _fills: dict[str, Fill] = field(factory=dict)

    def place(self, size_bytes: int, without: Collection[str] = ()) -> Placement:
        """See :func:`~s3proxy.plan.placement.place`."""
        return place(
            self.targets,
            size_bytes,
            strategy=self._strategy,
            fills=self._fills,
            standing=self._health.of_writes,
            without=without,
            spent=[
                each.name
                for each in self.targets
                if self._health.is_spent(each.name, size_bytes)
            ],
        )

    def charged(self, backend: str, size_bytes: int) -> None:
        """This process has claimed so much there since the snapshot."""
        fill = self._fills.get(backend, Fill())
        self._fills[backend] = evolve(fill, used_bytes=fill.used_bytes + size_bytes)

    async def refresh(self, ledger: Fills) -> None:
        """
        Take a new snapshot.

        :raises StoreUnavailable: The old one stays.
        """
        self._fills = dict(await ledger.fills())
