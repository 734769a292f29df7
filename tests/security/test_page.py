"""docs/security.md: every case has its row, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
CASES, INTEROP = PAGE.split("\n## The cases\n")[1].split("\n## Interoperability")

#: The cases of the checklist that have a row.
NUMBERS = [*range(1, 101)]

_ROW = re.compile(r"^\| (\d+) \| ", re.MULTILINE)
_NAMED = re.compile(r"`(tests/[\w/]+\.py)?((?:::\w+)*)(?:\[([^]`]*)\])?`")


def named(text: str) -> Iterator[tuple[Path, str, str]]:
    """File, ``Class::function`` or "", and the beginning of a parameter or ""."""
    for row in text.splitlines():
        path = None
        for match in _NAMED.finditer(row):
            file, name, parameter = match.groups()
            path = ROOT / file if file is not None else path
            if path is not None and (file is not None or name):
                yield path, name.removeprefix("::"), parameter or ""


@cache
def functions_in(path: Path) -> frozenset[str]:
    """Functions of a file, methods with their classes."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
            found.update(
                f"{node.name}::{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            )
    return frozenset(found)


@cache
def texts_in(path: Path) -> tuple[str, ...]:
    """Every text of a file; of one that is put together, its beginning."""
    return tuple(
        node.value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


NAMED = sorted(set(named(CASES + INTEROP)))


def test_every_case_has_a_row() -> None:
    """In order, and once."""
    assert [int(number) for number in _ROW.findall(CASES)] == NUMBERS


@pytest.mark.parametrize("part", [CASES, INTEROP])
def test_every_row_names_a_test(part: str) -> None:
    """Under its number."""
    for row in part.splitlines():
        if _ROW.match(row):
            assert list(named(row)), row


def test_every_named_test_is_there() -> None:
    """So that a test that is renamed or dropped is missed."""
    assert len(NAMED) > 100
    for path, name, parameter in NAMED:
        shown = f"{path.relative_to(ROOT)}::{name}[{parameter}]"
        assert path.is_file(), shown
        if name:
            assert name in functions_in(path), shown
        if parameter:
            assert any(text.startswith(parameter) for text in texts_in(path)), shown


def test_the_check_can_fail() -> None:
    """It tells what is there from what is not."""
    here = Path(__file__)
    assert "test_the_check_can_fail" in functions_in(here)
    assert "test_the_check_could_fail" not in functions_in(here)
    text = "`tests/security/test_page.py::test_a[case-1-]`, `::B::c`, `other`"
    assert list(named(text)) == [(here, "test_a", "case-1-"), (here, "B::c", "")]
