"""Tags of objects and of buckets."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import NoSuchTagSet
from s3proxy.manager.ports import Body
from s3proxy.s3 import object_documents, tagging
from s3proxy.s3.tagging import (
    DeleteBucketTagging,
    DeleteObjectTagging,
    GetBucketTagging,
    GetObjectTagging,
    PutBucketTagging,
    PutObjectTagging,
)
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.documents import receive
from s3proxy.web.headers import version_headers
from s3proxy.web.ports import BucketTagsPort, ObjectsPort


@frozen
class TaggingHandlers:
    """Operations on tags, as answers."""

    _objects: ObjectsPort
    _buckets: BucketTagsPort

    async def get_object(
        self, op: GetObjectTagging, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}/{key}?tagging``; NoSuchKey."""
        info = await self._objects.head(op.bucket, op.key)
        return Answer.document(
            object_documents.tagging(info.tags),
            headers=tuple(version_headers(op.version_id).items()),
        )

    async def put_object(
        self, op: PutObjectTagging, body: Body, identity: Identity
    ) -> Answer:
        """
        ``PUT /{bucket}/{key}?tagging``: 200.

        :raises InvalidTag: Or MalformedXML, BadDigest, NoSuchKey.
        """
        document = await receive(op.document, body, identity, tagging.MAX_BYTES)
        tags = tagging.parse(document, tagging.MAX_OBJECT_TAGS)
        await self._objects.replace_tags(op.bucket, op.key, tags)
        return Answer(200, tuple(version_headers(op.version_id).items()), length=0)

    async def delete_object(
        self, op: DeleteObjectTagging, body: Body, identity: Identity
    ) -> Answer:
        """``DELETE /{bucket}/{key}?tagging``: 204; NoSuchKey."""
        await self._objects.replace_tags(op.bucket, op.key, {})
        return Answer(204, tuple(version_headers(op.version_id).items()))

    async def get_bucket(
        self, op: GetBucketTagging, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?tagging``; NoSuchTagSet."""
        tags = await self._buckets.tags(op.bucket)
        if not tags:
            raise NoSuchTagSet(fields={"BucketName": op.bucket})
        return Answer.document(object_documents.tagging(tags))

    async def put_bucket(
        self, op: PutBucketTagging, body: Body, identity: Identity
    ) -> Answer:
        """
        ``PUT /{bucket}?tagging``: 204.

        :raises InvalidTag: Or MalformedXML, BadDigest.
        """
        document = await receive(op.document, body, identity, tagging.MAX_BYTES)
        tags = tagging.parse(document, tagging.MAX_BUCKET_TAGS)
        await self._buckets.replace_tags(op.bucket, tags)
        return Answer(204)

    async def delete_bucket(
        self, op: DeleteBucketTagging, body: Body, identity: Identity
    ) -> Answer:
        """``DELETE /{bucket}?tagging``: 204."""
        await self._buckets.replace_tags(op.bucket, {})
        return Answer(204)
