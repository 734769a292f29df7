"""The rules of docs/protocol.md and the code that carries them out name each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
_NUMBERED = re.compile(r"^(\d+)\. ", re.MULTILINE)
# A comment may go on in the next line.
_GAP = r"[\s#-]+"
_CITED = re.compile(
    rf"\brules?{_GAP}(\d+(?:(?:,|,?{_GAP}(?:to|and|or)){_GAP}\d+)*)", re.IGNORECASE
)
_RANGE = re.compile(rf"(\d+){_GAP}to{_GAP}(\d+)")


def cited_in(text: str) -> set[int]:
    """The rules that a text names: "rule 9", "rules 6, 9 and 20 to 22"."""
    found: set[int] = set()
    for numbers in _CITED.findall(text):
        found.update(int(each) for each in re.findall(r"\d+", numbers))
        for first, last in _RANGE.findall(numbers):
            found.update(range(int(first), int(last) + 1))
    return found


def rules() -> list[int]:
    """Those of the page, in its order."""
    return [
        int(number)
        for number in _NUMBERED.findall((TOP / "docs/protocol.md").read_text("utf-8"))
    ]


def sources() -> Iterator[Path]:
    """The program, and the ledger's functions."""
    yield TOP / "schema.sql"
    for kind in ("*.py", "*.sql"):
        yield from (TOP / "s3proxy").rglob(kind)


@cache
def cited() -> dict[int, list[str]]:
    """Which files name each rule."""
    found: dict[int, list[str]] = {}
    for path in sources():
        for number in cited_in(path.read_text("utf-8")):
            found.setdefault(number, []).append(str(path.relative_to(TOP)))
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(protocol, rule 9)", {9}),
        ("Rule 11: no backend call", {11}),
        ("rules 20 to 22", {20, 21, 22}),
        ("rules 6, 9 and 20 to 22", {6, 9, 20, 21, 22}),
        ("-- rules 12\n-- to 14).", {12, 13, 14}),
        ("# (protocol,\n# rule\n# 48)", {48}),
        ("3 rules, 5 backends", set()),
        ("ruler 4", set()),
    ],
)
def test_what_a_citation_is(text: str, found: set[int]) -> None:
    assert cited_in(text) == found


def test_rules_have_their_own_numbers() -> None:
    """In order; some that the model's first draft had are not there any more."""
    assert rules() == sorted(set(rules())) and len(rules()) > 30


@pytest.mark.parametrize("number", rules())
def test_each_rule_is_cited_where_it_is_carried_out(number: int) -> None:
    assert number in cited(), (
        f"docs/protocol.md has rule {number}, and nothing in s3proxy/ or schema.sql "
        f'says "rule {number}": say it where the rule is carried out'
    )


def test_each_rule_that_is_cited_is_there() -> None:
    unknown = {number: cited()[number] for number in cited().keys() - set(rules())}
    assert not unknown, f"docs/protocol.md has no such rules: {unknown}"
