"""The ledger's side of recovery: leases that ran out, bytes to be deleted."""

from __future__ import annotations

from attrs import define, frozen

from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided
from s3proxy.store.sweeping import held


@frozen
class Due:
    """
    A backend object to delete.

    :ivar attempts: Which taking this is; another worker's makes this one void.
    :ivar size_bytes: With *backend_etag*, what sync took in; else of no meaning.
    """

    copy_id: str
    attempts: int
    backend_key: str
    version_id: str | None
    backend_etag: str | None = None
    size_bytes: int = 0


@define(eq=False)
class Janitor:
    """
    :ivar late_seconds: How long a PUT that nobody waits for may still land.
    :ivar hold_seconds: For how long taken garbage is one worker's.
    """

    pool: Pool
    lease_seconds: float
    late_seconds: float
    hold_seconds: float = 60.0

    async def reap(self, limit: int) -> int:
        """Abandon claims whose lease is over; returns how many."""
        ((count,),) = await run_decided(
            self.pool, "reap", limit=limit, lease=self._lease
        )
        return int(count)

    async def collect(self, backend: str, limit: int) -> list[Due]:
        """Take due garbage of *backend*, the longest due first."""
        rows = await run_decided(
            self.pool,
            "collect",
            backend=backend,
            limit=limit,
            hold=interval(self.hold_seconds),
            lease=self._lease,
        )
        return [Due(*row) for row in rows]

    async def collect_adopted(self, backend: str, limit: int) -> list[Due]:
        """Take due garbage of *backend* that sync took in; forget old tombstones."""
        rows = await run_decided(
            self.pool,
            "collect_adopted",
            backend=backend,
            limit=limit,
            hold=interval(self.hold_seconds),
            lease=self._lease,
        )
        return [Due(*row) for row in rows]

    async def let_go(self, changed: list[Due]) -> int:
        """Forget adopted copies whose key holds something else; returns how many."""
        ((count,),) = await run_decided(
            self.pool,
            "let_go",
            copy_ids=[each.copy_id for each in changed],
            attempts=[each.attempts for each in changed],
        )
        return int(count)

    async def collected(self, done: list[Due]) -> int:
        """Record confirmed deletes; returns how many rows are done with."""
        ((count,),) = await run_decided(
            self.pool,
            "collected",
            copy_ids=[each.copy_id for each in done],
            attempts=[each.attempts for each in done],
            late=interval(self.late_seconds),
        )
        return int(count)

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        return await held(self.pool)

    async def unpin_expired(self) -> None:
        """Forget read pins that nobody renewed."""
        await run_decided(self.pool, "unpin_expired")

    @property
    def _lease(self) -> str:
        return interval(self.lease_seconds)
