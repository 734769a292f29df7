"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import AccessDenied, NoSuchKey, PreconditionFailed, S3Error
from s3proxy.manager.ports import Body
from s3proxy.model import Deleted
from s3proxy.plan.access import covers
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
        refusals = [_refusal(each, identity) for each in wanted.entries]
        entries = list(zip(wanted.entries, refusals, strict=True))
        doomed = [each.doomed for each, refused in entries if refused is None]
        results = iter(await self._objects.delete_many(op.bucket, doomed))
        failures = [
            refused or _failure(each, next(results)) for each, refused in entries
        ]
        return Answer.document(object_documents.deleted(wanted, failures))


def _refusal(entry: Entry, identity: Identity) -> S3Error | None:
    """Why this key is not deleted, whatever is there: not granted, or cannot be."""
    if identity.grant is None or not covers(identity.grant, entry.doomed.key):
        return AccessDenied()
    return entry.refused


def _failure(entry: Entry, result: Deleted) -> S3Error | None:
    if result is Deleted.PRECONDITION:
        return PreconditionFailed()
    if result is Deleted.ABSENT and entry.doomed.if_match is not None:
        return NoSuchKey()
    return None
