"""Multipart uploads over PostgreSQL: ``manager.upload_ports.UploadLedger``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define

from s3proxy.errors import (
    EntityTooSmall,
    InsufficientStorage,
    InvalidPart,
    NoSuchBucket,
    NoSuchUpload,
    OutcomeUnknown,
)
from s3proxy.manager.ports import MadeCopy
from s3proxy.manager.upload_ports import NewUpload
from s3proxy.model import (
    Claim,
    Completed,
    CompletedPart,
    CopyCount,
    PartInfo,
    UploadInfo,
    UploadPage,
    WriteConditions,
)
from s3proxy.plan.naming import is_opaque
from s3proxy.store.claims import claims_lost, made_columns, no_room, read_claims
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.refusals import refusal
from s3proxy.store.running import run, run_decided

#: S3's least size of a part that is not the last.
LEAST_PART_BYTES = 5 * 1024 * 1024

#: A repeated CompleteMultipartUpload gets its answer for this long.
KEEP_ANSWER_SECONDS = 24 * 3600.0


@define(eq=False)
class PostgresUploads:
    """
    :ivar lease_seconds: How long a claim lives without an extension.
    :ivar grace_seconds: How long overwritten bytes stay for reads under way.
    """

    pool: Pool
    lease_seconds: float
    grace_seconds: float

    async def create(self, new: NewUpload) -> str:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        rows = await run_decided(
            self.pool,
            "create_upload",
            bucket=new.bucket,
            key=new.key,
            content_type=new.content_type,
            headers=json.dumps(new.headers),
            user_metadata=json.dumps(new.user_metadata),
            tags=json.dumps(new.tags),
            checksum_algorithm=new.checksum_algorithm,
            checksum_type=new.checksum_type,
        )
        if not rows:
            raise NoSuchBucket(fields={"BucketName": new.bucket})
        return str(rows[0][0])

    async def claim_part_copies(
        self,
        backends: Sequence[str],
        upload_id: str,
        bucket: str,
        key: str,
        part_number: int,
        size_bytes: int,
        count: CopyCount,
    ) -> tuple[Claim, ...]:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        rows = await run_decided(
            self.pool,
            "claim_part",
            backends=list(backends),
            upload_id=upload_id,
            bucket=bucket,
            key=key,
            opaque=is_opaque(key),
            part_number=part_number,
            size_bytes=size_bytes,
            lease=interval(self.lease_seconds),
            least=count.least,
            most=count.most,
        )
        outcome = rows[0][0]
        if outcome == "no_upload":
            raise NoSuchUpload(fields={"UploadId": upload_id})
        if outcome == "full":
            raise InsufficientStorage(
                f"{no_room(count)} for a part of {size_bytes} bytes. Delete objects "
                "or abort uploads, raise a backend's quota_bytes, or add a backend."
            )
        return read_claims(rows, size_bytes, self.lease_seconds)

    async def commit_part_copies(
        self,
        made: Sequence[MadeCopy],
        upload_id: str,
        part: PartInfo,
        least: int,
    ) -> datetime:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        ((outcome, last_modified),) = await run(
            self.pool,
            "commit_part",
            **made_columns(made),
            least=least,
            upload_id=upload_id,
            part_number=part.part_number,
            size_bytes=part.size_bytes,
            md5=part.etag,
            checksums=json.dumps(dict(part.checksums)),
        )
        if outcome == "lost":
            raise claims_lost(made)
        if outcome == "no_upload":
            raise NoSuchUpload(fields={"UploadId": upload_id})
        assert isinstance(last_modified, datetime)
        return last_modified

    async def complete(
        self,
        upload_id: str,
        bucket: str,
        key: str,
        parts: Sequence[CompletedPart],
        conditions: WriteConditions,
        *,
        least_part_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> Completed:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        least = LEAST_PART_BYTES if least_part_bytes is None else least_part_bytes
        parameters: dict[str, Any] = {
            "upload_id": upload_id,
            "bucket": bucket,
            "key": key,
            "numbers": [each.part_number for each in parts],
            "etags": [each.etag for each in parts],
            "least": least,
            "checksums": json.dumps(dict(checksums or {})),
            "if_match": list(conditions.if_match),
            "if_none_match": list(conditions.if_none_match),
            "grace": interval(self.grace_seconds),
        }
        try:
            rows = await run(self.pool, "complete", **parameters)
        except OutcomeUnknown:
            # A completed upload gives a repeat the answer of the first time.
            rows = await run_decided(self.pool, "complete", **parameters)
        ((outcome, part_number, answer),) = rows
        match outcome:
            case "no_upload":
                raise NoSuchUpload(fields={"UploadId": upload_id})
            case "invalid_part":
                raise InvalidPart(fields={"PartNumber": str(part_number)})
            case "too_small":
                raise EntityTooSmall(
                    fields={
                        "PartNumber": str(part_number),
                        "MinSizeAllowed": str(least),
                    }
                )
            case "precondition":
                raise await refusal(self.pool, bucket, key, conditions)
        return Completed(
            answer["etag"],
            answer["checksums"],
            answer["object_id"],
            datetime.fromisoformat(answer["last_modified"]),
        )

    async def abort(self, upload_id: str, bucket: str, key: str) -> None:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        ((was_open,),) = await run_decided(
            self.pool, "abort", upload_id=upload_id, bucket=bucket, key=key
        )
        if not was_open:
            raise NoSuchUpload(fields={"UploadId": upload_id})

    async def find(self, upload_id: str, bucket: str, key: str) -> UploadInfo:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        rows = await run_decided(
            self.pool, "upload", upload_id=upload_id, bucket=bucket, key=key
        )
        if not rows:
            raise NoSuchUpload(fields={"UploadId": upload_id})
        ((found, initiated, algorithm, kind),) = rows
        return UploadInfo(found, key, initiated, algorithm, kind)

    async def list_parts(
        self, upload_id: str, after: int, limit: int
    ) -> tuple[list[PartInfo], bool]:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        rows = await run_decided(
            self.pool, "list_parts", upload_id=upload_id, after=after, limit=limit + 1
        )
        return [PartInfo(*row) for row in rows[:limit]], len(rows) > limit

    async def list_uploads(
        self,
        bucket: str,
        prefix: str,
        delimiter: str,
        key_marker: str,
        upload_id_marker: str,
        limit: int,
    ) -> UploadPage:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        rows = await run_decided(
            self.pool,
            "list_uploads",
            bucket=bucket,
            prefix=prefix,
            delimiter=delimiter,
            key_marker=key_marker,
            upload_marker=upload_id_marker,
            limit=limit + 1,
        )
        page = rows[:limit]
        uploads = tuple(UploadInfo(*row[1:]) for row in page if row[0] is None)
        prefixes = tuple(row[0] for row in page if row[0] is not None)
        if len(rows) <= limit or not page:
            return UploadPage(uploads, prefixes)
        common_prefix, upload_id, key, *_ = page[-1]
        return UploadPage(uploads, prefixes, common_prefix or key, upload_id or "")

    async def expire(self, max_age_seconds: float, limit: int) -> int:
        """Abort stale uploads, a batch at a time; returns how many."""
        ((aborted,),) = await run_decided(
            self.pool,
            "expire_uploads",
            max_age=interval(max_age_seconds),
            keep_answer=interval(KEEP_ANSWER_SECONDS),
            limit=limit,
        )
        return int(aborted)
