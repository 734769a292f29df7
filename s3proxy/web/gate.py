"""Whether an operation is let through: its buckets exist and are granted."""

from __future__ import annotations

from attrs import evolve, frozen

from s3proxy.errors import AccessDenied, NoSuchBucket
from s3proxy.model import Grant
from s3proxy.plan import access
from s3proxy.plan.access import Need, Rights
from s3proxy.s3.markup import OWNER
from s3proxy.web.auth import Identity
from s3proxy.web.directory import BucketDirectory


@frozen
class Gate:
    """Finds an operation's buckets; :mod:`s3proxy.plan.access` decides."""

    _directory: BucketDirectory

    async def admit(self, operation: object, identity: Identity) -> Identity:
        """
        Let an operation through, or refuse it.

        :returns: *identity*, with what is granted to it of the operation's bucket, and
            whose that is.
        :raises AccessDenied: It is not granted, or its copy's source is not.
        :raises NoSuchBucket: Its bucket or its source's does not exist.
        """
        need = access.need_of(operation)
        if need in (Need.NOTHING, Need.CREATE):
            return identity
        bucket: str = getattr(operation, "bucket", "")
        grant, owner = await self._grant(bucket, identity.rights)
        access.check(operation, grant)
        source = getattr(operation, "source", None)
        if source is not None:
            of_source, _ = await self._grant(source.bucket, identity.rights)
            access.check_source(source.key, of_source)
        return evolve(identity, grant=grant, bucket_owner=owner)

    async def _grant(self, bucket: str, rights: Rights) -> tuple[Grant, str]:
        """What is granted of a bucket, and whose it is."""
        owner = OWNER
        if bucket in self._directory.configured:
            grant = rights.grants.get(bucket)
        else:
            made = await self._directory.find_made(bucket)
            if made is None:
                raise NoSuchBucket(fields={"BucketName": bucket})
            owner, grant = made.owner, rights.of_made(made.owner)
        if grant is None:
            raise AccessDenied
        return grant, owner
