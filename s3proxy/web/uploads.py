"""The operations on multipart uploads, but for UploadPartCopy."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from s3proxy.manager.ports import Body
from s3proxy.model import CompletedPart
from s3proxy.s3 import completion, upload_documents
from s3proxy.s3.checksums import Digests
from s3proxy.s3.uploads import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
)
from s3proxy.web.answer import Answer, Later
from s3proxy.web.auth import Identity
from s3proxy.web.chunked_body import unframed
from s3proxy.web.documents import collect
from s3proxy.web.headers import checksum_headers
from s3proxy.web.objects import refuse_too_large
from s3proxy.web.ports import UploadsPort


@frozen
class UploadHandlers:
    """
    Operations on uploads, as answers.

    :ivar max_object_size: Of one body, in bytes: an object of many parts may be larger.
    """

    _uploads: UploadsPort
    _max_object_size: int

    async def create(
        self, op: CreateMultipartUpload, body: Body, identity: Identity
    ) -> Answer:
        """``POST ?uploads``: the upload's id."""
        upload_id = await self._uploads.create(op)
        announced = (
            ("x-amz-checksum-algorithm", op.checksum_algorithm),
            ("x-amz-checksum-type", op.checksum_type),
        )
        return Answer.document(
            upload_documents.created(op, upload_id),
            headers=tuple([(name, value) for name, value in announced if value]),
        )

    async def put_part(self, op: UploadPart, body: Body, identity: Identity) -> Answer:
        """
        ``PUT ?partNumber&uploadId``: 200 with the part's ETag.

        :raises EntityTooLarge: Before a byte of the body is read.
        """
        refuse_too_large(op.content_length, self._max_object_size)
        body = unframed(op, body, identity)
        part = await self._uploads.put_part(op, body, sha256=identity.sha256)
        headers = {"ETag": f'"{part.etag}"', **checksum_headers(part.checksums)}
        return Answer(200, tuple(headers.items()), length=0)

    async def complete(
        self, op: CompleteMultipartUpload, body: Body, identity: Identity
    ) -> Later:
        """
        ``POST ?uploadId``: the object's ETag.

        :raises MalformedXML: The body is no list of parts; or InvalidPartOrder.
        :raises BadDigest: It is not what its headers say; or XAmzContentSHA256Mismatch.
        """
        digests = Digests(op.content_md5, identity.sha256)
        document = await collect(body, digests, completion.MAX_BYTES)
        parts = completion.parse(document)
        return Later(lambda: self._complete(op, parts))

    async def abort(
        self, op: AbortMultipartUpload, body: Body, identity: Identity
    ) -> Answer:
        """``DELETE ?uploadId``: 204."""
        await self._uploads.abort(op)
        return Answer(204)

    async def list_parts(self, op: ListParts, body: Body, identity: Identity) -> Answer:
        """``GET ?uploadId``"""
        page = await self._uploads.list_parts(op)
        return Answer.document(
            upload_documents.list_parts(op, page, identity.bucket_owner)
        )

    async def list_uploads(
        self, op: ListMultipartUploads, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?uploads``"""
        page = await self._uploads.list_uploads(op)
        return Answer.document(
            upload_documents.list_uploads(op, page, identity.bucket_owner)
        )

    async def _complete(
        self, op: CompleteMultipartUpload, parts: Sequence[CompletedPart]
    ) -> Answer:
        result = await self._uploads.complete(op, parts)
        return Answer.document(upload_documents.completed(op, result))
