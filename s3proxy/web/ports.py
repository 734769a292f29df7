"""What the front door needs of the manager, matched by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from s3proxy.manager.ports import Body
from s3proxy.model import (
    Completed,
    CompletedPart,
    Deleted,
    Doomed,
    ListPage,
    MadeBucket,
    ObjectAttributes,
    ObjectInfo,
    PartInfo,
    PartPage,
    PartRange,
    StoredObject,
    UploadPage,
)
from s3proxy.s3.copies import CopyObject, UploadPartCopy
from s3proxy.s3.cors import CorsRule
from s3proxy.s3.operation import PutObject
from s3proxy.s3.uploads import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
)
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

    async def part_range(self, bucket: str, key: str, part_number: int) -> PartRange:
        """Where a part lies in its object, without a backend call; NoSuchKey."""
        ...

    async def open(self, stored: StoredObject, start: int, end: int) -> Reader:
        """Begin to read bytes *start* up to, not including, *end*."""
        ...

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> None:
        """Give an object other tags; NoSuchKey."""
        ...

    async def attributes(
        self, bucket: str, key: str, after: int, limit: int
    ) -> ObjectAttributes:
        """An object and parts with a number over *after*; NoSuchKey."""
        ...

    async def delete(self, bucket: str, key: str, if_match: Sequence[str]) -> None:
        """Remove the object; one that is not there is fine without a condition."""
        ...

    async def delete_many(
        self, bucket: str, doomed: Sequence[Doomed]
    ) -> Sequence[Deleted]:
        """Remove all of them; the results stand beside *doomed*."""
        ...

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """One page of keys and common prefixes after *after*, in byte order."""
        ...


class BucketTagsPort(Protocol):
    """``store.bucket_tags.BucketTags``; errors are S3Error or StoreError."""

    async def tags(self, bucket: str) -> Mapping[str, str]:
        """A bucket's tags; empty where it has none."""
        ...

    async def replace_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        """Give a bucket other tags, maybe none."""
        ...


class UploadsPort(Protocol):
    """``manager.uploads.Uploads``; NoSuchUpload is any method's, but for the first."""

    async def create(self, op: CreateMultipartUpload) -> str:
        """Open an upload; returns its id."""
        ...

    async def put_part(
        self, op: UploadPart, body: Body, *, sha256: str | None
    ) -> PartInfo:
        """Store *body* as a part; one sent before under its number is replaced."""
        ...

    async def complete(
        self, op: CompleteMultipartUpload, parts: Sequence[CompletedPart]
    ) -> Completed:
        """Turn parts into the object; a repeat gets the same answer."""
        ...

    async def abort(self, op: AbortMultipartUpload) -> None:
        """Give the upload up."""
        ...

    async def list_parts(self, op: ListParts) -> PartPage:
        """A page of an open upload's parts."""
        ...

    async def list_uploads(self, op: ListMultipartUploads) -> UploadPage:
        """A page of the bucket's open uploads."""
        ...


class BucketsPort(Protocol):
    """``store.buckets.PostgresBuckets``: buckets that were made at run time."""

    async def find(self, bucket: str) -> MadeBucket | None:
        """Whose it is; None where there is none."""
        ...

    async def create(self, bucket: str, owner: str) -> bool:
        """
        Make a bucket; whether it was not there before.

        :raises BucketAlreadyExists: It is another's, or of a configuration.
        :raises OperationAborted: It was another's until a short time ago.
        """
        ...

    async def delete(self, bucket: str, owner: str) -> None:
        """
        Delete an empty bucket of *owner*'s, with its open uploads.

        :raises BucketNotEmpty: It has objects.
        :raises NoSuchBucket: There is none of theirs.
        """
        ...

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> list[tuple[str, datetime]]:
        """
        Buckets of *owner*'s with *prefix* and after *after*, by name, at most *limit*,
        and when they were made.
        """
        ...


class CopiesPort(Protocol):
    """``manager.copying.Copies``; NoSuchKey and PreconditionFailed are the source's."""

    async def copy(self, op: CopyObject) -> ObjectInfo:
        """Make the object from another, or change what is said of it."""
        ...

    async def copy_part(self, op: UploadPartCopy) -> PartInfo:
        """Make a part of an upload from an object's bytes; NoSuchUpload."""
        ...


class CorsPort(Protocol):
    """``store.cors.PostgresCors``; errors are NoSuchBucket or StoreError."""

    async def get(self, bucket: str) -> tuple[CorsRule, ...] | None:
        """The bucket's rules; None where it has none, or is none."""
        ...

    async def put(self, bucket: str, rules: Sequence[CorsRule]) -> None:
        """Give the bucket these rules, in place of any."""
        ...

    async def delete(self, bucket: str) -> None:
        """Take the bucket's rules away; it may have none."""
        ...
