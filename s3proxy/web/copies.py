"""CopyObject and UploadPartCopy."""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from s3proxy.errors import NoSuchBucket
from s3proxy.manager.ports import Body
from s3proxy.s3 import upload_documents
from s3proxy.s3.copies import CopyObject, CopySource, UploadPartCopy
from s3proxy.web.answer import Answer, Later
from s3proxy.web.auth import Identity
from s3proxy.web.ports import CopiesPort


@frozen
class CopyHandlers:
    """
    Copies, as answers. Both may take as long as their bytes.

    :ivar buckets: Those that clients may read: a copy needs of its source what a GET
        of it needs.
    """

    _copies: CopiesPort
    _buckets: Collection[str]

    async def copy(self, op: CopyObject, body: Body, identity: Identity) -> Later:
        """
        ``PUT`` with a source: the copy's ETag and time.

        :raises NoSuchBucket: The source's.
        """
        self._check(op.source)
        return Later(lambda: self._copy(op))

    async def copy_part(
        self, op: UploadPartCopy, body: Body, identity: Identity
    ) -> Later:
        """
        ``PUT ?partNumber&uploadId`` with a source: the part's ETag and time.

        :raises NoSuchBucket: The source's.
        """
        self._check(op.source)
        return Later(lambda: self._copy_part(op))

    def _check(self, source: CopySource) -> None:
        if source.bucket not in self._buckets:
            raise NoSuchBucket(fields={"BucketName": source.bucket})

    async def _copy(self, op: CopyObject) -> Answer:
        return Answer.document(upload_documents.copied(await self._copies.copy(op)))

    async def _copy_part(self, op: UploadPartCopy) -> Answer:
        part = await self._copies.copy_part(op)
        return Answer.document(upload_documents.part_copied(part))
