"""What ``export`` asks of the ledger, beside what readers do."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@define(eq=False)
class Exports:
    """Reads only."""

    pool: Pool

    async def directories(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """
        Those of *keys* of which there is a further key that begins with it and a slash.

        :raises StoreUnavailable: The ledger cannot be read.
        """
        rows = await run_decided(
            self.pool, "key_directories", bucket=bucket, keys=list(keys)
        )
        return {key for (key,) in rows}
