"""The manifest copy's document: whatever is written can be read, nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from s3proxy.plan.manifest import (
    Manifest,
    ManifestError,
    ManifestPart,
    decode,
    encode,
)
from tests.strategies import object_infos, texts


def sizes() -> SearchStrategy[list[tuple[int, int]]]:
    """Part numbers, ascending, and sizes."""
    numbers = st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True)
    return numbers.flatmap(
        lambda chosen: st.lists(
            st.integers(0, 5 * 2**30), min_size=len(chosen), max_size=len(chosen)
        ).map(lambda found: list(zip(sorted(chosen), found, strict=True)))
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Whole objects, with whatever headers."""
    parts, offset = [], 0
    for number, size in draw(sizes()):
        parts.append(ManifestPart(number, f"part-{number}", offset, size, "ab" * 16))
        offset += size
    pairs = st.dictionaries(texts(), texts() | st.text(max_size=5), max_size=3)
    info = evolve(
        draw(object_infos()),
        size_bytes=offset,
        content_type=draw(st.none() | texts()),
        headers=draw(pairs),
        user_metadata=draw(pairs),
        checksums=draw(pairs),
        tags=draw(pairs),
    )
    return Manifest("installation", info, tuple(parts))


@settings(max_examples=200)
@given(manifest=manifests())
def test_what_is_written_can_be_read(manifest: Manifest) -> None:
    """All of it, and it is ASCII whatever the key is."""
    data = encode(manifest)
    assert data.isascii()
    assert decode(data) == manifest


@settings(max_examples=200)
@given(manifest=manifests(), where=st.integers(0, 10_000), data=st.binary(max_size=3))
def test_damage_is_found_or_harmless(
    manifest: Manifest, where: int, data: bytes
) -> None:
    """Nothing but ManifestError comes out of bytes that are not ours."""
    whole = encode(manifest)
    where %= len(whole)
    for damaged in (
        whole[:where],
        whole[:where] + data + whole[where:],
        whole[:where] + data + whole[where + 1 :],
    ):
        try:
            found = decode(damaged)
        except ManifestError:
            continue
        assert found.is_whole


@settings(max_examples=300)
@given(data=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_anything_else_is_refused(data: bytes) -> None:
    """With the one error."""
    with pytest.raises(ManifestError):
        decode(data)


def document(**more: Any) -> bytes:
    """A good one of two parts, but for what is given; ... leaves a name out."""
    good: dict[str, Any] = {
        "version": 1,
        "installation_id": "i",
        "bucket": "b",
        "key": "k",
        "object_id": "o",
        "size_bytes": 15,
        "etag": "e-2",
        "content_type": None,
        "headers": {},
        "user_metadata": {},
        "tags": {},
        "checksums": {},
        "last_modified": "2026-01-01T00:00:00.123000+00:00",
        "parts": [[1, "p", 0, 10, "m"], [3, "q", 10, 5, "n"]],
    }
    fields = {**good, **more}
    return json.dumps({n: v for n, v in fields.items() if v is not ...}).encode()


def test_a_later_writer_may_say_more() -> None:
    """A name that is not known is passed over."""
    assert decode(document(more=[1])) == decode(document())
    assert decode(document(content_type=...)) == decode(document())


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"version": "1"},
        {"version": True},
        {"version": ...},
        {"key": ...},
        {"key": None},
        {"key": 7},
        {"bucket": ["b"]},
        {"installation_id": None},
        {"size_bytes": 15.0},
        {"size_bytes": 14},
        {"content_type": 1},
        {"headers": []},
        {"headers": {"a": None}},
        {"tags": {"a": 1}},
        {"last_modified": "yesterday"},
        {"last_modified": "2026-01-01T00:00:00"},
        {"parts": []},
        {"parts": {}},
        {"parts": [[1, "p", 0, 15]]},
        {"parts": [[1, "p", 0, "15", "m"]]},
        {"parts": [[True, "p", 0, 15, "m"]]},
        {"parts": ["part!"]},
        {"parts": [[1, "p", 0, 10, "m"], [1, "q", 10, 5, "n"]]},
        {"parts": [[1, "p", 0, 10, "m"], [2, "q", 9, 6, "n"]]},
        {"parts": [[1, "p", 0, 20, "m"], [2, "q", 20, -5, "n"]]},
        {"parts": [[0, "p", 0, 15, "m"]]},
    ],
    ids=str,
)
def test_refused(wrong: dict[str, Any]) -> None:
    """One thing at a time."""
    assert decode(document()).info.size_bytes == 15
    with pytest.raises(ManifestError):
        decode(document(**wrong))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff"])
def test_no_document(data: bytes) -> None:
    """What another program may have put there."""
    with pytest.raises(ManifestError):
        decode(data)


def test_ten_thousand_parts_are_small() -> None:
    """Small enough for the writer to keep, so that another backend can take it."""
    size = 5 * 2**30
    part_id, md5 = "01ARZ3NDEKTSV4RRFFQ69G5FAV", "0" * 32
    parts = tuple(
        ManifestPart(number + 1, part_id, number * size, size, md5)
        for number in range(10_000)
    )
    info = evolve(decode(document()).info, size_bytes=10_000 * size)
    manifest = Manifest("i", info, parts)
    data = encode(manifest)
    assert len(data) < 1024 * 1024
    assert decode(data) == manifest
