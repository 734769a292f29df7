"""What the death of a backend costs an object."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy.plan.whereabouts import CopyAt, Losses, PartAt, Toll

NAMES = "abc"
STATES = ("claimed", "live", "garbage", "abandoned")


def copies() -> st.SearchStrategy[CopyAt]:
    return st.builds(
        CopyAt,
        st.sampled_from("abcd"),
        st.just("k"),
        st.just(1),
        st.sampled_from(STATES),
    )


def parts() -> st.SearchStrategy[PartAt]:
    return st.builds(
        PartAt,
        st.just(1),
        st.just(0),
        st.integers(0, 9),
        st.lists(copies(), max_size=4).map(tuple),
    )


@settings(max_examples=60)
@given(st.lists(parts(), max_size=5))
def test_as_if_the_backend_were_not_configured(found: list[PartAt]) -> None:
    """Counted at once for each of them, or with that one left out: the same."""
    toll = Toll(NAMES)
    for part in found:
        toll.add(part)
    for dead in NAMES:
        without = Toll(NAMES.replace(dead, ""))
        for part in found:
            without.add(part)
        assert without.gone_parts == toll.gone_parts + toll.lost_parts[dead]
        assert without.gone_bytes == toll.gone_bytes + toll.lost_bytes[dead]
    assert toll.size_bytes == sum(part.size_bytes for part in found)


def test_pages_add_up() -> None:
    """Every field is added to itself."""
    sums = Losses()
    for _ in range(2):
        sums.add(Losses(*range(1, 11)))
    assert sums == Losses(*range(2, 21, 2))
