"""What the ledger knows of backends and buckets, brought in line at start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import define, frozen

from s3proxy.errors import StoreError
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


class BackendMoved(StoreError):
    """A configured backend is not where the ledger has its bytes; says what to do."""


@frozen
class BackendEntry:
    """A backend as configured: where it is, and how much may go there (0: no limit)."""

    name: str
    location: str
    bytes_limit: int


@define(eq=False)
class Registry:
    """Reads and writes ``backend_quotas`` and ``buckets``."""

    pool: Pool

    async def register(
        self, backends: Collection[BackendEntry], accept_moved: Collection[str]
    ) -> None:
        """
        Record limits, and locations at first use.

        :param accept_moved: Names whose move or absence the operator vouches for.
        :raises BackendMoved: A location differs from the recorded one, or a backend
            that still has rows is not configured.
        """
        await self.check(backends, accept_moved)
        for each in backends:
            await run_decided(
                self.pool,
                "put_backend",
                name=each.name,
                location=each.location,
                bytes_limit=each.bytes_limit,
            )

    async def check(
        self, backends: Collection[BackendEntry], accept_moved: Collection[str]
    ) -> None:
        """As :meth:`register`, but nothing is recorded."""
        problems = []
        configured: Mapping[str, BackendEntry] = {each.name: each for each in backends}
        for name, location, _limit, _used, has_rows in await run_decided(
            self.pool, "backend_rows"
        ):
            entry = configured.get(name)
            if name in accept_moved:
                continue
            if entry is None and has_rows:
                problems.append(
                    f"backend {name} ({location}) still has rows in the ledger but is "
                    f"not configured: add it again, or pass --accept-moved {name} if "
                    "its bytes are to stay unreachable"
                )
            elif entry and location and entry.location != location and has_rows:
                problems.append(
                    f"backend {name} is at {entry.location}, but its bytes were "
                    f"written to {location}: mend the configuration, or pass "
                    f"--accept-moved {name} if you have moved the bytes there"
                )
        if problems:
            raise BackendMoved("; ".join(problems))

    async def register_bucket(self, bucket: str) -> list[str]:
        """Make sure of *bucket*; returns other buckets that hold objects."""
        await run_decided(self.pool, "put_bucket", bucket=bucket)
        held = [name for (name,) in await run_decided(self.pool, "stray_buckets")]
        return [name for name in held if name != bucket]

    async def buckets(self) -> list[tuple[str, datetime]]:
        """Buckets by name, with the time they were made."""
        return [
            (name, made) for name, made in await run_decided(self.pool, "bucket_rows")
        ]

    async def installation_id(self) -> str:
        """Which installation this database is."""
        ((found,),) = await run_decided(self.pool, "installation_id")
        return str(found)
