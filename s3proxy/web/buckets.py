"""Operations on buckets: making, deleting and finding them, and both listings."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from s3proxy.errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
)
from s3proxy.manager.ports import Body
from s3proxy.model import ListPage
from s3proxy.s3 import bucket_configuration, documents
from s3proxy.s3.checksums import Digests
from s3proxy.s3.markup import OWNER
from s3proxy.s3.operation import (
    CreateBucket,
    DeleteBucket,
    GetBucketLocation,
    HeadBucket,
    ListBuckets,
    ListObjects,
    ListObjectsV2,
)
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.documents import collect
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
        page: list[tuple[str, datetime]] = []
        more = False
        if op.region in (None, self._region):
            page, more = await self._directory.page(
                identity.rights, op.prefix, op.after, op.max_buckets
            )
        return Answer.document(
            documents.list_buckets(
                op,
                page,
                region=self._region,
                more=more,
                owner=identity.rights.owner or OWNER,
            )
        )

    async def head_bucket(
        self, op: HeadBucket, body: Body, identity: Identity
    ) -> Answer:
        """``HEAD /{bucket}``"""
        return Answer(200, self._region_header, length=0)

    async def create_bucket(
        self, op: CreateBucket, body: Body, identity: Identity
    ) -> Answer:
        """
        ``PUT /{bucket}``: 200 once it is there and the client's, as in us-east-1.

        :raises BucketAlreadyOwnedByYou: It is configured and the client has a right to
            it: clients that only make sure of it go on. Or BucketAlreadyExists.
        :raises AccessDenied: This client may not make buckets.
        :raises InvalidBucketName: Or MalformedXML, InvalidLocationConstraint,
            IllegalLocationConstraintException, OperationAborted.
        """
        rights, name = identity.rights, op.bucket
        if name in rights.grants:
            raise BucketAlreadyOwnedByYou(fields={"BucketName": name})
        if rights.owner is None or not rights.may_create:
            raise AccessDenied(
                "Access Denied: you may not make buckets here: buckets are configured, "
                "and only an access key with create_buckets may make others."
            )
        self._directory.check_new(name)
        said = await collect(
            body, Digests(None, identity.sha256), bucket_configuration.MAX_BYTES
        )
        bucket_configuration.check(said, (self._region,))
        if name in self._directory.configured:
            raise BucketAlreadyExists(fields={"BucketName": name})
        await self._directory.made.create(name, rights.owner)
        return Answer(200, (("Location", f"/{name}"),), length=0)

    async def delete_bucket(
        self, op: DeleteBucket, body: Body, identity: Identity
    ) -> Answer:
        """
        ``DELETE /{bucket}``: 204.

        :raises AccessDenied: It is one of the configuration's.
        :raises BucketNotEmpty: It has objects. Open uploads are aborted.
        """
        owner = identity.rights.owner
        if owner is None or op.bucket in self._directory.configured:
            raise AccessDenied(
                "Access Denied: this bucket is in the server's configuration, and "
                "cannot be deleted."
            )
        await self._directory.made.delete(op.bucket, owner)
        return Answer(204)

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
            documents.list_objects_v2(op, await self._page(op), identity.bucket_owner),
            headers=self._region_header,
        )

    async def list_v1(self, op: ListObjects, body: Body, identity: Identity) -> Answer:
        """``GET /{bucket}``"""
        return Answer.document(
            documents.list_objects(op, await self._page(op), identity.bucket_owner),
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
