"""Statements that recur are prepared, and mean what they meant."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred

from s3proxy.store.pool import Pool
from s3proxy.store.statements import positional
from tests.store.conftest import Database, MakePool

EVERY_KIND = (
    "SELECT %(text)s::text, %(none)s::text, %(number)s::bigint, %(yes)s::boolean, "
    "%(some)s::text[], %(no)s::text[], %(numbers)s::integer[], %(span)s::interval, "
    "%(json)s::jsonb, %(text)s::text, 7 %% 4"
)
VALUES: dict[str, Any] = {
    "text": "it's 100 % \\ $1 %(none)s",
    "none": None,
    "number": 5 * 2**40,
    "yes": True,
    "some": ["a", "b'", ""],
    "no": [],
    "numbers": [1, 2],
    "span": "0.250000 seconds",
    "json": '{"a%": "b"}',
}
PREPARED = "SELECT statement FROM pg_prepared_statements ORDER BY name"


@ensureDeferred
async def test_prepared_from_the_second_run_on(
    db: Database, make_pool: MakePool
) -> None:
    """A statement that is run once costs one round trip, and stays no longer."""
    pool = make_pool(db.config, max_connections=1)
    first = await pool.query(EVERY_KIND, VALUES)
    assert await pool.query(PREPARED) == []
    for _ in range(8):  # past the point where the server settles for a generic plan
        assert await pool.query(EVERY_KIND, VALUES) == first
    assert await pool.query(PREPARED) == [
        (f"PREPARE s0 AS {positional(EVERY_KIND)[0]}",)
    ]


@ensureDeferred
async def test_statements_do_not_take_each_others_names(
    db: Database, make_pool: MakePool
) -> None:
    """However their runs are mixed."""
    pool = make_pool(db.config, max_connections=1)
    texts = [f"SELECT {number} + %(n)s::integer" for number in range(4)]
    for _ in range(3):
        for number, text in enumerate(texts):
            assert await pool.query(text, {"n": 10}) == [(number + 10,)]


@ensureDeferred
async def test_a_session_that_forgot_is_replaced(
    db: Database, make_pool: MakePool
) -> None:
    """One statement fails, none after it."""
    pool = make_pool(db.config, max_connections=1)
    for _ in range(3):
        await pool.query("SELECT %(n)s::integer", {"n": 1})
    await pool.query("DISCARD ALL")
    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        await pool.query("SELECT %(n)s::integer", {"n": 1})
    assert await pool.query("SELECT %(n)s::integer", {"n": 1}) == [(1,)]


@ensureDeferred
async def test_a_column_that_changed_its_type(pool: Pool, db: Database) -> None:
    """As a newer version's schema may do under an older daemon: it recovers."""
    db.sql("CREATE TABLE changing (it integer); INSERT INTO changing VALUES (1)")
    read = "SELECT it FROM changing WHERE %(yes)s::boolean"
    try:
        for _ in range(3):
            assert await pool.query(read, {"yes": True}) == [(1,)]
        db.sql("ALTER TABLE changing ALTER it TYPE text")
        with pytest.raises(psycopg2.errors.FeatureNotSupported):
            await pool.query(read, {"yes": True})
        assert await pool.query(read, {"yes": True}) == [("1",)]
    finally:
        db.sql("DROP TABLE changing")
