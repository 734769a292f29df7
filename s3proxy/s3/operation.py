"""
A request is a value: method, raw target and headers become one of these.

:data:`s3proxy.s3.known.SERVED` says which subresources and parameters the server knows;
what S3 has and this server has not is 501 NotImplemented, never the plain operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from s3proxy.errors import InvalidRequest
from s3proxy.s3 import (
    access_lists,
    attributes,
    bucket_operations,
    copies,
    cors_operations,
    deletion,
    framing,
    hosts,
    known,
    object_operations,
    parameters,
    settings,
    tagging,
    target,
    uploads,
    versions,
)
from s3proxy.s3.access_lists import (
    GetBucketAcl,
    GetObjectAcl,
    PutBucketAcl,
    PutObjectAcl,
)
from s3proxy.s3.attributes import GetObjectAttributes
from s3proxy.s3.bucket_operations import (
    CreateBucket,
    DeleteBucket,
    GetBucketLocation,
    HeadBucket,
    ListBuckets,
    ListObjects,
    ListObjectsV2,
)
from s3proxy.s3.conditions import ReadConditions
from s3proxy.s3.copies import CopyObject, CopySource, UploadPartCopy
from s3proxy.s3.cors_operations import DeleteBucketCors, GetBucketCors, PutBucketCors
from s3proxy.s3.deletion import DeleteObject, DeleteObjects
from s3proxy.s3.known import Level
from s3proxy.s3.object_operations import GetObject, HeadObject, PutObject
from s3proxy.s3.request import Request
from s3proxy.s3.settings import DeleteBucketSetting, GetBucketSetting
from s3proxy.s3.tagging import (
    DeleteBucketTagging,
    DeleteObjectTagging,
    GetBucketTagging,
    GetObjectTagging,
    PutBucketTagging,
    PutObjectTagging,
)
from s3proxy.s3.uploads import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
)
from s3proxy.s3.versions import ListObjectVersions

__all__ = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CopySource",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteBucketCors",
    "DeleteBucketSetting",
    "DeleteBucketTagging",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjects",
    "GetBucketAcl",
    "GetBucketCors",
    "GetBucketLocation",
    "GetBucketSetting",
    "GetBucketTagging",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectTagging",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "Operation",
    "PutBucketAcl",
    "PutBucketCors",
    "PutBucketTagging",
    "PutObject",
    "PutObjectAcl",
    "PutObjectTagging",
    "ReadConditions",
    "UploadPart",
    "UploadPartCopy",
    "locate",
    "parse",
]

Operation = (
    ListBuckets
    | HeadBucket
    | CreateBucket
    | DeleteBucket
    | GetBucketLocation
    | GetBucketCors
    | PutBucketCors
    | DeleteBucketCors
    | ListObjectsV2
    | ListObjects
    | PutObject
    | GetObject
    | HeadObject
    | DeleteObject
    | CopyObject
    | CreateMultipartUpload
    | UploadPart
    | UploadPartCopy
    | CompleteMultipartUpload
    | AbortMultipartUpload
    | ListParts
    | ListMultipartUploads
    | DeleteObjects
    | GetObjectAttributes
    | ListObjectVersions
    | GetObjectTagging
    | PutObjectTagging
    | DeleteObjectTagging
    | GetBucketTagging
    | PutBucketTagging
    | DeleteBucketTagging
    | GetBucketAcl
    | PutBucketAcl
    | GetObjectAcl
    | PutObjectAcl
    | GetBucketSetting
    | DeleteBucketSetting
)
Reader = Callable[[Request], Operation]


def parse(
    method: bytes,
    raw_target: bytes,
    headers: Sequence[tuple[str, str]],
    domains: Sequence[str] = (),
) -> Operation:
    """
    Say what a request asks for. Nothing is looked up and nobody is authenticated.

    Signatures in the query pass through: they are the verifier's.

    :param raw_target: As on the request line.
    :param headers: Lower-case names, latin-1 decoded values, in wire order.
    :param domains: Below which a Host header names a bucket (:mod:`s3proxy.s3.hosts`).
    :raises InvalidURI: The target cannot be parsed; or KeyTooLongError.
    :raises MethodNotAllowed: S3 has no such operation.
    :raises NotImplementedYet: S3 has it, or a header that changes its meaning, and
        this server has not.
    :raises InvalidArgument: A parameter has a bad value; headers of a PUT raise
        MissingContentLength, EntityTooLarge, MetadataTooLarge, InvalidDigest and
        MalformedTrailerError as well.
    :raises NoSuchVersion: A version other than ``null`` is named.
    :raises InvalidRequest: An aws-chunked body where it has no meaning, and what
        headers of a PUT raise.
    """
    where = locate(raw_target, headers, domains)
    verb = method.decode("latin-1")
    level = Level.OBJECT if where.key else Level.BUCKET
    if not where.bucket:
        level = Level.SERVICE
    form, understood = known.check_served(
        verb, level, [name for name, _ in where.query]
    )
    fields = parameters.fold(headers)
    reader = _READERS[verb, level, form]
    copying = _COPIES.get(reader) if "x-amz-copy-source" in fields else None
    if copying is not None:
        reader, taken = copying
    else:
        taken = _TAKEN.get(reader, known.PLAIN)
    hashed = fields.get("x-amz-content-sha256", "").strip()
    if framing.form_of(hashed) is not None and not taken >= framing.HEADERS:
        raise InvalidRequest(
            f"x-amz-content-sha256 may not be {hashed} here: this operation takes no "
            "aws-chunked body."
        )
    known.check_headers(fields, taken)
    query = parameters.single(where.query, form | understood)
    return reader(Request(where.bucket, where.key, query, fields))


def locate(
    raw_target: bytes, headers: Sequence[tuple[str, str]], domains: Sequence[str]
) -> target.Target:
    """
    The bucket, key and query of a request in either style; as of :func:`parse`.

    :raises InvalidURI: The target cannot be parsed; or KeyTooLongError.
    """
    host = next((value for name, value in headers if name == "host"), "")
    return target.parse(raw_target, hosts.bucket_of(host, domains))


def _location(request: Request) -> GetBucketLocation:
    return GetBucketLocation(request.bucket)


def _head_bucket(request: Request) -> HeadBucket:
    return HeadBucket(request.bucket)


def _create_bucket(request: Request) -> CreateBucket:
    return CreateBucket(request.bucket)


def _delete_bucket(request: Request) -> DeleteBucket:
    return DeleteBucket(request.bucket)


_get_object = partial(object_operations.read_object, GetObject)
_head_object = partial(object_operations.read_object, HeadObject)

_READERS: Mapping[tuple[str, Level, frozenset[str]], Reader] = {
    ("GET", Level.SERVICE, known.PLAIN): bucket_operations.list_buckets,
    ("HEAD", Level.BUCKET, known.PLAIN): _head_bucket,
    ("PUT", Level.BUCKET, known.PLAIN): _create_bucket,
    ("DELETE", Level.BUCKET, known.PLAIN): _delete_bucket,
    ("GET", Level.BUCKET, known.PLAIN): bucket_operations.list_objects,
    ("GET", Level.BUCKET, known.LOCATION): _location,
    ("GET", Level.BUCKET, known.CORS): cors_operations.get_cors,
    ("PUT", Level.BUCKET, known.CORS): cors_operations.put_cors,
    ("DELETE", Level.BUCKET, known.CORS): cors_operations.delete_cors,
    ("GET", Level.BUCKET, known.UPLOADS): uploads.list_uploads,
    ("GET", Level.BUCKET, known.VERSIONS): versions.list_versions,
    ("GET", Level.BUCKET, known.ACL): access_lists.get_bucket,
    ("GET", Level.BUCKET, known.TAGGING): tagging.get_bucket,
    **{
        ("GET", Level.BUCKET, frozenset({name})): settings.get
        for name in settings.READABLE
    },
    ("PUT", Level.BUCKET, known.ACL): access_lists.put_bucket,
    ("PUT", Level.BUCKET, known.TAGGING): tagging.put_bucket,
    ("POST", Level.BUCKET, known.DELETE): deletion.delete_objects,
    ("DELETE", Level.BUCKET, known.TAGGING): tagging.delete_bucket,
    **{
        ("DELETE", Level.BUCKET, frozenset({name})): settings.delete
        for name in settings.REMOVABLE
    },
    ("GET", Level.OBJECT, known.PLAIN): _get_object,
    ("GET", Level.OBJECT, known.PART): _get_object,
    ("GET", Level.OBJECT, known.UPLOAD): uploads.list_parts,
    ("GET", Level.OBJECT, known.ACL): access_lists.get_object,
    ("GET", Level.OBJECT, known.ATTRIBUTES): attributes.get_object_attributes,
    ("GET", Level.OBJECT, known.TAGGING): tagging.get_object,
    ("HEAD", Level.OBJECT, known.PLAIN): _head_object,
    ("HEAD", Level.OBJECT, known.PART): _head_object,
    ("PUT", Level.OBJECT, known.PLAIN): object_operations.put_object,
    ("PUT", Level.OBJECT, known.PART_OF_UPLOAD): uploads.upload_part,
    ("PUT", Level.OBJECT, known.ACL): access_lists.put_object,
    ("PUT", Level.OBJECT, known.TAGGING): tagging.put_object,
    ("POST", Level.OBJECT, known.UPLOADS): uploads.create,
    ("POST", Level.OBJECT, known.UPLOAD): uploads.complete,
    ("DELETE", Level.OBJECT, known.PLAIN): deletion.delete_object,
    ("DELETE", Level.OBJECT, known.UPLOAD): uploads.abort,
    ("DELETE", Level.OBJECT, known.TAGGING): tagging.delete_object,
}
# Headers that are refused elsewhere; those of framing where a body may come so.
_TAKEN: Mapping[Reader, frozenset[str]] = {
    object_operations.put_object: framing.HEADERS | known.TAGGING_HEADERS,
    uploads.upload_part: framing.HEADERS,
    uploads.create: known.UPLOAD_HEADERS,
    deletion.delete_object: known.DELETE_HEADERS,
    cors_operations.put_cors: framing.HEADERS,
    deletion.delete_objects: framing.HEADERS | known.DELETE_HEADERS,
    tagging.put_object: framing.HEADERS,
    tagging.put_bucket: framing.HEADERS,
    access_lists.put_object: framing.HEADERS,
    access_lists.put_bucket: framing.HEADERS,
}
# What x-amz-copy-source turns an operation into, and the headers that this one takes.
_COPIES: Mapping[Reader, tuple[Reader, frozenset[str]]] = {
    object_operations.put_object: (copies.copy_object, known.COPY_HEADERS),
    uploads.upload_part: (copies.upload_part_copy, known.COPY_PART_HEADERS),
}
