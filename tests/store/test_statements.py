"""The statements by name, and that the server understands each."""

from __future__ import annotations

import re

import pytest

from s3proxy.store.statements import positional, statements
from tests.store.conftest import Database


@pytest.mark.parametrize("name", sorted(statements()))
def test_each_suits_the_schema(db: Database, name: str) -> None:
    """The server prepares it: tables, columns, functions and types exist."""
    text = positional(statements()[name])[0]
    assert "%(" not in text
    db.sql(f"PREPARE this AS {text}")
    db.sql("DEALLOCATE this")


def test_parameters_have_types() -> None:
    """Left to itself the server guesses, and guesses NULL wrong."""
    for name, text in statements().items():
        untyped = re.findall(r"%\((\w+)\)s(?!::)", text)
        assert not untyped, f"{name}: {untyped}"
