"""Scrubbing's side of the ledger: ``manager.scrubbing.ScrubLedger``, and its laps."""

from __future__ import annotations

import re

from attrs import define

from s3proxy.model import Copy
from s3proxy.plan.replicas import PartToCopy
from s3proxy.plan.scrubbing import ScrubCopy
from s3proxy.store.connection import Row
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.replicas import PostgresReplicas
from s3proxy.store.running import run_decided, run_patiently
from s3proxy.store.sweeping import held, lose

_MD5 = re.compile(r"[0-9a-f]{32}")
_DAY_SECONDS = 86400.0


@define(eq=False)
class PostgresScrubbing:
    """
    StoreUnavailable is any method's.

    :ivar grace_seconds: How long what goes stays for reads under way.
    :ivar bytes_per_day: What may be read on any day.
    :ivar interval_seconds: For so long what was not read is saved up.
    """

    pool: Pool
    replicas: PostgresReplicas
    grace_seconds: float
    bytes_per_day: int
    interval_seconds: float

    async def may_read(self) -> bool:
        """Whether the budget is not used up."""
        ((may,),) = await run_decided(self.pool, "may_scrub")
        return bool(may)

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        return await held(self.pool)

    async def page(self, backend: str, limit: int) -> list[ScrubCopy] | None:
        """
        The copies whose turn it is on *backend*; empty at the end of a lap.

        None where the next lap is not to begin yet.
        """
        rows = await run_decided(
            self.pool, "scrub_place", backend=backend, lap=interval(_DAY_SECONDS)
        )
        if not rows:
            return None
        ((after, may_begin),) = rows
        if not after and not may_begin:
            return None
        rows = await run_patiently(
            self.pool, "scrubbable", backend=backend, after=after, limit=limit
        )
        if not rows and not after:
            return None
        return [_copy(row) for row in rows]

    async def note(self, copy: Copy, count_bytes: int) -> None:
        """It has been read, and so many bytes are paid."""
        await run_decided(
            self.pool,
            "note_scrub",
            backend=copy.backend_name,
            copy_id=copy.copy_id,
            bytes=count_bytes,
            seconds=interval(self._seconds(count_bytes)),
            interval=interval(self.interval_seconds),
        )

    async def end_lap(self, backend: str) -> None:
        """All there have been read."""
        await run_decided(self.pool, "end_lap", backend=backend)

    async def mendable(self, limit: int) -> list[ScrubCopy]:
        """Copies that are known to be bad, of parts that have others."""
        return [
            _copy(row) for row in await run_decided(self.pool, "mendable", limit=limit)
        ]

    async def spend(self, count_bytes: int) -> None:
        """So many bytes more have been read."""
        await run_decided(
            self.pool,
            "spend_scrub",
            seconds=interval(self._seconds(count_bytes)),
            interval=interval(self.interval_seconds),
        )

    async def quarantine(self, copy_id: str, word: str | None) -> bool:
        """See :class:`~s3proxy.manager.scrubbing.ScrubLedger`."""
        ((is_new,),) = await run_decided(
            self.pool, "quarantine", copy_id=copy_id, word=word
        )
        return bool(is_new)

    async def lose(self, copy_id: str, verified: str | None) -> str:
        """See :class:`~s3proxy.manager.scrubbing.ScrubLedger`."""
        return await lose(self.pool, copy_id, verified, self.grace_seconds)

    async def learn(self, part_id: str, md5: str) -> None:
        """See :class:`~s3proxy.manager.scrubbing.ScrubLedger`."""
        await run_decided(self.pool, "learn_md5", part_id=part_id, md5=md5)

    async def find(self, part_id: str) -> PartToCopy | None:
        """See :class:`~s3proxy.manager.scrubbing.ScrubLedger`."""
        return await self.replicas.find(part_id)

    def _seconds(self, count_bytes: int) -> float:
        # What is saved up comes on top of a day's share, so a day's share is less.
        day = _DAY_SECONDS + self.interval_seconds
        return count_bytes * day / self.bytes_per_day


def _copy(row: Row) -> ScrubCopy:
    *copy, is_manifest, md5 = row
    copy_id, part_id, backend, key, size_bytes, etag, version_id, is_bad = copy
    return ScrubCopy(
        Copy(copy_id, part_id, backend, key, size_bytes, etag, version_id, is_bad),
        is_manifest,
        md5 if md5 and _MD5.fullmatch(md5) else None,
    )
