"""What can be moved: ``jobs.rebalancing.Movable``."""

from __future__ import annotations

from attrs import define

from s3proxy.plan.placement import Fill
from s3proxy.plan.rebalance import Candidate
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided, run_patiently


@define(eq=False)
class PostgresMoving:
    """Reads only."""

    pool: Pool

    async def fills(self) -> dict[str, Fill]:
        """See :class:`~s3proxy.jobs.rebalancing.Movable`."""
        return {
            name: Fill(used, limit, leaving, is_draining)
            for name, used, limit, leaving, _claimed, is_draining in await run_decided(
                self.pool, "settled_fills"
            )
        }

    async def candidates(self, backend: str, after: str, limit: int) -> list[Candidate]:
        """See :class:`~s3proxy.jobs.rebalancing.Movable`."""
        rows = await run_patiently(
            self.pool, "movable", backend=backend, after=after, limit=limit
        )
        return [
            Candidate(copy_id, part_id, backend, size, frozenset(holders))
            for copy_id, part_id, size, holders in rows
        ]
