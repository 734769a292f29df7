"""Operations on buckets, as values, and how they are read from a request."""

from __future__ import annotations

from attrs import frozen

from s3proxy.s3 import parameters, tokens
from s3proxy.s3.parameters import MAX_BUCKETS, MAX_KEYS
from s3proxy.s3.request import Request


@frozen
class ListBuckets:
    """
    ``GET /``; only buckets whose name begins with *prefix* are wanted.

    :ivar region: Only those there are wanted; None for any.
    """

    prefix: str = ""
    max_buckets: int = MAX_BUCKETS
    continuation_token: str | None = None
    region: str | None = None

    @property
    def after(self) -> str:
        """Where the page begins."""
        if self.continuation_token is None:
            return ""
        return tokens.decode(self.continuation_token)


@frozen
class HeadBucket:
    """``HEAD /{bucket}``"""

    bucket: str


@frozen
class CreateBucket:
    """``PUT /{bucket}``; :mod:`s3proxy.s3.bucket_configuration` reads the body."""

    bucket: str


@frozen
class DeleteBucket:
    """``DELETE /{bucket}``"""

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


def list_buckets(request: Request) -> ListBuckets:
    """
    Read ListBuckets.

    :raises InvalidArgument: The limit is not 1 to 10000, or the token is none of ours.
    """
    query = request.query
    operation = ListBuckets(
        query.get("prefix", ""),
        parameters.limit(query, "max-buckets", MAX_BUCKETS),
        query.get("continuation-token"),
        query.get("bucket-region"),
    )
    if operation.max_buckets == 0:
        raise parameters.bad_argument(
            "max-buckets", f"max-buckets must be between 1 and {MAX_BUCKETS}."
        )
    _ = operation.after  # A bad token is refused here, before anything is asked.
    return operation


def list_objects(request: Request) -> ListObjects | ListObjectsV2:
    """
    Read either version of ListObjects.

    :raises InvalidArgument: A parameter has a bad value, or the token is none of ours.
    """
    query = request.query
    version = query.get("list-type")
    if version is None:
        return ListObjects(
            request.bucket,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            max_keys=parameters.limit(query, "max-keys"),
            marker=query.get("marker", ""),
            encoding_type=parameters.encoding_type(query.get("encoding-type")),
        )
    if version != "2":
        raise parameters.bad_argument("list-type", "Invalid List Type: want 2.")
    operation = ListObjectsV2(
        request.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        max_keys=parameters.limit(query, "max-keys"),
        start_after=query.get("start-after", ""),
        continuation_token=query.get("continuation-token"),
        encoding_type=parameters.encoding_type(query.get("encoding-type")),
        fetch_owner=query.get("fetch-owner", "").lower() == "true",
    )
    _ = operation.after  # A bad token is refused here, before anything is asked.
    return operation
