"""What most tests do with a ledger: claims and commits of one copy of a body."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from s3proxy.manager.ports import MadeCopy, NewObject, Stored
from s3proxy.model import Claim, CopyCount, ObjectInfo, PartInfo, WriteConditions
from s3proxy.store import ledger, uploads


class OneCopy:
    """For a :class:`s3proxy.manager.ports.Ledger`."""

    async def claim(
        self: Any,
        backends: Sequence[str],
        bucket: str,
        key: str,
        size_bytes: int,
        conditions: WriteConditions,
    ) -> Claim:
        """One claim."""
        (claim,) = await self.claim_copies(
            backends, bucket, key, size_bytes, conditions, CopyCount()
        )
        assert isinstance(claim, Claim)
        return claim

    async def commit(
        self: Any,
        claim: Claim,
        new: NewObject,
        conditions: WriteConditions,
        backend_etag: str | None,
        version_id: str | None,
    ) -> ObjectInfo:
        """Make it live."""
        made = [MadeCopy(claim, Stored(backend_etag, version_id))]
        info = await self.commit_copies(made, new, conditions, 1)
        assert isinstance(info, ObjectInfo)
        return info


class OnePartCopy:
    """For a :class:`s3proxy.manager.upload_ports.UploadLedger`."""

    async def claim_part(
        self: Any,
        backends: Sequence[str],
        upload_id: str,
        bucket: str,
        key: str,
        part_number: int,
        size_bytes: int,
    ) -> Claim:
        """One claim."""
        (claim,) = await self.claim_part_copies(
            backends, upload_id, bucket, key, part_number, size_bytes, CopyCount()
        )
        assert isinstance(claim, Claim)
        return claim

    async def commit_part(
        self: Any,
        claim: Claim,
        upload_id: str,
        part: PartInfo,
        backend_etag: str | None,
        version_id: str | None,
    ) -> datetime:
        """Make it live."""
        made = [MadeCopy(claim, Stored(backend_etag, version_id))]
        stamp = await self.commit_part_copies(made, upload_id, part, 1)
        assert isinstance(stamp, datetime)
        return stamp


class PostgresLedger(OneCopy, ledger.PostgresLedger):
    """The real one."""


class PostgresUploads(OnePartCopy, uploads.PostgresUploads):
    """The real one."""
