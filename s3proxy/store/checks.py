"""What ``check`` asks of the ledger."""

from __future__ import annotations

import psycopg2
from attrs import define, frozen

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.store.connection import Row
from s3proxy.store.pool import Pool
from s3proxy.store.statements import statements

#: A whole-table count may take longer than a request's statement.
_PATIENCE_SECONDS = 600.0


@frozen
class BackendSums:
    """A backend's counter beside the sum of its rows, and its rows by state."""

    name: str
    bytes_used: int
    bytes_limit: int
    bytes_summed: int
    claimed: int
    live: int
    garbage: int
    abandoned: int


@frozen
class CopyRow:
    """One row of ``object_locations``, as far as a backend's listing can show it."""

    copy_id: str
    backend_key: str
    size_bytes: int
    backend_etag: str | None
    state: str
    is_adopted: bool = False


@define(eq=False)
class Checks:
    """Reads only."""

    pool: Pool

    async def sums(self) -> list[BackendSums]:
        """Every backend that the ledger knows, by name, of one moment."""
        return [BackendSums(*row) for row in await self._run("sums")]

    async def live_page(self, backend: str, after: str, limit: int) -> list[CopyRow]:
        """Live copies on *backend* after copy id *after*, in order of copy id."""
        rows = await self._run("live_page", backend=backend, after=after, limit=limit)
        return [CopyRow(*row) for row in rows]

    async def rows_of_keys(self, backend: str, keys: list[str]) -> list[CopyRow]:
        """The rows, in any state, of these backend keys."""
        rows = await self._run("rows_of_keys", backend=backend, backend_keys=keys)
        return [CopyRow(*row) for row in rows]

    async def broken_objects(self) -> list[str]:
        """Objects that cannot be read whole, and rows that belong to no object."""
        objects = await self._run("unreadable_objects")
        strays = await self._run("strays")
        bare = await self._run("unmanifested_objects")
        miscounted = await self._run("miscounted_parts")
        bad = await self._run("quarantined", limit=100)
        return [
            *(f"object {bucket}/{key}: a part is missing" for bucket, key in objects),
            *(f"{kind} {name} belongs to no object" for kind, name in strays),
            *(f"object {bucket}/{key}: has no manifest copy" for bucket, key in bare),
            *(
                f"{backend}: quarantined: {backend_key!r} of {bucket}/{key} {word}"
                for backend, backend_key, bucket, key, word in bad
            ),
            *(f"part {name}: its copies are miscounted" for (name,) in miscounted),
        ]

    async def wanted_manifests(self) -> int:
        """How many objects wait for their manifest copy to be written."""
        ((count,),) = await self._run("wanted_manifests")
        return int(count)

    async def _run(self, name: str, **parameters: object) -> list[Row]:
        # The server's limit is for requests; a check of many rows may take longer.
        # Statistics of an emptier ledger would plan joins row by row.
        sql = f"SET LOCAL enable_nestloop = off; {statements()[name]}"
        try:
            return await self.pool.query(
                sql, parameters, timeout_seconds=_PATIENCE_SECONDS
            )
        except (psycopg2.Error, OutcomeUnknown) as why:
            raise StoreUnavailable(f"{name}: {why}".strip()) from why
