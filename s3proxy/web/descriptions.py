"""What is asked of objects and buckets beside their bytes, listings and tags."""

from __future__ import annotations

from attrs import frozen

from s3proxy.manager.ports import Body
from s3proxy.model import ListPage, ObjectAttributes
from s3proxy.s3 import access_lists, object_documents, settings
from s3proxy.s3.access_lists import (
    GetBucketAcl,
    GetObjectAcl,
    PutBucketAcl,
    PutObjectAcl,
)
from s3proxy.s3.attributes import GetObjectAttributes
from s3proxy.s3.dates import http_date
from s3proxy.s3.settings import DeleteBucketSetting, GetBucketSetting
from s3proxy.s3.versions import ListObjectVersions
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.documents import receive
from s3proxy.web.headers import version_headers
from s3proxy.web.ports import ObjectsPort


@frozen
class DescriptionHandlers:
    """Attributes, versions, access control lists and settings, as answers."""

    _objects: ObjectsPort

    async def attributes(
        self, op: GetObjectAttributes, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}/{key}?attributes``; NoSuchKey."""
        if "ObjectParts" in op.wanted:
            found = await self._objects.attributes(
                op.bucket, op.key, op.part_number_marker, op.max_parts
            )
        else:
            info = await self._objects.head(op.bucket, op.key)
            found = ObjectAttributes(info, 0, (), None)
        headers = {
            "Last-Modified": http_date(found.info.last_modified),
            **version_headers(op.version_id),
        }
        return Answer.document(
            object_documents.attributes(op, found), headers=tuple(headers.items())
        )

    async def list_versions(
        self, op: ListObjectVersions, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?versions``"""
        page = ListPage((), (), None)
        if op.max_keys:
            page = await self._objects.list_objects(
                op.bucket, op.prefix, op.delimiter, op.key_marker, op.max_keys
            )
        return Answer.document(
            object_documents.versions(op, page, identity.bucket_owner)
        )

    async def get_bucket_acl(
        self, op: GetBucketAcl, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?acl``"""
        return Answer.document(object_documents.private_acl(identity.bucket_owner))

    async def get_object_acl(
        self, op: GetObjectAcl, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}/{key}?acl``; NoSuchKey."""
        await self._objects.head(op.bucket, op.key)
        return Answer.document(
            object_documents.private_acl(identity.bucket_owner),
            headers=tuple(version_headers(op.version_id).items()),
        )

    async def put_bucket_acl(
        self, op: PutBucketAcl, body: Body, identity: Identity
    ) -> Answer:
        """``PUT /{bucket}?acl``: 200; NotImplementedYet for what is not private."""
        await _check_private(op, body, identity)
        return Answer(200, length=0)

    async def put_object_acl(
        self, op: PutObjectAcl, body: Body, identity: Identity
    ) -> Answer:
        """``PUT /{bucket}/{key}?acl``: likewise; or NoSuchKey."""
        await _check_private(op, body, identity)
        await self._objects.head(op.bucket, op.key)
        return Answer(200, tuple(version_headers(op.version_id).items()), length=0)

    async def get_setting(
        self, op: GetBucketSetting, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?policy`` …: that there is none."""
        return Answer.document(settings.answer(op.name))

    async def delete_setting(
        self, op: DeleteBucketSetting, body: Body, identity: Identity
    ) -> Answer:
        """``DELETE /{bucket}?policy`` …: 204; there is none."""
        return Answer(204)


async def _check_private(
    op: PutBucketAcl | PutObjectAcl, body: Body, identity: Identity
) -> None:
    if not op.is_canned:
        document = await receive(op.document, body, identity, access_lists.MAX_BYTES)
        access_lists.check(document, identity.bucket_owner)
