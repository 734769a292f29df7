"""The nouns: objects, parts, copies and claims, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen


@frozen
class ObjectInfo:
    """
    Everything that HEAD, LIST and conditional requests need, from the ledger alone.

    :ivar key: The client's key, decoded once.
    :ivar object_id: Names this version of the key; a new write has a new one.
    :ivar etag: Without quotes.
    :ivar headers: Standard headers kept with the object (lower-case names:
        ``cache-control``, ``content-disposition``, ``content-encoding``,
        ``content-language``, ``expires``), values latin-1 decoded.
    :ivar user_metadata: ``x-amz-meta-`` names, lower-case without that prefix;
        values latin-1 decoded, so that any header bytes come back as they went in.
    :ivar checksums: Algorithm (``crc32`` …) to base64 value, as verified.
    :ivar last_modified: UTC, from the database's clock at commit, whole milliseconds.
    :ivar tags: Key to value; changing them leaves *last_modified* alone.
    """

    bucket: str
    key: str
    object_id: str
    size_bytes: int
    etag: str
    content_type: str | None
    last_modified: datetime
    headers: Mapping[str, str] = field(factory=dict)
    user_metadata: Mapping[str, str] = field(factory=dict)
    checksums: Mapping[str, str] = field(factory=dict)
    tags: Mapping[str, str] = field(factory=dict)


@frozen
class Copy:
    """
    One backend object that holds one part's bytes.

    :ivar copy_id: A ULID, used once, ever.
    :ivar backend_etag: What the backend answered, without quotes; may be no MD5.
    :ivar version_id: On a versioned backend, the version that was written.
    :ivar is_quarantined: Its bytes are known to be bad: it is read only where there is
        no other.
    """

    copy_id: str
    part_id: str
    backend_name: str
    backend_key: str
    size_bytes: int
    backend_etag: str | None = None
    version_id: str | None = None
    is_quarantined: bool = False


@frozen
class CopyCount:
    """
    On how many backends a body is stored at once.

    :ivar least: With fewer it is not stored.
    :ivar most: To so many it goes, where they have room.
    """

    least: int = 1
    most: int = 1


@frozen
class FoundObject:
    """
    What a backend says of one of its objects, whoever stored it.

    :ivar etag: Without quotes; None where the backend tells none.
    :ivar md5: The bytes' MD5 in hex, where the ETag can be one; else None.
    :ivar last_modified: None where the backend tells none that can be read.
    :ivar headers: As of :class:`ObjectInfo`; so are *user_metadata* and *checksums*.
    :ivar version_id: On a versioned backend.
    :ivar is_archived: It must be restored before it can be read.
    """

    key: str
    size_bytes: int
    etag: str | None
    md5: str | None
    last_modified: datetime | None
    content_type: str | None = None
    headers: Mapping[str, str] = field(factory=dict)
    user_metadata: Mapping[str, str] = field(factory=dict)
    checksums: Mapping[str, str] = field(factory=dict)
    version_id: str | None = None
    is_archived: bool = False


@frozen
class Part:
    """
    A run of an object's bytes, and where its live copies are.

    :ivar md5: In hex; empty where nobody knows it, as of some adopted objects.
    """

    part_id: str
    part_number: int
    offset_bytes: int
    size_bytes: int
    md5: str
    copies: tuple[Copy, ...]


@frozen
class StoredObject:
    """
    An object and its manifest, in part order.

    :ivar parts: All, or the first one of a long manifest: see ``Ledger.parts``.
    :ivar parts_count: How many parts the object has; 1 for a plain PUT.
    """

    info: ObjectInfo
    parts: tuple[Part, ...]
    parts_count: int = field()

    @parts_count.default
    def _count(self) -> int:
        return len(self.parts)


@frozen
class PartRange:
    """
    Where one part lies in its object.

    :ivar found: First byte and the one after the last; None: there is no such part.
    :ivar checksums: The part's, where it was uploaded with some.
    """

    info: ObjectInfo
    found: tuple[int, int] | None
    parts_count: int
    checksums: Mapping[str, str] = field(factory=dict)


@frozen
class ObjectPart:
    """What clients are told of a part of an object."""

    part_number: int
    size_bytes: int
    checksums: Mapping[str, str] = field(factory=dict)


@frozen
class ObjectAttributes:
    """
    An object and a page of its parts.

    :ivar parts_count: Of the whole object.
    :ivar next_marker: The last part number of the page; None at the end.
    """

    info: ObjectInfo
    parts_count: int
    parts: tuple[ObjectPart, ...]
    next_marker: int | None


@frozen
class Doomed:
    """
    A line of the list that DeleteObjects brings.

    :ivar if_match: The ETag that the object must have, without quotes, ``*`` for any;
        None for no condition.
    """

    key: str
    if_match: str | None = None


class Deleted(Enum):
    """What became of a key that was to be deleted."""

    DELETED = "deleted"
    ABSENT = "absent"
    PRECONDITION = "precondition"


@frozen
class Claim:
    """
    The right to send one copy's bytes, and the name under which they go.

    :ivar lease_seconds: How long the ledger keeps the claim without an extension.
    """

    copy: Copy
    lease_seconds: float


@frozen
class WriteConditions:
    """
    ``If-Match`` and ``If-None-Match`` of a write, tested inside the commit.

    :ivar if_match: ETags without quotes, or ``("*",)``; empty when absent.
    :ivar if_none_match: Likewise.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()

    def hold(self, etag: str | None) -> bool:
        """
        Whether a write may replace what is there.

        :param etag: The current object's ETag, or None when the key is absent.
        """
        if self.if_match and (
            etag is None or not ("*" in self.if_match or etag in self.if_match)
        ):
            return False
        return not (
            self.if_none_match
            and etag is not None
            and ("*" in self.if_none_match or etag in self.if_none_match)
        )


