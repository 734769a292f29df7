"""What a sweep asks of the ledger: ``manager.sweeping.SweepLedger``, and its hold."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import asdict, define

from s3proxy.model import Copy
from s3proxy.plan.naming import parse_name
from s3proxy.plan.sweeping import Known, Orphan
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided, run_patiently


@define(eq=False)
class PostgresSweeping:
    """
    StoreUnavailable is any method's.

    :ivar grace_seconds: How long what goes stays for reads under way.
    """

    pool: Pool
    grace_seconds: float

    async def known(self, backend: str, keys: Sequence[str]) -> dict[str, Known]:
        """See :class:`~s3proxy.manager.sweeping.SweepLedger`."""
        names = [parse_name(key) for key in keys]
        rows = await run_decided(
            self.pool,
            "swept_keys",
            backend=backend,
            backend_keys=list(keys),
            ulids=[None if name is None else name[1] for name in names],
        )
        return {
            key: Known(
                copy_id,
                size_bytes,
                etag,
                state,
                bool(is_adopted),
                None if other is None else f"{other}, as {other_key!r}",
            )
            for key, copy_id, size_bytes, etag, state, is_adopted, other, other_key in (
                rows
            )
        }

    async def live(self, backend: str, after: str, limit: int) -> list[Copy]:
        """See :class:`~s3proxy.manager.sweeping.SweepLedger`."""
        rows = await run_patiently(
            self.pool, "live_copies", backend=backend, after=after, limit=limit
        )
        return [
            Copy(copy_id, part_id, backend, key, size_bytes, etag, version_id)
            for copy_id, part_id, key, size_bytes, etag, version_id in rows
        ]

    async def queue(self, backend: str, orphans: Sequence[Orphan]) -> list[str]:
        """See :class:`~s3proxy.manager.sweeping.SweepLedger`."""
        rows = await run_decided(
            self.pool,
            "sweep",
            backend=backend,
            page=json.dumps([asdict(each) for each in orphans]),
            grace=interval(self.grace_seconds),
        )
        return [key for (key,) in rows]

    async def lose(self, copy_id: str) -> str:
        """See :class:`~s3proxy.manager.sweeping.SweepLedger`."""
        return await lose(self.pool, copy_id, None, self.grace_seconds)

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        return await held(self.pool)

    async def suspect(self, word: str) -> None:
        """From now on nothing may be deleted, for this reason."""
        await run_decided(self.pool, "suspect", word=word)

    async def accept_restore(self) -> None:
        """Somebody vouches for the ledger as it is."""
        await run_decided(self.pool, "accept_restore")

    async def last(self, interval_seconds: float) -> tuple[bool, str | None]:
        """Whether all backends are to be swept now, and what was found last."""
        ((is_due, result),) = await run_decided(
            self.pool, "last_sweep", interval=interval(interval_seconds)
        )
        return bool(is_due), result

    async def note(self, result: str) -> None:
        """All backends have been swept."""
        await run_decided(self.pool, "swept", result=result)


async def held(pool: Pool) -> str | None:
    """Why nothing may be deleted; None where all is well."""
    ((why,),) = await run_decided(pool, "held")
    return None if why is None else str(why)


async def lose(
    pool: Pool, copy_id: str, verified: str | None, grace_seconds: float
) -> str:
    """
    A live copy is one no more, if its part has another.

    :param verified: The one that it must have; None: any.
    """
    ((outcome,),) = await run_decided(
        pool,
        "lose_copy",
        copy_id=copy_id,
        verified=verified,
        grace=interval(grace_seconds),
    )
    return str(outcome)
