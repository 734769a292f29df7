"""
What somebody may do: one table of operations, and nothing else decides.

An operation that is not in the table is denied, so that a new one must be given its
place. What is refused is :class:`~s3proxy.errors.AccessDenied`, whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import field, frozen

from s3proxy.errors import AccessDenied
from s3proxy.model import Grant
from s3proxy.s3 import operation as s3


class Need(Enum):
    """What an operation takes of a bucket, and so what a grant must give."""

    NOTHING = "nothing: it shows what is granted"
    CREATE = "the right to make buckets"
    SEE = "any grant"
    LIST = "a grant of keys with the prefix that is asked for"
    READ = "a grant of the key"
    WRITE = "a writable grant of the key"
    #: The body names the keys: its handler asks :func:`covers` for each.
    WRITE_EACH = "a writable grant, and for each key one of that key"
    ADMIN = "a writable grant of the whole bucket"


#: A copy also needs READ of its source.
NEEDS: Final[Mapping[type[object], Need]] = {
    s3.ListBuckets: Need.NOTHING,
    s3.CreateBucket: Need.CREATE,
    s3.DeleteBucket: Need.ADMIN,
    s3.HeadBucket: Need.SEE,
    s3.GetBucketLocation: Need.SEE,
    s3.GetBucketAcl: Need.SEE,
    s3.GetBucketCors: Need.SEE,
    s3.GetBucketSetting: Need.SEE,
    s3.GetBucketTagging: Need.SEE,
    s3.PutBucketAcl: Need.ADMIN,
    s3.PutBucketCors: Need.ADMIN,
    s3.DeleteBucketCors: Need.ADMIN,
    s3.DeleteBucketSetting: Need.ADMIN,
    s3.PutBucketTagging: Need.ADMIN,
    s3.DeleteBucketTagging: Need.ADMIN,
    s3.ListObjects: Need.LIST,
    s3.ListObjectsV2: Need.LIST,
    s3.ListObjectVersions: Need.LIST,
    s3.ListMultipartUploads: Need.LIST,
    s3.GetObject: Need.READ,
    s3.HeadObject: Need.READ,
    s3.GetObjectAcl: Need.READ,
    s3.GetObjectAttributes: Need.READ,
    s3.GetObjectTagging: Need.READ,
    s3.ListParts: Need.READ,
    s3.PutObject: Need.WRITE,
    s3.PutObjectAcl: Need.WRITE,
    s3.PutObjectTagging: Need.WRITE,
    s3.DeleteObjectTagging: Need.WRITE,
    s3.DeleteObject: Need.WRITE,
    s3.DeleteObjects: Need.WRITE_EACH,
    s3.CopyObject: Need.WRITE,
    s3.CreateMultipartUpload: Need.WRITE,
    s3.UploadPart: Need.WRITE,
    s3.UploadPartCopy: Need.WRITE,
    s3.CompleteMultipartUpload: Need.WRITE,
    s3.AbortMultipartUpload: Need.WRITE,
}

_WRITING = frozenset({Need.WRITE, Need.WRITE_EACH, Need.ADMIN})


@frozen
class Rights:
    """
    All that somebody may do; by default nothing.

    :ivar grants: By the name of a configured bucket.
    :ivar owner: The access key whose buckets, made at run time, are theirs; None where
        there are none.
    :ivar may_create: Whether they may make further ones.
    """

    grants: Mapping[str, Grant] = field(factory=dict)
    owner: str | None = None
    may_create: bool = False

    def of_made(self, owner: str) -> Grant | None:
        """What is granted of a bucket that *owner* made: all of it, or nothing."""
        return Grant() if owner == self.owner else None


def need_of(operation: object) -> Need:
    """
    Look an operation up.

    :raises AccessDenied: It has no place in the table.
    """
    need = NEEDS.get(type(operation))
    if need is None:
        raise AccessDenied
    return need


def check(operation: object, grant: Grant) -> None:
    """
    Hold an operation to what is granted of its bucket.

    :raises AccessDenied: It is not granted.
    """
    need = need_of(operation)
    if need in _WRITING and not grant.writable:
        raise AccessDenied("Access Denied: this access key may only read here.")
    match need:
        case Need.SEE | Need.WRITE_EACH:
            return
        case Need.LIST:
            _check_listing(operation, grant)
        case Need.READ | Need.WRITE:
            # One without a key would be of the whole bucket.
            _check_key(getattr(operation, "key", ""), grant)
        case Need.ADMIN:
            _check_key("", grant)
        case _:
            raise AccessDenied


def check_source(key: str, grant: Grant) -> None:
    """
    Hold the source of a copy to what is granted of its bucket.

    :raises AccessDenied: A GET of it would be.
    """
    _check_key(key, grant)


def covers(grant: Grant, key: str) -> bool:
    """Whether *key* is one of those granted."""
    return key.startswith(grant.prefix)


def _check_listing(operation: object, grant: Grant) -> None:
    if not covers(grant, getattr(operation, "prefix", "")):
        raise AccessDenied(
            "Access Denied: this access key may only list keys with a prefix that is "
            "granted to it. Ask for that prefix."
        )


def _check_key(key: str, grant: Grant) -> None:
    if not covers(grant, key):
        raise AccessDenied(
            "Access Denied: this access key has no right to keys outside of the prefix "
            "that is granted to it."
        )
