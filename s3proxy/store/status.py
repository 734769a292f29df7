"""What ``status`` asks of the ledger."""

from __future__ import annotations

from attrs import define, frozen

from s3proxy.plan.usage import Used
from s3proxy.store.jobs import JobRow, job_rows
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided
from s3proxy.store.sweeping import held
from s3proxy.store.usage import PostgresUsage


@frozen
class BackendFill:
    """
    Bytes of one backend.

    :ivar used_bytes: All that is charged there, in every state.
    :ivar limit_bytes: 0: no limit.
    :ivar leaving_bytes: The share of *used_bytes* that is to be deleted.
    :ivar claimed_bytes: The share of *used_bytes* that may be on its way.
    :ivar is_draining: Nothing new goes there, and what is there goes elsewhere.
    """

    name: str
    used_bytes: int
    limit_bytes: int
    leaving_bytes: int
    claimed_bytes: int
    is_draining: bool = False


@define(eq=False)
class Status:
    """Reads only, and no more rows than are not live."""

    pool: Pool

    async def backends(self) -> list[BackendFill]:
        """Every backend that the ledger knows, by name."""
        rows = await run_decided(self.pool, "settled_fills")
        return [BackendFill(*row) for row in rows]

    async def jobs(self) -> list[JobRow]:
        """What each kind of work did last, by name."""
        return await job_rows(self.pool)

    async def quarantined(self) -> int:
        """Copies that are known to be bad."""
        rows = await run_decided(self.pool, "count_quarantined")
        return sum(int(count) for _, count in rows)

    async def usage(self) -> list[Used]:
        """What was used of this month's budgets, or is reserved."""
        return await PostgresUsage(self.pool).now()

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        return await held(self.pool)

    async def under_replicated(self, factor: int) -> tuple[int, int]:
        """Parts with fewer live copies than that, and those of them without any."""
        ((few, lost),) = await run_decided(self.pool, "under_replicated", factor=factor)
        return int(few), int(lost)
