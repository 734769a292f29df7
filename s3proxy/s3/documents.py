"""
The XML that S3 answers with, as UTF-8 bytes.

Written by hand: the documents are small and fixed, and a listing of 1000 keys is on the
hot path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from urllib.parse import unquote_plus

from s3proxy.errors import S3Error
from s3proxy.model import ListPage, ObjectInfo
from s3proxy.s3 import tokens
from s3proxy.s3.dates import rfc3339
from s3proxy.s3.markup import NAMESPACE, OWNER, document, element, escape, namer, person
from s3proxy.s3.operation import ListBuckets, ListObjects, ListObjectsV2

CONTENT_TYPE = "application/xml"

# What XML 1.0 has no way to carry, not even as a character reference.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def error(error: S3Error, *, resource: str, request_id: str) -> bytes:
    """
    An error document.

    :param resource: The path asked for, as sent (still percent-encoded) or decoded.
        Characters that XML cannot carry become U+FFFD, in every element, so that the
        document always parses.
    """
    elements = [
        ("Code", error.code),
        ("Message", error.message),
        *error.fields.items(),
        ("Resource", resource),
        ("RequestId", request_id),
    ]
    text = "".join(
        [element(name, _FORBIDDEN.sub("\ufffd", value)) for name, value in elements]
    )
    return document(f"<Error>{text}</Error>")


def list_buckets(
    operation: ListBuckets,
    buckets: Sequence[tuple[str, datetime]],
    *,
    region: str,
    more: bool,
    owner: str = OWNER,
) -> bytes:
    """
    The answer to ListBuckets.

    :param buckets: A page of names and when they were made, in order.
    :param more: Whether there is a page after it.
    :param owner: Who asks.
    """
    entries = "".join(
        f"<Bucket><Name>{escape(name)}</Name>"
        f"<CreationDate>{rfc3339(created)}</CreationDate>"
        f"{element('BucketRegion', region)}</Bucket>"
        for name, created in buckets
    )
    shown = element("Prefix", operation.prefix) if operation.prefix else ""
    if more:
        shown += element("ContinuationToken", tokens.encode(buckets[-1][0]))
    return document(
        f"<ListAllMyBucketsResult{NAMESPACE}><Owner>{person(owner)}</Owner>"
        f"<Buckets>{entries}</Buckets>{shown}</ListAllMyBucketsResult>"
    )


def location(region: str) -> bytes:
    """The answer to GetBucketLocation; us-east-1 is the empty one, as at S3."""
    name = "" if region == "us-east-1" else escape(region)
    return document(f"<LocationConstraint{NAMESPACE}>{name}</LocationConstraint>")


def list_objects_v2(
    operation: ListObjectsV2, page: ListPage, owner: str = OWNER
) -> bytes:
    """
    The answer to ListObjectsV2; *owner* is the bucket's.

    Without ``encoding-type=url``, a key with characters that XML 1.0 cannot carry makes
    a document that strict parsers refuse; S3 does the same.
    """
    name = namer(operation.encoding_type)
    parts = [
        *_head(operation, name),
        f"<KeyCount>{len(page.contents) + len(page.common_prefixes)}</KeyCount>",
        element("IsTruncated", "true" if page.is_truncated else "false"),
    ]
    if operation.continuation_token is not None:
        parts.append(element("ContinuationToken", operation.continuation_token))
    if page.next_after is not None:
        parts.append(element("NextContinuationToken", tokens.encode(page.next_after)))
    if operation.start_after:
        parts.append(f"<StartAfter>{name(operation.start_after)}</StartAfter>")
    parts.extend(_entries(page, name, owner if operation.fetch_owner else None))
    return _list_document(parts)


def list_objects(operation: ListObjects, page: ListPage, owner: str = OWNER) -> bytes:
    """
    The answer to ListObjects, the first version; *owner* is the bucket's.

    NextMarker comes with a delimiter only: without one, the last key is the marker.
    """
    name = namer(operation.encoding_type)
    parts = [
        *_head(operation, name),
        f"<Marker>{name(operation.marker)}</Marker>",
        element("IsTruncated", "true" if page.is_truncated else "false"),
    ]
    if page.next_after is not None and operation.delimiter:
        parts.append(f"<NextMarker>{name(page.next_after)}</NextMarker>")
    parts.extend(_entries(page, name, owner))
    return _list_document(parts)


def _head(
    operation: ListObjects | ListObjectsV2, name: Callable[[str], str]
) -> list[str]:
    told = name(operation.prefix)
    if isinstance(operation, ListObjects) and _reads_the_same(operation.prefix):
        # SDKs differ in whether they decode this one.
        told = escape(operation.prefix)
    parts = [
        element("Name", operation.bucket),
        f"<Prefix>{told}</Prefix>",
        f"<MaxKeys>{operation.max_keys}</MaxKeys>",
    ]
    if operation.delimiter:
        parts.append(f"<Delimiter>{name(operation.delimiter)}</Delimiter>")
    if operation.encoding_type is not None:
        parts.append(element("EncodingType", operation.encoding_type))
    return parts


def _reads_the_same(text: str) -> bool:
    """Whether *text* is itself to those who take it for percent-encoded, too."""
    return unquote_plus(text) == text and _FORBIDDEN.search(text) is None


def _entries(
    page: ListPage, name: Callable[[str], str], owner: str | None
) -> Iterable[str]:
    shown = f"<Owner>{person(owner)}</Owner>" if owner is not None else ""
    yield from [_contents(info, name(info.key), shown) for info in page.contents]
    for prefix in page.common_prefixes:
        yield f"<CommonPrefixes><Prefix>{name(prefix)}</Prefix></CommonPrefixes>"


def _contents(info: ObjectInfo, key: str, owner: str) -> str:
    return (
        f"<Contents><Key>{key}</Key>"
        f"<LastModified>{rfc3339(info.last_modified)}</LastModified>"
        f"<ETag>&quot;{escape(info.etag)}&quot;</ETag><Size>{info.size_bytes}</Size>"
        f"{owner}<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _list_document(parts: Iterable[str]) -> bytes:
    inner = "".join(parts)
    return document(f"<ListBucketResult{NAMESPACE}>{inner}</ListBucketResult>")
