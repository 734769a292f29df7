"""What the front door needs of the manager, matched by shape."""

from __future__ import annotations

from typing import Protocol

from s3proxy.manager.ports import Body
from s3proxy.model import ListPage, ObjectInfo, StoredObject
from s3proxy.s3.operation import PutObject
from s3proxy.web.answer import Reader


class ObjectsPort(Protocol):
    """``manager.objects.Objects``; errors are S3Error or StoreError."""

    async def put(self, op: PutObject, body: Body, *, sha256: str | None) -> ObjectInfo:
        """Store *body* as the object's new version."""
        ...

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """An object's headers, without a backend call; NoSuchKey."""
        ...

    async def find(self, bucket: str, key: str) -> StoredObject:
        """An object with its manifest, without a backend call; NoSuchKey."""
        ...

    async def open(self, stored: StoredObject, start: int, end: int) -> Reader:
        """Begin to read bytes *start* up to, not including, *end*."""
        ...

    async def delete(self, bucket: str, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        ...

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """One page of keys and common prefixes after *after*, in byte order."""
        ...
