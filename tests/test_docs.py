"""Links between pages lead somewhere, and the architecture names every room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.daemon import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


def anchor(title: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the checkout, and a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"https?:", target):
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
            assert heading in map(anchor, titles), target


def test_the_readme_leads_to_every_page() -> None:
    linked = re.findall(r"\(docs/(\w+)\.md\)", (ROOT / "README.md").read_text("utf-8"))
    assert {page.stem for page in ROOT.glob("docs/*.md")} == set(linked)


def test_the_architecture_has_every_room() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    rooms = {path.parent.name for path in (ROOT / "s3proxy").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == rooms


def test_benchmarks_are_there() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    for name in re.findall(r"-m bench\.(\w+)", page):
        assert (ROOT / f"bench/{name}.py").is_file()