@frozen
class Grant:
    """
    What somebody may do with a bucket.

    :ivar writable: Else its objects may be read and listed only.
    :ivar prefix: Only keys that begin so exist for them; "" is the whole bucket.
    """

    writable: bool = True
    prefix: str = ""


@frozen
class MadeBucket:
    """
    A bucket that was made at run time.

    :ivar owner: The access key that made it.
    """

    owner: str
    created_at: datetime


@frozen
class ListPage:
    """
    One page of a listing.

    :ivar contents: Keys of this page, in byte order.
    :ivar common_prefixes: Rolled-up prefixes of this page, in byte order.
    :ivar next_after: Where the next page goes on (its last entry), or None at the end.
    """

    contents: tuple[ObjectInfo, ...]
    common_prefixes: tuple[str, ...]
    next_after: str | None

    @property
    def is_truncated(self) -> bool:
        """Whether there is more."""
        return self.next_after is not None


@frozen
class PartInfo:
    """
    A part of an open upload.

    :ivar etag: The part's MD5, without quotes.
    """

    part_number: int
    etag: str
    size_bytes: int
    checksums: Mapping[str, str]
    last_modified: datetime


@frozen
class UploadInfo:
    """
    An open multipart upload.

    :ivar checksum_algorithm: What CreateMultipartUpload announced (``CRC32`` …).
    :ivar checksum_type: ``COMPOSITE`` or ``FULL_OBJECT``, where announced.
    """

    upload_id: str
    key: str
    initiated: datetime
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


@frozen
class PartPage:
    """A page of ListParts; *next_marker* is the last part number, None at the end."""

    upload: UploadInfo
    parts: tuple[PartInfo, ...]
    next_marker: int | None


@frozen
class UploadPage:
    """A page of ListMultipartUploads; the markers are None at the end."""

    uploads: tuple[UploadInfo, ...]
    common_prefixes: tuple[str, ...]
    next_key_marker: str | None = None
    next_upload_id_marker: str | None = None


@frozen
class CompletedPart:
    """A line of the list that CompleteMultipartUpload brings."""

    part_number: int
    etag: str
    checksums: Mapping[str, str] = field(factory=dict)


@frozen
class Completed:
    """
    What a CompleteMultipartUpload is answered, each time it is sent.

    :ivar last_modified: The object's, as the transaction set it.
    """

    etag: str
    checksums: Mapping[str, str] = field(factory=dict)
    object_id: str = field(default="", eq=False)
    last_modified: datetime | None = field(default=None, eq=False)
