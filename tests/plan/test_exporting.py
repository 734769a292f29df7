"""Names of files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3proxy.model import ObjectInfo, Part
from s3proxy.plan.exporting import Check, check_of, file_path

ODD = st.text(st.sampled_from("./~a\0%é\\\n"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    "key", ["a", "a/b.c", "...", ".a", "a b", "100%", "a\\b", "a\nb", "é", "x" * 255]
)
def test_own_names(key: str) -> None:
    """Whatever a file system can hold."""
    path = file_path("b", key, is_directory=False)
    assert ("/".join(path.segments), path.is_escaped) == (f"b/{key}", False)
    assert file_path("b", key, is_directory=True).is_escaped


@pytest.mark.parametrize(
    "key",
    [
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        ".",
        "a/./b",
        "é" * 128,
        "/etc/passwd",
    ],
)
def test_escaped_names(key: str) -> None:
    """Whatever it cannot, or must not."""
    path = file_path("b", key, is_directory=False)
    assert path.is_escaped and path.segments[:3] == (".s3proxy-export", "escaped", "b")


@settings(max_examples=200)
@given(st.lists(ODD, min_size=2, max_size=2, unique=True), st.booleans())
@example(["a", "b"], True)
def test_no_path_leads_out_or_is_anothers(keys: list[str], is_directory: bool) -> None:
    """Each segment is a name of a file, and no two keys have the same path."""
    paths = [file_path("b", key, is_directory=is_directory).segments for key in keys]
    assert paths[0] != paths[1]
    for segment in (segment for path in paths for segment in path):
        assert segment not in ("", ".", "..")
        assert "/" not in segment and "\0" not in segment
        assert len(segment.encode()) <= 255


def test_a_long_key_has_a_short_name() -> None:
    assert len(file_path("b", "é/" * 500, is_directory=False).segments[3]) <= 165


def test_checks() -> None:
    """The MD5; else a checksum of the whole, where the part is that; else nothing."""
    info = ObjectInfo(
        "b",
        "k",
        "o",
        1,
        "e",
        None,
        datetime(2026, 1, 1, tzinfo=UTC),
        checksums={"sha1": "x-2", "sha256": "y", "new": "z"},
    )
    part = Part("p", 1, 0, 1, "", ())
    assert check_of(info, part, is_only=True) == Check("sha256", "y")
    assert check_of(info, part, is_only=False) is None
    known = Part("p", 1, 0, 1, "m", ())
    assert check_of(info, known, is_only=True) == Check("md5", "m")
