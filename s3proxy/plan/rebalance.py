"""
Which copies to move, and where to.

Both strategies have a sum that every move makes smaller, and no move passes a limit or
goes where a copy of the same part is. So a plan that is carried out, and planned again,
comes to an end, and nothing is moved to and fro:

- ``spread``: the sum over backends of bytes² / capacity. A move goes from a fuller to
  an emptier backend, and never so far that the emptier one becomes the fuller.
- ``pack``: the sum over copies of bytes x place in the list. A move goes towards the
  first backends, as long as a share of their limit stays free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from s3proxy.plan.placement import Fill, Standing, Strategy, Target, capacities


@frozen
class Candidate:
    """
    A live copy that may be moved.

    :ivar holders: Backends with a copy of the same part, this one's among them.
    """

    copy_id: str
    part_id: str
    backend: str
    size_bytes: int
    holders: frozenset[str]


@frozen
class Move:
    """Put *copy* to *target* instead."""

    copy: Candidate
    target: str


class Balance:
    """The backends, as they will be when what is planned is done."""

    def __init__(
        self,
        targets: Sequence[Target],
        fills: Mapping[str, Fill],
        strategy: Strategy,
        threshold: float,
        standing: Callable[[str], Standing] = lambda name: Standing.READY,
    ) -> None:
        """
        :param targets: In order of preference.
        :param threshold: See ``rebalance.threshold``.
        :param standing: Nothing is moved to a backend that is not ready.
        """
        self._targets = targets
        self._strategy = strategy
        self._threshold = threshold
        self._standing = standing
        self._places = {each.name: at for at, each in enumerate(targets)}
        self._capacities = capacities(targets, fills)
        known = {each.name: fills.get(each.name, Fill()) for each in targets}
        self._limits = {name: fill.limit_bytes for name, fill in known.items()}
        # What is charged only grows here: what leaves counts until it is deleted.
        self._used = {name: fill.used_bytes for name, fill in known.items()}
        self._staying = {name: fill.staying_bytes for name, fill in known.items()}

    def sources(self) -> tuple[str, ...]:
        """Backends that have something to give, the one that should most, first."""
        names = [
            each.name
            for each in self._targets
            if any(self._wants(each.name, target, 1) for target in self._targets)
        ]
        if self._strategy == "pack":
            return tuple(reversed(names))
        return tuple(sorted(names, key=self.ratio, reverse=True))

    def plan(self, candidates: Sequence[Candidate], limit: int) -> list[Move]:
        """At most *limit* moves of these, in their order; counted as done here."""
        moves: list[Move] = []
        moved: set[str] = set()
        for copy in candidates:
            if len(moves) == limit:
                break
            target = None if copy.part_id in moved else self._target(copy)
            if target is not None:
                moves.append(Move(copy, target))
                moved.add(copy.part_id)  # its holders are others from now on
                self._used[target] += copy.size_bytes
                self._staying[target] += copy.size_bytes
                self._staying[copy.backend] -= copy.size_bytes
        return moves

    def ratio(self, name: str) -> float:
        """How full it is by what stays there; 1.0: full, at weight 1."""
        return self._staying[name] / self._capacities[name]

    def _target(self, copy: Candidate) -> str | None:
        if copy.backend not in self._places or copy.size_bytes <= 0:
            return None
        wanting = [
            each.name
            for each in self._targets
            if each.name not in copy.holders
            and self._wants(copy.backend, each, copy.size_bytes)
        ]
        key = self._places.__getitem__ if self._strategy == "pack" else self.ratio
        return min(wanting, key=key, default=None)

    def _wants(self, source: str, target: Target, size_bytes: int) -> bool:
        """Whether a copy of that size is better there than at *source*."""
        name = target.name
        if name == source or not target.takes(size_bytes):
            return False
        if self._standing(name) is not Standing.READY:
            return False
        limit, used = self._limits[name], self._used[name] + size_bytes
        if limit and used > limit:
            return False
        if self._strategy == "pack":
            is_free = not limit or used <= (1 - self._threshold) * limit
            return self._places[name] < self._places[source] and is_free
        return self.ratio(source) - self.ratio(name) > self._threshold and (
            self.ratio(name) + size_bytes / self._capacities[name]
            <= self.ratio(source) - size_bytes / self._capacities[source]
        )
