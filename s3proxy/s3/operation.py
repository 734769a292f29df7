"""
A request is a value: method, raw target and headers become one of these.

One table (:data:`KNOWN`) says which subresources and parameters the server knows;
what S3 has and this server has not is 501 NotImplemented, never the plain operation.
"""

from __future__ import annotations

from attrs import field, frozen

from s3proxy.model import WriteConditions


@frozen
class ReadConditions:
    """
    RFC 9110 §13 conditions of a GET or HEAD, as sent.

    :ivar if_modified_since: Seconds since the epoch; None when absent or unparsable.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None


@frozen
class ListBuckets:
    """``GET /``"""


@frozen
class HeadBucket:
    """``HEAD /{bucket}``"""

    bucket: str


@frozen
class GetBucketLocation:
    """``GET /{bucket}?location``"""

    bucket: str


@frozen
class ListObjectsV2:
    """``GET /{bucket}?list-type=2``; a page has at most 1000 entries."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    max_keys: int = 1000
    start_after: str = ""
    continuation_token: str | None = None
    encoding_type: str | None = None
    fetch_owner: bool = False


@frozen
class PutObject:
    """
    ``PUT /{bucket}/{key}``

    :ivar content_md5: 32 hex digits, or None.
    :ivar checksums: ``x-amz-checksum-*`` sent as headers: algorithm to base64 value.
    :ivar headers: Standard headers to keep (see ObjectInfo.headers).
    """

    bucket: str
    key: str
    content_length: int
    content_md5: str | None = None
    checksums: dict[str, str] = field(factory=dict)
    content_type: str | None = None
    headers: dict[str, str] = field(factory=dict)
    user_metadata: dict[str, str] = field(factory=dict)
    conditions: WriteConditions = field(factory=WriteConditions)


@frozen
class GetObject:
    """
    ``GET /{bucket}/{key}``

    :ivar range_header: The Range header as sent, or None (s3.ranges resolves it).
    :ivar overrides: ``response-*`` parameters: header name (lower-case) to value.
    """

    bucket: str
    key: str
    range_header: str | None = None
    conditions: ReadConditions = field(factory=ReadConditions)
    overrides: dict[str, str] = field(factory=dict)
    checksum_mode: bool = False


@frozen
class HeadObject:
    """``HEAD /{bucket}/{key}``; the fields are those of GetObject."""

    bucket: str
    key: str
    range_header: str | None = None
    conditions: ReadConditions = field(factory=ReadConditions)
    overrides: dict[str, str] = field(factory=dict)
    checksum_mode: bool = False


@frozen
class DeleteObject:
    """``DELETE /{bucket}/{key}``"""

    bucket: str
    key: str


Operation = (
    ListBuckets
    | HeadBucket
    | GetBucketLocation
    | ListObjectsV2
    | PutObject
    | GetObject
    | HeadObject
    | DeleteObject
)
