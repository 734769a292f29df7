"""The operations on multipart uploads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from attrs import define

from s3proxy.errors import InvalidPartOrder, MalformedXML, NoSuchUpload
from s3proxy.manager.ports import Body
from s3proxy.manager.upload_ports import NewUpload, UploadLedger
from s3proxy.manager.writes import PartWrite
from s3proxy.manager.writing import Writer
from s3proxy.model import (
    Completed,
    CompletedPart,
    PartInfo,
    PartPage,
    UploadPage,
)
from s3proxy.s3.uploads import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
)
from s3proxy.s3.whole_checksums import check_completion

#: S3's limit; part numbers go up to it.
MAX_PARTS = 10_000


@define(eq=False)
class Uploads:
    """What the front door calls. Errors that clients see are S3Error or StoreError."""

    _uploads: UploadLedger
    _writer: Writer
    _installation_id: str

    async def create(self, op: CreateMultipartUpload) -> str:
        """Open an upload; returns its id."""
        return await self._uploads.create(
            NewUpload(
                op.bucket,
                op.key,
                op.content_type,
                dict(op.headers),
                dict(op.user_metadata),
                op.checksum_algorithm,
                op.checksum_type,
                dict(op.tags),
            )
        )

    async def put_part(
        self, op: UploadPart, body: Body, *, sha256: str | None
    ) -> PartInfo:
        """
        Store *body* as a part; one sent before under its number is replaced.

        :raises NoSuchUpload: 404, before the body is read or, racing, at the commit.
        """
        write = PartWrite(op, body, self._uploads, self._installation_id)
        return await self._writer.store(write, body, sha256=sha256)

    async def complete(
        self, op: CompleteMultipartUpload, parts: Sequence[CompletedPart]
    ) -> Completed:
        """
        Turn parts into the object. No backend is called, no byte is moved.

        :raises InvalidPartOrder: The list does not ascend.
        :raises InvalidPart: One is not there, or has another ETag or checksum; or
            EntityTooSmall, PreconditionFailed, NoSuchUpload. The upload stays.
        :raises BadDigest: The object's checksum is not what the client says; or
            InvalidRequest, its size.
        """
        if not parts:
            raise MalformedXML()
        numbers = [each.part_number for each in parts]
        if any(a >= b for a, b in pairwise(numbers)):
            raise InvalidPartOrder()
        return await self._uploads.complete(
            op.upload_id,
            op.bucket,
            op.key,
            parts,
            op.conditions,
            checksums=await self._checked(op, parts),
        )

    async def _checked(
        self, op: CompleteMultipartUpload, parts: Sequence[CompletedPart]
    ) -> dict[str, str]:
        """What the client says of sizes and checksums, against the parts' rows."""
        try:
            upload = await self._uploads.find(op.upload_id, op.bucket, op.key)
        except NoSuchUpload:
            # Completed already, perhaps: then the stored answer is all there is to say.
            return {}
        says_something = op.object_size is not None or any(p.checksums for p in parts)
        if upload.checksum_algorithm is None and not says_something:
            return {}
        stored, _ = await self._uploads.list_parts(op.upload_id, 0, MAX_PARTS)
        return check_completion(
            op,
            parts,
            {part.part_number: part for part in stored},
            upload.checksum_algorithm,
            upload.checksum_type,
        )

    async def abort(self, op: AbortMultipartUpload) -> None:
        """Give the upload up; its parts become garbage."""
        await self._uploads.abort(op.upload_id, op.bucket, op.key)

    async def list_parts(self, op: ListParts) -> PartPage:
        """A page of an open upload's parts."""
        upload = await self._uploads.find(op.upload_id, op.bucket, op.key)
        if op.max_parts == 0:
            return PartPage(upload, (), None)
        parts, more = await self._uploads.list_parts(
            op.upload_id, op.part_number_marker, op.max_parts
        )
        last = parts[-1].part_number if more else None
        return PartPage(upload, tuple(parts), last)

    async def list_uploads(self, op: ListMultipartUploads) -> UploadPage:
        """A page of the bucket's open uploads."""
        if op.max_uploads == 0:
            return UploadPage((), ())
        return await self._uploads.list_uploads(
            op.bucket,
            op.prefix,
            op.delimiter,
            op.key_marker,
            op.upload_id_marker,
            op.max_uploads,
        )
