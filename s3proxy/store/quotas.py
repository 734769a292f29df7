"""How full the backends are: ``manager.routing.Fills``."""

from __future__ import annotations

from attrs import define

from s3proxy.plan.placement import Fill
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@define(eq=False)
class PostgresQuotas:
    """Reads only."""

    pool: Pool

    async def fills(self) -> dict[str, Fill]:
        """See :class:`~s3proxy.manager.routing.Fills`."""
        return {
            name: Fill(used, limit)
            for name, used, limit in await run_decided(self.pool, "fills")
        }
