"""Backends that are being drained: ``jobs.draining.Drainable``, and for commands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import define, frozen

from s3proxy.plan.rebalance import Candidate
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@frozen
class Left:
    """
    What a backend holds.

    :ivar since: Since when it is being drained; None: it is not.
    :ivar word: What holds that up; None: nothing.
    :ivar copies: Live copies of what objects are made of; *bytes_count* of them.
    :ivar uploads: Live copies of parts of open uploads.
    :ivar manifests: Live manifest copies.
    :ivar claims: Copies under way.
    :ivar leaving: Copies that are to be deleted.
    """

    since: datetime | None
    word: str | None
    copies: int
    bytes_count: int
    uploads: int
    manifests: int
    claims: int
    leaving: int


@define(eq=False)
class PostgresDraining:
    """
    StoreUnavailable is any method's.

    :ivar grace_seconds: How long a copy that goes stays for reads under way.
    """

    pool: Pool
    grace_seconds: float

    async def start(self, backend: str) -> bool:
        """Nothing goes there from now on; whether the ledger knows it."""
        return bool(await run_decided(self.pool, "start_drain", backend=backend))

    async def stop(self, backend: str) -> bool:
        """It is as any other again; whether it was being drained."""
        return bool(await run_decided(self.pool, "stop_drain", backend=backend))

    async def draining(self) -> list[str]:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        return [name for (name,) in await run_decided(self.pool, "draining")]

    async def note(self, backend: str, word: str | None) -> None:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        await run_decided(self.pool, "note_drain", backend=backend, word=word)

    async def candidates(
        self, backend: str, after: str, limit: int
    ) -> Sequence[Candidate]:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        rows = await run_decided(
            self.pool, "drainable", backend=backend, after=after, limit=limit
        )
        return [
            Candidate(copy_id, part_id, backend, size, frozenset(holders))
            for copy_id, part_id, size, holders in rows
        ]

    async def drop(self, copy_id: str, part_id: str, factor: int) -> bool:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        ((dropped,),) = await run_decided(
            self.pool,
            "drop_copy",
            copy_id=copy_id,
            part_id=part_id,
            factor=factor,
            grace=interval(self.grace_seconds),
        )
        return bool(dropped)

    async def rewrite_manifests(self, backend: str, limit: int) -> int:
        """See :class:`~s3proxy.jobs.draining.Drainable`."""
        ((count,),) = await run_decided(
            self.pool, "rewrite_manifests", backend=backend, limit=limit
        )
        return int(count)

    async def left(self, backend: str) -> Left | None:
        """What it holds; None: the ledger does not know it."""
        rows = await run_decided(self.pool, "drain_left", backend=backend)
        return Left(*rows[0]) if rows else None

    async def remove(self, backend: str) -> bool:
        """Forget it, if it holds nothing; whether that was done."""
        return bool(await run_decided(self.pool, "remove_backend", backend=backend))
