"""What a drain would do: every copy has one fate, and no limit is passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s3proxy.plan.drainage import Drainage
from s3proxy.plan.placement import Fill, Target
from s3proxy.plan.rebalance import Candidate

NAMES = ("a", "b", "c")
TARGETS = [Target("a"), Target("b", max_object_size=50), Target("c")]


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.sets(st.sampled_from(["b", "c"]))),
        max_size=30,
    ),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 400)),
    st.integers(1, 3),
    st.sampled_from(["pack", "spread"]),
)
def test_every_copy_has_a_place_or_none(sizes, limits, factor, strategy) -> None:  # type: ignore[no-untyped-def]
    fills = {name: Fill(0, limit) for name, limit in limits.items()}
    plan = Drainage.of("a", TARGETS, fills, strategy, factor)
    for number, (size, others) in enumerate(sizes):
        holders = frozenset(others) | {"a"}
        plan.add(Candidate(str(number), str(number), "a", size, holders))
    assert plan.copies.total() + plan.stuck + plan.beyond == len(sizes)
    assert plan.copies["a"] == 0
    for name, count in plan.bytes_count.items():
        assert not limits.get(name) or count <= limits[name]
    assert plan.beyond == sum(len(others) >= factor for _, others in sizes)
    moved = plan.bytes_count.total() + plan.stuck_bytes
    assert moved == sum(size for size, others in sizes if len(others) < factor)


def test_a_draining_backend_is_no_target() -> None:
    fills = {"b": Fill(0, 0, 0, is_draining=True), "c": Fill(0, 10)}
    plan = Drainage.of("a", TARGETS, fills, "pack", 1)
    for number in range(2):
        plan.add(Candidate(str(number), str(number), "a", 8, frozenset({"a"})))
    assert dict(plan.copies) == {"c": 1} and plan.stuck == 1
