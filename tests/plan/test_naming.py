"""The names of copies on backends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.plan.naming import is_opaque, looks_ours, parse_name
from tests.strategies import keys

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "photos/cat.jpg",
        "with space + % ~ # ?",
        "...",
        ".hidden/..two/three..",
        "é" * 100,
        "/".join(["s" * 200] * 4),
        "s" * 200,
        "日本/語.txt",
        "a~" + ULID,
        "~",
        "\u00a0",
    ],
)
def test_readable(key: str) -> None:
    """Whatever every backend takes."""
    assert not is_opaque(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "./a",
        "a/.",
        "s" * 201,
        "a/" + "é" * 101,
        "/".join(["s" * 180] * 5),  # 904 bytes
        "new\nline",
        "tab\t",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufffe",
        "\uffff",
    ],
)
def test_opaque(key: str) -> None:
    """Whatever some backend could choke on, or take for another key."""
    assert is_opaque(key)


def test_the_longest_readable_key() -> None:
    """900 bytes, so that the suffix of a part fits S3's 1024."""
    key = "/".join(["s" * 199] * 4) + "/" + "t" * 100
    assert len(key) == 900
    assert not is_opaque(key)
    assert is_opaque(key + "t")
    assert len(f"{key}~{ULID}.10000") <= 1024


@given(key=keys())
def test_a_readable_key_is_a_path(key: str) -> None:
    """No segment is empty or goes up, so files and objects never collide."""
    if not is_opaque(key):
        assert all(each not in ("", ".", "..") for each in key.split("/"))
        assert key.isprintable() or not any(ord(each) < 32 for each in key)
        assert len(key.encode()) <= 900


@given(key=keys(), suffix=st.sampled_from(["", ".00001", ".10000", ".manifest"]))
def test_ours_look_ours(key: str, suffix: str) -> None:
    """Every name that the ledger gives."""
    name = f"~/{ULID}" if is_opaque(key) else f"{key}~{ULID}"
    assert looks_ours(name + suffix)
    assert parse_name(name + suffix) == (None if is_opaque(key) else key, ULID)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "~",
        ULID,
        f"~{ULID}",
        f"~/{ULID}x",
        f"a~{ULID[:-1]}",
        f"a~{ULID}/",
        f"a~{ULID} ",
        f"a~{ULID}\n",
        f"a~{ULID.lower()}",
        f"a~{ULID}.0001",
        f"a~{ULID}.000001",
        f"a~{ULID}.manifests",
        f"a~{ULID}.jpg",
        # Not a ULID: a first digit over 7, or a letter that is none of Crockford's.
        "a~8" + ULID[1:],
        f"a~{ULID[:-1]}I",
        f"a~{ULID[:-1]}U",
    ],
)
def test_foreign(name: str) -> None:
    """Anything else is somebody else's, and is left alone."""
    assert not looks_ours(name)
    assert parse_name(name) is None
