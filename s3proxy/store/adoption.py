"""Objects that are on a backend already, taken into the ledger where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import define

from s3proxy.model import FoundObject
from s3proxy.plan.adoption import Adopted
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@define(eq=False)
class Adoption:
    """``commands.context.Adoption`` over PostgreSQL."""

    pool: Pool

    async def preview(
        self, backend: str, bucket: str, page: Sequence[FoundObject]
    ) -> dict[str, Adopted]:
        """See :class:`~s3proxy.commands.context.Adoption`."""
        return await self._run("adoption", backend, bucket, page)

    async def adopt(
        self, backend: str, bucket: str, page: Sequence[FoundObject]
    ) -> dict[str, Adopted]:
        """See :class:`~s3proxy.commands.context.Adoption`."""
        return await self._run("adopt", backend, bucket, page)

    async def _run(
        self, statement: str, backend: str, bucket: str, page: Sequence[FoundObject]
    ) -> dict[str, Adopted]:
        rows = await run_decided(
            self.pool,
            statement,
            backend=backend,
            bucket=bucket,
            page=json.dumps([_entry(each) for each in page]),
        )
        return {key: Adopted(outcome) for key, outcome in rows}


def _entry(found: FoundObject) -> dict[str, object]:
    """A line of the page, as ``ledger_adopt`` reads it."""
    modified = found.last_modified
    return {
        "key": found.key,
        "size_bytes": found.size_bytes,
        "etag": found.etag,
        "md5": found.md5 or "",
        "content_type": found.content_type,
        "headers": dict(found.headers),
        "user_metadata": dict(found.user_metadata),
        "checksums": dict(found.checksums),
        "last_modified": None if modified is None else modified.isoformat(),
        "version_id": found.version_id,
    }
