"""
A request is a value: method, raw target and headers become one of these.

:data:`s3proxy.s3.known.SERVED` says which subresources and parameters the server knows;
what S3 has and this server has not is 501 NotImplemented, never the plain operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from s3proxy.errors import NotImplementedYet
from s3proxy.model import WriteConditions
from s3proxy.s3 import checksums, parameters, target, tokens
from s3proxy.s3.conditions import ReadConditions, parse_etags, parse_read_conditions
from s3proxy.s3.known import Level, check_headers, check_served
from s3proxy.s3.parameters import MAX_KEYS

__all__ = [
    "CreateBucket",
    "DeleteObject",
    "GetBucketLocation",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListObjects",
    "ListObjectsV2",
    "Operation",
    "PutObject",
    "ReadConditions",
    "parse",
]


@frozen
class ListBuckets:
    """``GET /``; only buckets whose name begins with *prefix* are wanted."""

    prefix: str = ""


@frozen
class HeadBucket:
    """``HEAD /{bucket}``"""

    bucket: str


@frozen
class CreateBucket:
    """``PUT /{bucket}``; what the body says of the new bucket is not read."""

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
    max_keys: int = MAX_KEYS
    start_after: str = ""
    continuation_token: str | None = None
    encoding_type: str | None = None
    fetch_owner: bool = False

    @property
    def after(self) -> str:
        """Where the page begins: the token's place, or else start_after."""
        if self.continuation_token is None:
            return self.start_after
        return tokens.decode(self.continuation_token)


@frozen
class ListObjects:
    """``GET /{bucket}``, the first version; a page has at most 1000 entries."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    max_keys: int = MAX_KEYS
    marker: str = ""
    encoding_type: str | None = None

    @property
    def after(self) -> str:
        """Where the page begins."""
        return self.marker


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
class _Read:
    """
    What GetObject and HeadObject have in common.

    :ivar range_header: The Range header as sent, or None (s3.ranges resolves it).
    :ivar overrides: ``response-*`` parameters: header name (lower-case) to value,
        latin-1 decoded, without control characters.
    """

    bucket: str
    key: str
    range_header: str | None = None
    conditions: ReadConditions = field(factory=ReadConditions)
    overrides: dict[str, str] = field(factory=dict)
    checksum_mode: bool = False


@frozen
class GetObject(_Read):
    """``GET /{bucket}/{key}``"""


@frozen
class HeadObject(_Read):
    """``HEAD /{bucket}/{key}``"""


@frozen
class DeleteObject:
    """``DELETE /{bucket}/{key}``"""

    bucket: str
    key: str


Operation = (
    ListBuckets
    | HeadBucket
    | CreateBucket
    | GetBucketLocation
    | ListObjectsV2
    | ListObjects
    | PutObject
    | GetObject
    | HeadObject
    | DeleteObject
)


def parse(
    method: bytes, raw_target: bytes, headers: Sequence[tuple[str, str]]
) -> Operation:
    """
    Say what a request asks for. Nothing is looked up and nobody is authenticated.

    Signatures in the query pass through: the verifier refuses them.

    :param raw_target: As on the request line.
    :param headers: Lower-case names, latin-1 decoded values, in wire order.
    :raises InvalidURI: The target cannot be parsed; or KeyTooLongError.
    :raises MethodNotAllowed: S3 has no such operation.
    :raises NotImplementedYet: S3 has it, or a header that changes its meaning, and
        this server has not.
    :raises InvalidArgument: A parameter has a bad value; headers of a PUT raise
        MissingContentLength, EntityTooLarge, MetadataTooLarge, InvalidDigest and
        InvalidRequest as well.
    """
    where = target.parse(raw_target)
    verb = method.decode("latin-1")
    level = Level.OBJECT if where.key else Level.BUCKET
    if not where.bucket:
        level = Level.SERVICE
    known = check_served(verb, level, [name for name, _ in where.query])
    fields = parameters.fold(headers)
    check_headers(fields)
    query = parameters.single(where.query, known)
    return _READERS[verb, level](_Request(where.bucket, where.key, query, fields))


@frozen
class _Request:
    """A request of which method and level are known; *headers* are folded."""

    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def _list_buckets(request: _Request) -> ListBuckets:
    return ListBuckets(request.query.get("prefix", ""))


def _get_bucket(
    request: _Request,
) -> GetBucketLocation | ListObjects | ListObjectsV2:
    query = request.query
    if "location" in query:
        return GetBucketLocation(request.bucket)
    version = query.get("list-type")
    if version is None:
        return ListObjects(
            request.bucket,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            max_keys=parameters.max_keys(query.get("max-keys")),
            marker=query.get("marker", ""),
            encoding_type=parameters.encoding_type(query.get("encoding-type")),
        )
    if version != "2":
        raise parameters.bad_argument("list-type", "Invalid List Type: want 2.")
    operation = ListObjectsV2(
        request.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        max_keys=parameters.max_keys(query.get("max-keys")),
        start_after=query.get("start-after", ""),
        continuation_token=query.get("continuation-token"),
        encoding_type=parameters.encoding_type(query.get("encoding-type")),
        fetch_owner=query.get("fetch-owner", "").lower() == "true",
    )
    _ = operation.after  # A bad token is refused here, before anything is asked.
    return operation


def _read_object(
    kind: type[GetObject] | type[HeadObject], request: _Request
) -> GetObject | HeadObject:
    return kind(
        request.bucket,
        request.key,
        range_header=request.headers.get("range"),
        conditions=parse_read_conditions(request.headers),
        overrides=parameters.overrides(request.query),
        checksum_mode=(
            request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        ),
    )


def _put_object(request: _Request) -> PutObject:
    headers = request.headers
    parameters.refuse_framed_body(headers)
    return PutObject(
        request.bucket,
        request.key,
        content_length=parameters.content_length(headers),
        content_md5=checksums.parse_content_md5(headers.get("content-md5")),
        checksums=checksums.parse_checksums(headers),
        content_type=headers.get("content-type") or None,
        headers=parameters.kept_headers(headers),
        user_metadata=parameters.user_metadata(headers),
        conditions=WriteConditions(
            parse_etags(headers.get("if-match")),
            parse_etags(headers.get("if-none-match")),
        ),
    )


def _delete_object(request: _Request) -> DeleteObject:
    for name in ("if-match", "if-none-match"):
        if name in request.headers:
            raise NotImplementedYet(f"DELETE with '{name}' is not implemented here.")
    return DeleteObject(request.bucket, request.key)


_READERS: Mapping[tuple[str, Level], Callable[[_Request], Operation]] = {
    ("GET", Level.SERVICE): _list_buckets,
    ("HEAD", Level.BUCKET): lambda request: HeadBucket(request.bucket),
    ("PUT", Level.BUCKET): lambda request: CreateBucket(request.bucket),
    ("GET", Level.BUCKET): _get_bucket,
    ("GET", Level.OBJECT): lambda request: _read_object(GetObject, request),
    ("HEAD", Level.OBJECT): lambda request: _read_object(HeadObject, request),
    ("PUT", Level.OBJECT): _put_object,
    ("DELETE", Level.OBJECT): _delete_object,
}
