"""CopyObject and UploadPartCopy, as values, and how they are read from a request."""

from __future__ import annotations

import re

from attrs import field, frozen

from s3proxy.errors import (
    InvalidArgument,
    InvalidRequest,
    InvalidURI,
    NoSuchVersion,
)
from s3proxy.model import WriteConditions
from s3proxy.s3 import checksum_headers, parameters, ranges, tagging, target
from s3proxy.s3.conditions import ReadConditions, parse_read_conditions
from s3proxy.s3.request import Request

_HEADER = "x-amz-copy-source"
_CONDITIONS = "x-amz-copy-source-"
# As sent: an escaped "?" is the key's.
_VERSION = re.compile(rb"\?versionId=([^&]*)\Z")


@frozen
class CopySource:
    """The object that is copied; its version is the current one."""

    bucket: str
    key: str


@frozen
class CopyObject:
    """
    ``PUT /{bucket}/{key}`` with ``x-amz-copy-source``.

    :ivar source_conditions: ``x-amz-copy-source-if-*``: conditions.check_copy.
    :ivar conditions: Of what the copy replaces.
    :ivar replace_metadata: The next three are the copy's; else the source's are.
    :ivar tags: The copy's; None for the source's.
    :ivar checksum_algorithm: ``CRC32`` …: which checksum the copy is to have, or None.
    """

    bucket: str
    key: str
    source: CopySource
    source_conditions: ReadConditions = field(factory=ReadConditions)
    conditions: WriteConditions = field(factory=WriteConditions)
    replace_metadata: bool = False
    content_type: str | None = None
    headers: dict[str, str] = field(factory=dict)
    user_metadata: dict[str, str] = field(factory=dict)
    checksum_algorithm: str | None = None
    tags: dict[str, str] | None = None

    @property
    def is_to_itself(self) -> bool:
        """Whether source and target are one object: no byte need move."""
        return (self.source.bucket, self.source.key) == (self.bucket, self.key)


@frozen
class UploadPartCopy:
    """
    ``PUT /{bucket}/{key}?partNumber&uploadId`` with ``x-amz-copy-source``.

    :ivar source_conditions: See CopyObject.
    :ivar source_range: First byte and the byte after the last, not yet compared with
        the source's size (ranges.check_copy); None for the whole source.
    """

    bucket: str
    key: str
    upload_id: str
    part_number: int
    source: CopySource
    source_conditions: ReadConditions = field(factory=ReadConditions)
    source_range: tuple[int, int] | None = None


def copy_object(request: Request) -> CopyObject:
    """
    Read CopyObject.

    :raises InvalidArgument: The source or the directive cannot be read.
    :raises InvalidRequest: A copy to itself that changes nothing.
    :raises NoSuchVersion: A version of the source other than ``null`` is named.
    """
    headers = request.headers
    replace = parameters.directive(headers, "x-amz-metadata-directive")
    algorithm, _ = checksum_headers.parse_announced(headers)
    operation = CopyObject(
        request.bucket,
        request.key,
        parse_source(headers[_HEADER]),
        source_conditions=parse_read_conditions(headers, _CONDITIONS),
        conditions=request.write_conditions,
        replace_metadata=replace,
        content_type=(headers.get("content-type") or None) if replace else None,
        headers=parameters.kept_headers(headers) if replace else {},
        user_metadata=parameters.user_metadata(headers) if replace else {},
        checksum_algorithm=algorithm,
        tags=tagging.parse_header(headers) if tagging.replaces(headers) else None,
    )
    if operation.is_to_itself and not replace:
        raise InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to "
            "itself without changing the object's metadata, storage class, website "
            "redirect location or encryption attributes."
        )
    return operation


def upload_part_copy(request: Request) -> UploadPartCopy:
    """
    Read UploadPartCopy.

    :raises InvalidArgument: The source, its range or the part number cannot be read.
    :raises NoSuchVersion: A version of the source other than ``null`` is named.
    """
    headers = request.headers
    return UploadPartCopy(
        request.bucket,
        request.key,
        request.query["uploadId"],
        parameters.part_number(request.query["partNumber"]),
        parse_source(headers[_HEADER]),
        source_conditions=parse_read_conditions(headers, _CONDITIONS),
        source_range=ranges.parse_copy(headers.get(f"{_HEADER}-range")),
    )


def parse_source(value: str) -> CopySource:
    """
    Read ``x-amz-copy-source``: ``bucket/key`` or ``/bucket/key``, decoded once.

    ``+`` stays ``+``, as in a path.

    :param value: Latin-1 decoded.
    :raises InvalidArgument: It names no bucket or no key, or cannot be decoded.
    :raises NoSuchVersion: It names a version other than ``null``.
    """
    raw = value.strip().encode("latin-1")
    version = _VERSION.search(raw)
    if version is not None:
        raw = raw[: version.start()]
        if not version[1]:
            raise _bad_source("Version id cannot be the empty string")
        if version[1] != b"null":
            raise NoSuchVersion(fields={"VersionId": version[1].decode("latin-1")})
    try:
        path = target.decode_path(raw)
    except InvalidURI as why:
        raise _bad_source(why.message) from why
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket or not key:
        raise _bad_source("It must name a source bucket and a source key.")
    if len(key.encode()) > target.MAX_KEY_BYTES:
        raise _bad_source("Its key is too long.")
    return CopySource(bucket, key)


def _bad_source(why: str) -> InvalidArgument:
    return parameters.bad_argument(_HEADER, f"Invalid copy source: {why}")
