"""
CopyObject and UploadPartCopy: the source's bytes, stored once more.

A copy's bytes get keys of their own, wherever there is room. Where that is a backend
which has them, it is asked to copy them itself (protocol, rule 32); else they are read
and written like any body. A source of several parts is copied part by part, through an
upload of its own, so that a copy needs no more room in one place than its largest part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from attrs import define
from twisted.logger import Logger

from s3proxy.errors import BackendError, S3Error, ServiceUnavailable, StoreError
from s3proxy.manager.backend_copies import WholePart
from s3proxy.manager.objects import Objects
from s3proxy.manager.pinning import Pin
from s3proxy.manager.ports import Ledger
from s3proxy.manager.reading import ObjectReader
from s3proxy.manager.upload_ports import NewUpload, UploadLedger
from s3proxy.manager.writes import ObjectWrite, PartWrite, R, Write
from s3proxy.manager.writing import Writer
from s3proxy.model import CompletedPart, ObjectInfo, Part, PartInfo, StoredObject
from s3proxy.s3.checksums import COUNT
from s3proxy.s3.conditions import check_copy
from s3proxy.s3.copies import CopyObject, UploadPartCopy
from s3proxy.s3.operation import PutObject
from s3proxy.s3.ranges import check_copy as check_copy_range
from s3proxy.s3.uploads import UploadPart


@define(eq=False)
class SourceBody:
    """
    Bytes *start* to *end* of an object, as a body; opened at the first read, when the
    copy has its claim.
    """

    #: The source's checksums are asked for before.
    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    _objects: Objects
    _stored: StoredObject
    _start: int
    _end: int
    _reader: ObjectReader | None = None

    async def read(self) -> bytes:
        """
        See :class:`~s3proxy.manager.ports.Body`.

        :raises ServiceUnavailable: No copy of the source can go on.
        """
        if self._reader is None:
            self._reader = await self._objects.open(
                self._stored, self._start, self._end
            )
        try:
            return await self._reader.read()
        except BackendError as why:
            raise ServiceUnavailable(
                "No backend that holds the source goes on answering. Please try again."
            ) from why

    def pin(self) -> Pin:
        """What keeps the source while it is copied without a :meth:`read`."""
        return self._objects.pin(self._stored.info.object_id)

    def close(self) -> None:
        """Drop what is open; at or after the end it is fine."""
        if self._reader is not None:
            self._reader.abort()


@define(eq=False)
class Copies:
    """What the front door calls. Errors that clients see are S3Error or StoreError."""

    _objects: Objects
    _ledger: Ledger
    _uploads: UploadLedger
    _writer: Writer
    _installation_id: str
    _log = Logger()

    async def copy(self, op: CopyObject) -> ObjectInfo:
        """
        Copy an object.

        To itself, with other metadata: one statement, and no byte moves.

        :raises NoSuchKey: The source is not there.
        :raises PreconditionFailed: A condition on source or target does not hold.
        """
        stored = await self._objects.find(op.source.bucket, op.source.key)
        source = stored.info
        check_copy(op.source_conditions, source.etag, source.last_modified)
        if op.is_to_itself:
            changed = await self._ledger.replace_metadata(
                source,
                op.content_type,
                op.headers,
                op.user_metadata,
                op.conditions,
                op.tags,
            )
            # Overwritten meanwhile: it is the new version that is copied.
            return await self.copy(op) if changed is None else changed
        kept = op if op.replace_metadata else source
        is_multipart = "-" in source.etag and source.size_bytes > 0
        # Of an adopted object it may be unknown, and its ETag something else.
        md5 = stored.parts[0].md5 or None if stored.parts else None
        target = PutObject(
            op.bucket,
            op.key,
            content_length=source.size_bytes,
            content_md5=None if "-" in source.etag else md5,
            checksums=dict(source.checksums) if "-" not in source.etag else {},
            content_type=kept.content_type,
            headers=dict(kept.headers),
            user_metadata=dict(kept.user_metadata),
            conditions=op.conditions,
            tags=dict(source.tags if op.tags is None else op.tags),
        )
        if is_multipart:
            return await self._copy_parts(target, stored)
        body = SourceBody(self._objects, stored, 0, source.size_bytes)
        write = ObjectWrite(target, body, self._ledger, self._installation_id)
        return await self._store(write, body, stored.parts[0])

    async def copy_part(self, op: UploadPartCopy) -> PartInfo:
        """
        Store a range of an object as a part of an open upload.

        :raises NoSuchUpload: 404; or NoSuchKey, the source's.
        :raises InvalidArgument: The range is not within the source.
        """
        stored = await self._objects.find(op.source.bucket, op.source.key)
        source = stored.info
        check_copy(op.source_conditions, source.etag, source.last_modified)
        start, end = check_copy_range(op.source_range, source.size_bytes)
        return await self._copy_range(
            UploadPart(op.bucket, op.key, op.upload_id, op.part_number, end - start),
            SourceBody(self._objects, stored, start, end),
            await self._part_of(stored, start, end),
        )

    async def _part_of(self, stored: StoredObject, start: int, end: int) -> Part | None:
        """The part that these bytes are, where they are one."""
        parts = stored.parts
        if stored.parts_count > len(parts):
            parts = await self._ledger.parts(stored.info.object_id, start, start + 1)
        for part in parts:
            if (part.offset_bytes, part.size_bytes) == (start, end - start):
                return part
        return None

    async def _copy_range(
        self, op: UploadPart, body: SourceBody, part: Part | None
    ) -> PartInfo:
        write = PartWrite(op, body, self._uploads, self._installation_id)
        return await self._store(write, body, part)

    async def _store(self, write: Write[R], body: SourceBody, part: Part | None) -> R:
        """:param part: The one that the body is, whole; None where it is no such."""
        source = None if part is None else WholePart(part, body.pin())
        try:
            return await self._writer.store(write, body, sha256=None, source=source)
        finally:
            body.close()

    async def _copy_parts(self, target: PutObject, stored: StoredObject) -> ObjectInfo:
        source = stored.info
        # One byte more, for an empty last part.
        parts = await self._ledger.parts(source.object_id, 0, source.size_bytes + 1)
        if not parts:
            raise ServiceUnavailable("The source was overwritten. Please try again.")
        stored = StoredObject(source, parts)
        upload_id = await self._uploads.create(
            NewUpload(
                target.bucket,
                target.key,
                target.content_type,
                target.headers,
                target.user_metadata,
                tags=target.tags,
            )
        )
        try:
            done = [
                await self._copy_one(target, upload_id, stored, part) for part in parts
            ]
            completed = await self._uploads.complete(
                upload_id,
                target.bucket,
                target.key,
                done,
                target.conditions,
                least_part_bytes=0,
                checksums=_still_true(source.checksums, len(parts)),
            )
        except BaseException:
            await self._abort(upload_id, target)
            raise
        # Not read again: it may be another's already, and this copy stood.
        return ObjectInfo(
            bucket=target.bucket,
            key=target.key,
            object_id=completed.object_id,
            size_bytes=target.content_length,
            etag=completed.etag,
            content_type=target.content_type,
            last_modified=completed.last_modified or source.last_modified,
            headers=target.headers,
            user_metadata=target.user_metadata,
            checksums=completed.checksums,
            tags=target.tags,
        )

    async def _copy_one(
        self, target: PutObject, upload_id: str, stored: StoredObject, part: Part
    ) -> CompletedPart:
        # The whole copy may take longer than the grace, each part less.
        await self._ledger.pin(stored.info.object_id)
        op = UploadPart(
            target.bucket,
            target.key,
            upload_id,
            part.part_number,
            part.size_bytes,
            content_md5=part.md5 or None,
        )
        start = part.offset_bytes
        body = SourceBody(self._objects, stored, start, start + part.size_bytes)
        info = await self._copy_range(op, body, part)
        return CompletedPart(info.part_number, info.etag)

    async def _abort(self, upload_id: str, target: PutObject) -> None:
        try:
            await self._uploads.abort(upload_id, target.bucket, target.key)
        except (S3Error, StoreError) as why:
            # The job for stale uploads does the same, later.
            self._log.warn("upload {id} left: {why}", id=upload_id, why=why)


def _still_true(checksums: Mapping[str, str], parts_count: int) -> dict[str, str]:
    """
    Without those that are of other parts: an adopted object has one here, however many
    it was uploaded in.
    """
    return {
        name: value
        for name, value in checksums.items()
        if not (count := COUNT.search(value)) or count[0] == f"-{parts_count}"
    }
