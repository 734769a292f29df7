"""The statements by name, and that the server understands each."""

from __future__ import annotations

import re
from itertools import count

import pytest

from s3proxy.store.statements import statements
from tests.store.conftest import Database


def prepared(text: str) -> str:
    """The statement with ``$1`` … in place of psycopg2's parameters."""
    numbers = count(1)
    places: dict[str, str] = {}

    def place(match: re.Match[str]) -> str:
        return places.setdefault(match[1], f"${next(numbers)}")

    return re.sub(r"%\((\w+)\)s", place, text).replace("%%", "%")


@pytest.mark.parametrize("name", sorted(statements()))
def test_each_suits_the_schema(db: Database, name: str) -> None:
    """The server prepares it: tables, columns, functions and types exist."""
    text = prepared(statements()[name])
    assert "%" not in text
    db.sql(f"PREPARE this AS {text}")
    db.sql("DEALLOCATE this")


def test_parameters_have_types() -> None:
    """Left to itself the server guesses, and guesses NULL wrong."""
    for name, text in statements().items():
        untyped = re.findall(r"%\((\w+)\)s(?!::)", text)
        assert not untyped, f"{name}: {untyped}"
