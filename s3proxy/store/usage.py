"""The account of what backends are used for each month (protocol, rule 51)."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg2
from attrs import define

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.plan.usage import Grant, Kind, Used
from s3proxy.store.connection import Row
from s3proxy.store.pool import Pool
from s3proxy.store.statements import statements


@define(eq=False)
class PostgresUsage:
    """
    Always the primary's: also for a request that reads a standby.

    A reservation or a return whose outcome is unknown may be counted without having
    been used: a budget is not exceeded for that.
    """

    pool: Pool

    async def reserve(
        self, backend: str, kind: Kind, least: int, most: int, limit: int
    ) -> Grant:
        """See :class:`~s3proxy.backend.budget.UsageLedger`."""
        ((granted, room, month, seconds),) = await self._run(
            "reserve_usage",
            backend=backend,
            kind=kind,
            least=least,
            most=most,
            limit=limit,
        )
        return Grant(granted, room, month, seconds)

    async def add(
        self, backend: str, kind: Kind, month: date | None, amount: int
    ) -> None:
        """See :class:`~s3proxy.backend.budget.UsageLedger`."""
        await self._run(
            "add_usage", backend=backend, kind=kind, month=month, amount=amount
        )

    async def now(self) -> list[Used]:
        """What this month's budgets are used for; StoreUnavailable."""
        return [Used(*row) for row in await self._run("usage_now")]

    async def _run(self, statement: str, /, **parameters: Any) -> list[Row]:
        try:
            return await self.pool.query(statements()[statement], parameters)
        except (psycopg2.Error, OutcomeUnknown) as why:
            raise StoreUnavailable(f"{statement}: {why}".strip()) from why
