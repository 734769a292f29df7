"""
Multipart in memory: ``manager.upload_ports.UploadLedger`` and ``jobs.expiring.Expiry``
over a ledger that keeps manifests, held to the same contract as PostgreSQL
(``tests/contracts/uploads.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import md5 as md5_of

from attrs import define, evolve, field

from s3proxy.errors import (
    EntityTooSmall,
    InvalidPart,
    NoSuchUpload,
)
from s3proxy.manager.ports import CopyState, MadeCopy
from s3proxy.manager.upload_ports import NewUpload
from s3proxy.model import (
    Claim,
    Completed,
    CompletedPart,
    CopyCount,
    ObjectInfo,
    ObjectPart,
    Part,
    PartInfo,
    PartRange,
    StoredObject,
    UploadInfo,
    UploadPage,
    WriteConditions,
)
from s3proxy.s3.conditions import write_refusal
from tests.fakes.ledger import MemoryLedger
from tests.one_copy import OnePartCopy

LEAST_PART_BYTES = 5 * 1024 * 1024
KEEP_ANSWER_SECONDS = 24 * 3600.0


@define
class MemoryPart:
    """A part of an open upload, and its copies."""

    info: PartInfo
    copy_ids: tuple[str, ...]


@define
class MemoryUpload:
    """An upload; open while *ended_at* is None, completed when it has an *answer*."""

    new: NewUpload
    info: UploadInfo
    began_at: float
    parts: dict[int, MemoryPart] = field(factory=dict)
    ended_at: float | None = None
    answer: Completed | None = None


class ManifestLedger(MemoryLedger):
    """A ledger whose objects may have many parts."""

    _manifests: dict[str, tuple[Part, ...]]
    _part_checksums: dict[str, Mapping[str, str]]

    def make_object(self, info: ObjectInfo, parts: tuple[Part, ...]) -> None:
        """These parts, whose copies are live, are the object now."""
        self._discard(info.bucket, info.key)
        self._objects[info.bucket, info.key] = info, parts[0].copies
        self.manifests[info.object_id] = parts

    @property
    def manifests(self) -> dict[str, tuple[Part, ...]]:
        """Of objects that were uploaded in parts, by object id."""
        if not hasattr(self, "_manifests"):
            self._manifests = {}
        return self._manifests

    @property
    def part_checksums(self) -> dict[str, Mapping[str, str]]:
        """Of parts that were uploaded with some, by part id."""
        if not hasattr(self, "_part_checksums"):
            self._part_checksums = {}
        return self._part_checksums

    async def find(self, bucket: str, key: str) -> StoredObject | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        stored = await super().find(bucket, key)
        if stored is None or stored.info.object_id not in self.manifests:
            return stored
        parts = self.manifests[stored.info.object_id]
        return StoredObject(stored.info, parts[:1], parts_count=len(parts))

    async def parts(self, object_id: str, start: int, end: int) -> tuple[Part, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        plain = await super().parts(object_id, start, end)
        return tuple(
            part
            for part in self.manifests.get(object_id, plain)
            if part.offset_bytes < end and part.offset_bytes + part.size_bytes > start
        )

    async def part_range(
        self, bucket: str, key: str, part_number: int
    ) -> PartRange | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        plain = await super().part_range(bucket, key, part_number)
        if plain is None or plain.info.object_id not in self.manifests:
            return plain
        parts = self.manifests[plain.info.object_id]
        if part_number > len(parts):
            return PartRange(plain.info, None, len(parts))
        part = parts[part_number - 1]
        run = part.offset_bytes, part.offset_bytes + part.size_bytes
        return PartRange(plain.info, run, len(parts))

    def _told_parts(self, info: ObjectInfo) -> tuple[ObjectPart, ...]:
        if info.object_id not in self.manifests:
            return super()._told_parts(info)
        return tuple(
            ObjectPart(
                part.part_number,
                part.size_bytes,
                self.part_checksums.get(part.part_id, {}),
            )
            for part in self.manifests[info.object_id]
        )

    def _discard(self, bucket: str, key: str) -> None:
        info, _copy = self._objects.get((bucket, key), (None, None))
        super()._discard(bucket, key)
        if info is None:
            return
        for part in self.manifests.pop(info.object_id, ()):
            for copy in part.copies:
                row = self.rows[copy.copy_id]
                row.state, row.object_id = CopyState.GARBAGE, info.object_id
                row.due_at = self._now() + self.grace_seconds


class MemoryUploads(OnePartCopy):
    """
    :ivar ledger: Its rows and clock are this one's too, and so are its faults: the
        names of this one's methods are those of its calls.
    :ivar least_part_bytes: What a part has to have that is not the last.
    """

    def __init__(
        self, ledger: ManifestLedger, *, least_part_bytes: int = LEAST_PART_BYTES
    ) -> None:
        self.ledger = ledger
        self.least_part_bytes = least_part_bytes
        self.uploads: dict[str, MemoryUpload] = {}

    async def create(self, new: NewUpload) -> str:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        ledger = self.ledger
        ledger._called("create")
        upload_id = f"{ledger._ulid()}-upload"
        info = UploadInfo(
            upload_id,
            new.key,
            ledger._date(),
            new.checksum_algorithm,
            new.checksum_type,
        )
        self.uploads[upload_id] = MemoryUpload(new, info, ledger._now())
        return upload_id

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
        self.ledger._called("claim_part")
        self._open(upload_id, bucket, key)
        claims = []
        for claim in await self.ledger.claim_copies(
            backends, bucket, key, size_bytes, WriteConditions(), count
        ):
            backend_key = f"{claim.copy.backend_key}.{part_number:05}"
            copy = evolve(claim.copy, backend_key=backend_key)
            self.ledger.rows[copy.copy_id].copy = copy
            claims.append(evolve(claim, copy=copy))
        return tuple(claims)

    async def commit_part_copies(
        self,
        made: Sequence[MadeCopy],
        upload_id: str,
        part: PartInfo,
        least: int,
    ) -> datetime:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        ledger = self.ledger
        ledger._called("commit_part")
        rows = ledger._stored(made, least)
        upload = self.uploads.get(upload_id)
        if upload is None or upload.ended_at is not None:
            for row in rows:
                ledger._abandon(row, delete_twice=False)
            raise NoSuchUpload(fields={"UploadId": upload_id})
        displaced = upload.parts.pop(part.part_number, None)
        if displaced is not None:
            self._drop(displaced)
        info = evolve(part, last_modified=ledger._date())
        copy_ids = tuple(row.copy.copy_id for row in rows)
        upload.parts[part.part_number] = MemoryPart(info, copy_ids)
        for row in rows:
            row.state, row.due_at = CopyState.LIVE, None
        return info.last_modified

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
        ledger = self.ledger
        ledger._called("complete")
        upload = self.uploads.get(upload_id)
        if (
            upload is not None
            and upload.answer is not None
            and (upload.new.bucket, upload.new.key) == (bucket, key)
        ):
            return upload.answer
        upload = self._open(upload_id, bucket, key)
        least = self.least_part_bytes if least_part_bytes is None else least_part_bytes
        etag = ledger._etag(bucket, key)
        if not conditions.hold(etag):
            raise write_refusal(conditions, key, exists=etag is not None)
        for wanted in parts:
            held = upload.parts.get(wanted.part_number)
            if held is None or held.info.etag != wanted.etag:
                raise InvalidPart(fields={"PartNumber": str(wanted.part_number)})
        for wanted in parts[:-1]:
            if upload.parts[wanted.part_number].info.size_bytes < least:
                raise EntityTooSmall(
                    fields={
                        "PartNumber": str(wanted.part_number),
                        "MinSizeAllowed": str(least),
                    }
                )
        listed = [upload.parts.pop(wanted.part_number) for wanted in parts]
        for unlisted in upload.parts.values():
            self._drop(unlisted)
        upload.parts.clear()
        manifest, offset = [], 0
        for each in listed:
            copies = tuple(ledger.rows[copy_id].copy for copy_id in each.copy_ids)
            part_id, size = copies[0].part_id, each.info.size_bytes
            number, etag = each.info.part_number, each.info.etag
            manifest.append(Part(part_id, number, offset, size, etag, copies))
            ledger.part_checksums[part_id] = each.info.checksums
            offset += size
        whole = b"".join(bytes.fromhex(each.info.etag) for each in listed)
        etag = f"{md5_of(whole).hexdigest()}-{len(listed)}"
        info = ObjectInfo(
            bucket,
            key,
            ledger._ulid(),
            offset,
            etag,
            upload.new.content_type,
            ledger._date(),
            dict(upload.new.headers),
            dict(upload.new.user_metadata),
            dict(checksums or {}),
            dict(upload.new.tags),
        )
        ledger.make_object(info, tuple(manifest))
        upload.answer = Completed(
            etag, dict(checksums or {}), info.object_id, info.last_modified
        )
        upload.ended_at = ledger._now()
        return upload.answer

    async def abort(self, upload_id: str, bucket: str, key: str) -> None:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        self.ledger._called("abort")
        self._abort(self._open(upload_id, bucket, key))

    async def find(self, upload_id: str, bucket: str, key: str) -> UploadInfo:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        self.ledger._called("find_upload")
        return self._open(upload_id, bucket, key).info

    async def list_parts(
        self, upload_id: str, after: int, limit: int
    ) -> tuple[list[PartInfo], bool]:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        self.ledger._called("list_parts")
        upload = self.uploads.get(upload_id)
        parts = upload.parts if upload is not None else {}
        ahead = [parts[number].info for number in sorted(parts) if number > after]
        return ahead[:limit], len(ahead) > limit

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
        self.ledger._called("list_uploads")
        entries: dict[tuple[str, str], UploadInfo | None] = {}
        for upload in self.uploads.values():
            key = upload.new.key
            if upload.ended_at is not None or upload.new.bucket != bucket:
                continue
            if not key.startswith(prefix):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                entries[key, upload.info.upload_id] = upload.info
            else:
                entries[key[: cut + len(delimiter)], ""] = None
        ahead = sorted(
            (key, upload_id)
            for key, upload_id in entries
            if key > key_marker
            or (key == key_marker and upload_id > upload_id_marker > "")
        )
        page = ahead[:limit]
        uploads = tuple(each for entry in page if (each := entries[entry]) is not None)
        prefixes = tuple(entry[0] for entry in page if entries[entry] is None)
        if len(ahead) <= limit or not page:
            return UploadPage(uploads, prefixes)
        return UploadPage(uploads, prefixes, *page[-1])

    async def expire(self, max_age_seconds: float, limit: int) -> int:
        """See :class:`~s3proxy.jobs.expiring.Expiry`."""
        self.ledger._called("expire")
        now = self.ledger._now()
        stale = sorted(
            (upload.began_at, upload_id)
            for upload_id, upload in self.uploads.items()
            if upload.ended_at is None and upload.began_at < now - max_age_seconds
        )[:limit]
        for _began_at, upload_id in stale:
            self._abort(self.uploads[upload_id])
        for upload_id, upload in list(self.uploads.items()):
            ended_at = upload.ended_at
            if ended_at is not None and ended_at < now - KEEP_ANSWER_SECONDS:
                del self.uploads[upload_id]
        return len(stale)

    # Inside ---

    def _open(self, upload_id: str, bucket: str, key: str) -> MemoryUpload:
        upload = self.uploads.get(upload_id)
        if (
            upload is None
            or upload.ended_at is not None
            or (upload.new.bucket, upload.new.key) != (bucket, key)
        ):
            raise NoSuchUpload(fields={"UploadId": upload_id})
        return upload

    def _abort(self, upload: MemoryUpload) -> None:
        for each in upload.parts.values():
            self._drop(each)
        upload.parts.clear()
        upload.ended_at = self.ledger._now()

    def _drop(self, part: MemoryPart) -> None:
        for copy_id in part.copy_ids:
            row = self.ledger.rows[copy_id]
            row.state, row.due_at = CopyState.GARBAGE, self.ledger._now()
