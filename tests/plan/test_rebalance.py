"""The planner: each move is for the better, within limits, and there is an end."""

from __future__ import annotations

from fractions import Fraction

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.plan.placement import Fill, Standing, Strategy, Target
from s3proxy.plan.rebalance import Balance, Candidate, Move

NAMES = ("a", "b", "c", "d")


@define
class Pool:
    """
    Backends with copies on them.

    :ivar copies: Part to size, and the backends that hold it.
    """

    targets: list[Target]
    limits: dict[str, int]
    copies: dict[str, tuple[int, set[str]]]
    leaving: dict[str, int] = field(factory=dict)

    def staying(self, name: str) -> int:
        return sum(size for size, holders in self.copies.values() if name in holders)

    def fills(self) -> dict[str, Fill]:
        return {
            name: Fill(
                self.staying(name) + self.leaving.get(name, 0),
                limit,
                self.leaving.get(name, 0),
            )
            for name, limit in self.limits.items()
        }

    def candidates(self) -> list[Candidate]:
        return [
            Candidate(f"{part}@{name}", part, name, size, frozenset(holders))
            for part, (size, holders) in self.copies.items()
            for name in sorted(holders)
        ]

    def balance(
        self,
        strategy: Strategy,
        threshold: float,
        standing: Standing = Standing.READY,
    ) -> Balance:
        return Balance(
            self.targets, self.fills(), strategy, threshold, lambda name: standing
        )

    def do(self, move: Move) -> None:
        """As the ledger does it: the target is charged, the source not yet freed."""
        size, holders = self.copies[move.copy.part_id]
        assert move.target not in holders
        assert move.copy.backend in holders
        fill = self.fills()[move.target]
        assert not fill.limit_bytes or fill.used_bytes + size <= fill.limit_bytes
        holders.remove(move.copy.backend)
        holders.add(move.target)
        left = self.leaving.get(move.copy.backend, 0)
        self.leaving[move.copy.backend] = left + size

    def badness(self, strategy: Strategy) -> Fraction:
        """The sum that each move is to make smaller."""
        names = [each.name for each in self.targets]
        if strategy == "pack":
            return Fraction(
                sum(at * self.staying(name) for at, name in enumerate(names))
            )
        largest = max(self.limits.values()) or sum(map(self.staying, names)) or 1
        return sum(
            (
                Fraction(self.staying(each.name)) ** 2
                / ((self.limits[each.name] or largest) * Fraction(each.weight))
                for each in self.targets
            ),
            Fraction(0),
        )


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """A few backends, with and without limits, some above them."""
    names = NAMES[: draw(st.integers(1, 4))]
    targets = [
        Target(
            name,
            draw(st.sampled_from((0.5, 1.0, 2.0))),
            draw(st.sampled_from((None, None, 20))),
            draw(st.sampled_from((False, False, False, True))),
        )
        for name in names
    ]
    limits = {name: draw(st.sampled_from((0, 50, 100, 1000))) for name in names}
    holders = st.sets(st.sampled_from(names), min_size=1)
    copies = draw(st.lists(st.tuples(st.integers(0, 60), holders), max_size=12))
    return Pool(targets, limits, {f"p{at}": each for at, each in enumerate(copies)})


strategies = st.sampled_from(("pack", "spread"))


@given(pools(), strategies, st.sampled_from((0.0, 0.1, 0.5)), st.integers(1, 5))
def test_planned_and_done_until_there_is_nothing_left(
    pool: Pool, strategy: Strategy, threshold: float, limit: int
) -> None:
    """Every move: within limits, to no holder, for the better. And it ends."""
    taking = {each.name: each for each in pool.targets}
    for _ in range(200):
        balance = pool.balance(strategy, threshold)
        sources = balance.sources()
        moves = balance.plan(pool.candidates(), limit)
        assert len(moves) <= limit
        assert {each.copy.backend for each in moves} <= set(sources) | {
            # Something planned before may have made it one.
            each.target
            for each in moves
        }
        for move in moves:
            assert taking[move.target].takes(move.copy.size_bytes)
            before = pool.badness(strategy)
            pool.do(move)
            assert pool.badness(strategy) < before
        if not moves:
            break
        # The collector has been there.
        pool.leaving = {}
    else:
        raise AssertionError("it does not end")
    assert not pool.balance(strategy, threshold).plan(pool.candidates(), limit)


@given(pools(), st.floats(0, 1))
def test_spread_leaves_small_differences_alone(pool: Pool, threshold: float) -> None:
    """It moves between backends that differ by more than the threshold."""
    balance = pool.balance("spread", threshold)
    ratios = {each.name: balance.ratio(each.name) for each in pool.targets}
    for move in balance.plan(pool.candidates(), 1):
        assert ratios[move.copy.backend] - ratios[move.target] > threshold


def test_spread() -> None:
    """Half of what one has goes to the other."""
    targets = [Target("a"), Target("b")]
    pool = Pool(targets, {"a": 100, "b": 100}, {f"p{n}": (10, {"a"}) for n in range(8)})
    balance = pool.balance("spread", 0.1)
    assert balance.sources() == ("a",)
    moves = balance.plan(pool.candidates(), 100)
    assert {each.target for each in moves} == {"b"}
    assert len(moves) == 4
    light = Pool([Target("a"), Target("b", weight=0.5)], pool.limits, pool.copies)
    assert len(light.balance("spread", 0.1).plan(light.candidates(), 100)) == 2


def test_spread_does_not_count_what_is_leaving() -> None:
    """A source is not emptied before the collector came; it does not give twice."""
    pool = Pool(
        [Target("a"), Target("b")],
        {"a": 100, "b": 100},
        {f"p{n}": (10, {"a" if n % 2 else "b"}) for n in range(6)},
        {"a": 60},
    )
    assert pool.balance("spread", 0.1).plan(pool.candidates(), 100) == []


def test_pack() -> None:
    """The first is filled, but for a share that stays free."""
    targets = [Target("a"), Target("b"), Target("c")]
    copies = {f"p{n}": (10, {"c"}) for n in range(12)}
    pool = Pool(targets, {"a": 100, "b": 0, "c": 0}, copies)
    moves = pool.balance("pack", 0.1).plan(pool.candidates(), 100)
    assert [each.target for each in moves] == ["a"] * 9 + ["b"] * 3
    assert pool.balance("pack", 0.1).sources() == ("c", "b")


def test_nothing_goes_to_a_backend_that_is_not_well() -> None:
    """It would not be moved back."""
    pool = Pool([Target("a"), Target("b")], {"a": 0, "b": 0}, {"p": (10, {"b"})})
    balance = pool.balance("pack", 0.1, Standing.DOUBTFUL)
    assert balance.sources() == ()
    assert balance.plan(pool.candidates(), 1) == []
