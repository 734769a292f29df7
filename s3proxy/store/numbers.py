"""What is shown of the ledger: ``observe.Numbers``."""

from __future__ import annotations

import psycopg2
from attrs import define

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.observe import Counts, Quota, Unsettled
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided
from s3proxy.store.statements import statements
from s3proxy.store.sweeping import held
from s3proxy.store.usage import PostgresUsage

#: Counting looks at every copy, and nobody waits for it.
_PATIENCE_SECONDS = 300.0


@define(eq=False)
class PostgresNumbers:
    """Reads only."""

    pool: Pool

    async def quotas(self) -> list[Quota]:
        """See :class:`~s3proxy.observe.Numbers`."""
        rows = await run_decided(self.pool, "backend_rows")
        return [Quota(name, used, limit) for name, _, limit, used, _ in rows]

    async def unsettled(self) -> list[Unsettled]:
        """See :class:`~s3proxy.observe.Numbers`."""
        rows = await run_decided(self.pool, "unsettled_copies")
        return [Unsettled(*row) for row in rows]

    async def waiting(self) -> tuple[int, int]:
        """See :class:`~s3proxy.observe.Numbers`."""
        ((manifests, pins),) = await run_decided(self.pool, "waiting_work")
        return int(manifests), int(pins)

    async def held(self) -> str | None:
        """See :class:`~s3proxy.observe.Numbers`."""
        return await held(self.pool)

    async def quarantined(self) -> dict[str, int]:
        """See :class:`~s3proxy.observe.Numbers`."""
        rows = await run_decided(self.pool, "count_quarantined")
        return {backend: int(count) for backend, count in rows}

    async def usage(self) -> list[tuple[str, str, int]]:
        """See :class:`~s3proxy.observe.Numbers`."""
        rows = await PostgresUsage(self.pool).now()
        return [(each.backend, each.kind, each.amount) for each in rows]

    async def counts(self) -> Counts:
        """See :class:`~s3proxy.observe.Numbers`."""
        return Counts(
            await self._count("count_objects"), await self._count("count_uploads")
        )

    async def _count(self, name: str) -> dict[str, int]:
        try:
            rows = await self.pool.query(
                statements()[name], {}, timeout_seconds=_PATIENCE_SECONDS
            )
        except (psycopg2.Error, OutcomeUnknown) as why:
            raise StoreUnavailable(f"{name}: {why}".strip()) from why
        return {backend: int(count) for backend, count in rows}
