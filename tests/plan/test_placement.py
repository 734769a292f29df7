"""Who is asked for room, and in which order."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from s3proxy.plan.placement import (
    Fill,
    Standing,
    Strategy,
    Target,
    place,
    ratios,
)

NAMES = ("a", "b", "c", "d")

targets = st.lists(st.sampled_from(NAMES), min_size=1, unique=True).flatmap(
    lambda names: st.tuples(
        *(
            st.builds(
                Target,
                st.just(name),
                st.floats(0.1, 10),
                st.none() | st.integers(1, 100),
                st.booleans(),
            )
            for name in names
        )
    )
)
fills = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Fill, st.integers(0, 200), st.sampled_from((0, 100, 150))),
)
standings = st.fixed_dictionaries({name: st.sampled_from(Standing) for name in NAMES})


@given(
    targets, st.integers(0, 120), st.sampled_from(("pack", "spread")), fills, standings
)
def test_who_is_asked(
    chosen: tuple[Target, ...],
    size: int,
    strategy: Strategy,
    filled: Mapping[str, Fill],
    health: Mapping[str, Standing],
) -> None:
    """Each that takes such a body, once: the well first, then by the strategy."""
    result = place(
        chosen,
        size,
        strategy=strategy,
        fills=filled,
        standing=health.__getitem__,
        without=("d",),
    )
    asked = [*result.order, *result.resting]
    assert sorted(asked) == sorted(
        each.name
        for each in chosen
        if each.name != "d"
        and not each.is_read_only
        and (each.max_object_size is None or size <= each.max_object_size)
    )
    assert {health[name] for name in result.resting} <= {Standing.RESTING}
    assert Standing.RESTING not in {health[name] for name in result.order}
    configured = [each.name for each in chosen]
    ratio = ratios(chosen, filled)

    def rank(name: str) -> tuple[object, ...]:
        by_fill = (ratio[name],) if strategy == "spread" else ()
        return (health[name], *by_fill, configured.index(name))

    assert list(result.order) == sorted(result.order, key=rank)


def order(
    *chosen: Target, strategy: Strategy = "spread", **filled: Fill
) -> tuple[str, ...]:
    """All are well."""
    return place(
        chosen,
        1,
        strategy=strategy,
        fills=filled,
        standing=lambda name: Standing.READY,
    ).order


def test_pack_is_the_order_of_the_configuration() -> None:
    """However full they are; the claim passes over one without room."""
    filled = {"a": Fill(99, 100), "b": Fill(0, 100)}
    assert order(Target("a"), Target("b"), strategy="pack", **filled) == ("a", "b")


def test_spread_takes_the_least_full_by_share() -> None:
    """Not by bytes."""
    filled = {"a": Fill(30, 100), "b": Fill(40, 1000)}
    assert order(Target("a"), Target("b"), **filled) == ("b", "a")


def test_weight() -> None:
    """Twice the weight, twice the share."""
    heavy, light = Target("a", weight=2), Target("b")
    assert order(heavy, light, a=Fill(50, 100), b=Fill(30, 100)) == ("a", "b")
    assert order(heavy, light, a=Fill(70, 100), b=Fill(30, 100)) == ("b", "a")


def test_one_without_a_limit_counts_like_the_largest() -> None:
    """So the others are not left empty."""
    both = Target("a"), Target("b")
    assert order(*both, a=Fill(30, 0), b=Fill(20, 100)) == ("b", "a")
    assert order(*both, a=Fill(10, 0), b=Fill(20, 100)) == ("a", "b")
    assert order(*both, a=Fill(10, 0), b=Fill(5, 0)) == ("b", "a")


def test_a_spent_backend_is_named_and_not_asked() -> None:
    """But not where it would take no such body anyway."""
    chosen = [Target("a"), Target("b", is_read_only=True), Target("c")]
    placed = place(
        chosen,
        1,
        strategy="pack",
        fills={},
        standing=lambda name: Standing.READY,
        without=["a"],
        spent=["a", "b"],
    )
    assert (placed.order, placed.spent) == (("c",), ("a",))
