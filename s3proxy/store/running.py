"""
A statement by name, with failures in the words of :mod:`s3proxy.errors`.

One place says what a failure of a statement means; the ledger's classes call it.
"""

from __future__ import annotations

from typing import Any

import psycopg2

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.observe import current_view
from s3proxy.store.connection import Row
from s3proxy.store.pool import Pool
from s3proxy.store.statements import statements

#: What is few is looked for among all that there are.
PATIENCE_SECONDS = 600.0


async def run(pool: Pool, statement: str, /, **parameters: Any) -> list[Row]:
    """
    Run a statement whose unknown outcome the caller looks after.

    A request that reads a standby (protocol, rule 50) has all of its statements there.

    :raises StoreUnavailable: It did not happen; the server's refusal says so, too.
    :raises OutcomeUnknown: The connection broke while it was under way.
    """
    try:
        return await (current_view() or pool).query(statements()[statement], parameters)
    except psycopg2.Error as why:
        raise StoreUnavailable(f"{statement}: {why}".strip()) from why


async def run_decided(pool: Pool, statement: str, /, **parameters: Any) -> list[Row]:
    """
    Run a statement of which an unknown outcome needs no looking after.

    A claim nobody knows of runs out by its lease, what was taken comes back by its
    hold, and the others can be said again.

    :raises StoreUnavailable: It failed, or nobody knows.
    """
    try:
        return await run(pool, statement, **parameters)
    except OutcomeUnknown as why:
        raise StoreUnavailable(f"{statement}: {why}") from why


async def run_patiently(pool: Pool, statement: str, /, **parameters: Any) -> list[Row]:
    """As :func:`run_decided`, of one that may look at every row."""
    try:
        return await pool.query(
            statements()[statement], parameters, timeout_seconds=PATIENCE_SECONDS
        )
    except (psycopg2.Error, OutcomeUnknown) as why:
        raise StoreUnavailable(f"{statement}: {why}".strip()) from why
