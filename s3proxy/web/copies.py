"""CopyObject and UploadPartCopy."""

from __future__ import annotations

from attrs import frozen

from s3proxy.manager.ports import Body
from s3proxy.s3 import upload_documents
from s3proxy.s3.copies import CopyObject, UploadPartCopy
from s3proxy.web.answer import Answer, Later
from s3proxy.web.auth import Identity
from s3proxy.web.ports import CopiesPort


@frozen
class CopyHandlers:
    """
    Copies, as answers. Both may take as long as their bytes.

    A copy needs of its source what a GET of it needs: the gate has seen to it.
    """

    _copies: CopiesPort

    async def copy(self, op: CopyObject, body: Body, identity: Identity) -> Later:
        """``PUT`` with a source: the copy's ETag and time."""
        return Later(lambda: self._copy(op))

    async def copy_part(
        self, op: UploadPartCopy, body: Body, identity: Identity
    ) -> Later:
        """``PUT ?partNumber&uploadId`` with a source: the part's ETag and time."""
        return Later(lambda: self._copy_part(op))

    async def _copy(self, op: CopyObject) -> Answer:
        return Answer.document(upload_documents.copied(await self._copies.copy(op)))

    async def _copy_part(self, op: UploadPartCopy) -> Answer:
        part = await self._copies.copy_part(op)
        return Answer.document(upload_documents.part_copied(part))
