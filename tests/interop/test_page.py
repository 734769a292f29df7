"""``docs/interop.md`` names tests that are there."""

from __future__ import annotations

import re

from tests.daemon import ROOT

PAGE = ROOT / "docs/interop.md"


def test_every_test_is_there() -> None:
    """The file, and in it the function."""
    found = 0
    for row in PAGE.read_text("utf-8").splitlines():
        text = ""
        for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::([\w:]+))?`", row):
            if path:
                text = (ROOT / path).read_text("utf-8")
            for each in filter(None, name.split("::")):
                assert re.search(rf"^\s*(async def|def|class) {each}\b", text, re.M), (
                    f"{path}::{name} is not there"
                )
                found += 1
    assert found > 30


def test_every_line_of_listings_and_uploads_has_one() -> None:
    """Lines 34 to 48, with tests whose ids carry the number."""
    page = PAGE.read_text("utf-8")
    marks = "".join(
        path.read_text("utf-8") for path in (ROOT / "tests/interop").glob("test_*.py")
    )
    for number in range(34, 49):
        assert re.search(rf"^\| {number} \| .*`tests/interop/", page, re.MULTILINE)
        assert f"@interop({number}, " in marks
