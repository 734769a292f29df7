"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import NoSuchKey, PreconditionFailed, S3Error
from s3proxy.manager.ports import Body
from s3proxy.model import Deleted
from s3proxy.s3 import deletion, object_documents
from s3proxy.s3.deletion import DeleteObject, DeleteObjects, Entry
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.documents import receive
from s3proxy.web.headers import version_headers
from s3proxy.web.ports import ObjectsPort


@frozen
class DeletionHandlers:
    """Deletions, as answers."""

    _objects: ObjectsPort

    async def delete(self, op: DeleteObject, body: Body, identity: Identity) -> Answer:
        """
        ``DELETE``: 204, whether there was an object or not.

        :raises PreconditionFailed: It has another ETag; or NoSuchKey, it has to exist.
        """
        await self._objects.delete(op.bucket, op.key, op.if_match)
        return Answer(204, tuple(version_headers(op.version_id).items()))

    async def delete_many(
        self, op: DeleteObjects, body: Body, identity: Identity
    ) -> Answer:
        """
        ``POST ?delete``: what became of each key.

        :raises MalformedXML: The body is no list of keys; or BadDigest.
        """
        document = await receive(op.document, body, identity, deletion.MAX_BYTES)
        wanted = deletion.parse(document)
        doomed = [each.doomed for each in wanted.entries if each.refused is None]
        results = iter(await self._objects.delete_many(op.bucket, doomed))
        failures = [
            each.refused or _failure(each, next(results)) for each in wanted.entries
        ]
        return Answer.document(object_documents.deleted(wanted, failures))


def _failure(entry: Entry, result: Deleted) -> S3Error | None:
    if result is Deleted.PRECONDITION:
        return PreconditionFailed()
    if result is Deleted.ABSENT and entry.doomed.if_match is not None:
        return NoSuchKey()
    return None
