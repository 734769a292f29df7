"""ListBuckets, HeadBucket, CreateBucket, GetBucketLocation and both listings."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import AccessDenied, BucketAlreadyOwnedByYou
from s3proxy.manager.ports import Body
from s3proxy.model import ListPage
from s3proxy.s3 import documents
from s3proxy.s3.operation import (
    CreateBucket,
    GetBucketLocation,
    HeadBucket,
    ListBuckets,
    ListObjects,
    ListObjectsV2,
)
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.ports import ObjectsPort


@frozen
class BucketHandlers:
    """
    Operations on buckets, as answers.

    :ivar directory: Which buckets there are.
    :ivar region: What clients are told.
    """

    _objects: ObjectsPort
    _directory: BucketDirectory
    _region: str

    async def list_buckets(
        self, op: ListBuckets, body: Body, identity: Identity
    ) -> Answer:
        """``GET /``: those that the client has a right to."""
        granted = self._directory.granted(identity.rights)
        return Answer.document(documents.list_buckets(granted, prefix=op.prefix))

    async def head_bucket(
        self, op: HeadBucket, body: Body, identity: Identity
    ) -> Answer:
        """``HEAD /{bucket}``"""
        return Answer(200, self._region_header, length=0)

    async def create_bucket(
        self, op: CreateBucket, body: Body, identity: Identity
    ) -> Answer:
        """
        ``PUT /{bucket}``: nothing is made, but clients that only make sure go on.

        :raises BucketAlreadyOwnedByYou: It is there: ``rclone copy`` wants no more.
        :raises AccessDenied: It is not, or is another's.
        """
        if op.bucket in identity.rights.grants:
            raise BucketAlreadyOwnedByYou(fields={"BucketName": op.bucket})
        raise AccessDenied("Access Denied: you may not make buckets here.")

    async def location(
        self, op: GetBucketLocation, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?location``"""
        return Answer.document(documents.location(self._region))

    async def list_v2(
        self, op: ListObjectsV2, body: Body, identity: Identity
    ) -> Answer:
        """``GET /{bucket}?list-type=2``"""
        return Answer.document(
            documents.list_objects_v2(op, await self._page(op)),
            headers=self._region_header,
        )

    async def list_v1(self, op: ListObjects, body: Body, identity: Identity) -> Answer:
        """``GET /{bucket}``"""
        return Answer.document(
            documents.list_objects(op, await self._page(op)),
            headers=self._region_header,
        )

    @property
    def _region_header(self) -> tuple[tuple[str, str], ...]:
        return (("x-amz-bucket-region", self._region),)

    async def _page(self, op: ListObjects | ListObjectsV2) -> ListPage:
        if op.max_keys == 0:
            # A page without entries is never a truncated one, as at S3.
            return ListPage((), (), None)
        return await self._objects.list_objects(
            op.bucket, op.prefix, op.delimiter, op.after, op.max_keys
        )
