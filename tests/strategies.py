"""Hypothesis strategies that the rooms share; plural names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from s3proxy.model import ListPage, ObjectInfo

_SPICE = " +%/~*'\"()&=?#;:,.<>!@$[]{}|^`\\_-é日🪣e\u0301\n\r\t"
_ODD = st.sampled_from("abcXYZ019" + _SPICE)
_ANY = st.characters(codec="utf-8", exclude_characters="\0")

#: What XML 1.0 cannot carry.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def texts(min_size: int = 0, max_size: int = 30) -> SearchStrategy[str]:
    """Text that S3 takes for keys, prefixes and values: any UTF-8 but NUL."""
    # Two strategies, since one alphabet of both would hardly ever give an odd one.
    return st.text(_ODD, min_size=min_size, max_size=max_size) | st.text(
        _ANY, min_size=min_size, max_size=max_size
    )


def keys() -> SearchStrategy[str]:
    """Object keys: odd characters, odd segments, and the longest."""
    segments = st.one_of(st.sampled_from(["", ".", "..", "%2F", "a b"]), texts(0, 10))
    odd = st.lists(segments, min_size=1, max_size=5).map("/".join)
    longest = st.sampled_from(["k" * 1024, "é" * 512, "日" * 341 + "k"])
    return st.one_of(texts(1), odd.filter(bool), longest)


def xml_texts(min_size: int = 0) -> SearchStrategy[str]:
    """Text that XML 1.0 can carry."""
    return texts(min_size).filter(lambda text: not NOT_XML.search(text))


def queries() -> SearchStrategy[list[tuple[str, str]]]:
    """Query pairs, repeats and empty values included."""
    return st.lists(st.tuples(texts(1, 8), texts(0, 12)), max_size=5)


def payloads(max_size: int = 4096) -> SearchStrategy[bytes]:
    """Bodies."""
    return st.binary(max_size=max_size)


def cut_points(max_size: int = 8) -> SearchStrategy[list[int]]:
    """Where the network cuts a body; see :func:`cut`."""
    return st.lists(st.integers(0, 4096), max_size=max_size)


def cut(payload: bytes, points: list[int]) -> list[bytes]:
    """Cut *payload* at *points*; some pieces may be empty."""
    edges = [0, *sorted(min(point, len(payload)) for point in points), len(payload)]
    return [payload[a:b] for a, b in pairwise(edges)]


def times() -> SearchStrategy[datetime]:
    """Aware times in whole milliseconds, as the ledger has them."""
    return st.integers(0, 4_000_000_000_000).map(
        lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(
            microsecond=ms % 1000 * 1000
        )
    )


def object_infos() -> SearchStrategy[ObjectInfo]:
    """Objects as LIST and HEAD see them."""
    return st.builds(
        ObjectInfo,
        bucket=st.just("unified"),
        key=keys(),
        object_id=st.just("01J00000000000000000000000"),
        size_bytes=st.integers(0, 5 * 2**40),
        etag=st.binary(min_size=16, max_size=16).map(bytes.hex),
        content_type=st.none(),
        last_modified=times(),
    )


def list_pages() -> SearchStrategy[ListPage]:
    """Pages of a listing."""
    return st.builds(
        ListPage,
        contents=st.lists(object_infos(), max_size=4).map(tuple),
        common_prefixes=st.lists(keys(), max_size=3).map(tuple),
        next_after=st.none() | keys(),
    )
