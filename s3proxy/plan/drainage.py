"""What a drain would do, for those who want to know before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import define, evolve, field

from s3proxy.plan.placement import Fill, Standing, Strategy, Target, place
from s3proxy.plan.rebalance import Candidate


@define
class Drainage:
    """
    Copies of one backend, laid one after another to where they would go.

    Calls are one GET of the source, one PUT and one DELETE for each copy that moves.

    :ivar factor: So many copies are enough; what is beyond goes, and moves nowhere.
    :ivar copies: Copies by target; *bytes_count* likewise.
    :ivar stuck: Copies without a place, *stuck_bytes* of them.
    :ivar beyond: Copies that just go.
    """

    _backend: str
    _targets: Sequence[Target]
    _fills: dict[str, Fill]
    _strategy: Strategy
    _factor: int
    copies: Counter[str] = field(factory=Counter)
    bytes_count: Counter[str] = field(factory=Counter)
    stuck: int = 0
    stuck_bytes: int = 0
    beyond: int = 0

    def add(self, copy: Candidate) -> None:
        """Find a place for one more."""
        if len(copy.holders - {self._backend}) >= self._factor:
            self.beyond += 1
            return
        placement = place(
            self._targets,
            copy.size_bytes,
            strategy=self._strategy,
            fills=self._fills,
            standing=lambda name: Standing.READY,
            without=copy.holders | {self._backend},
        )
        for name in placement.order:
            fill = self._fills.get(name, Fill())
            used = fill.used_bytes + copy.size_bytes
            if fill.is_draining:
                continue
            if not fill.limit_bytes or used <= fill.limit_bytes:
                self._fills[name] = evolve(fill, used_bytes=used)
                self.copies[name] += 1
                self.bytes_count[name] += copy.size_bytes
                return
        self.stuck += 1
        self.stuck_bytes += copy.size_bytes

    @classmethod
    def of(
        cls,
        backend: str,
        targets: Sequence[Target],
        fills: Mapping[str, Fill],
        strategy: Strategy,
        factor: int,
    ) -> Drainage:
        """Nothing laid yet; *fills* as the ledger has them."""
        return cls(backend, targets, dict(fills), strategy, factor)
