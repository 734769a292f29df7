"""Bodies tell whose they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaos.bodies import BLOCK_BYTES, Content, body, differs

contents = st.builds(Content, st.integers(1, 10**9), st.integers(0, 2000))


@given(contents, st.integers(0, 2100), st.integers(0, 2100))
def test_any_range_is_a_slice_of_the_whole(
    content: Content, start: int, end: int
) -> None:
    """And is known for what it is."""
    data = body(content, start, end)
    assert data == body(content)[start:end]
    assert differs(data, content, start) == ""


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(BLOCK_BYTES, 2000),
    st.integers(0, 1900),
)
def test_a_mix_shows(one: int, other: int, size: int, at: int) -> None:
    """Wherever a block of another write, or a wrong byte, is."""
    first = body(Content(one, size))
    at = min(at, size - BLOCK_BYTES)
    mixed = first[:at] + body(Content(other, size))[at:]
    assert bool(differs(mixed, Content(one, size))) == (one != other)
    broken = first[:at] + bytes([first[at] ^ 1]) + first[at + 1 :]
    assert f"byte {at} " in differs(broken, Content(one, size))
    assert differs(first + b"x", Content(one, size))
