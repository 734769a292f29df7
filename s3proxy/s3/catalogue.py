"""
The operations of S3 by name, served here or not.

:data:`s3proxy.s3.known.SERVED` decides; this says what things are called, for the page
``docs/operations.md``. A newer name stands for an older one that asks for the same.
"""

from __future__ import annotations

from attrs import frozen

from s3proxy.s3 import known, settings
from s3proxy.s3.known import Level

#: What an operation is asked for by beside its method, level and subresources.
_NOTES = {
    "CopyObject": "x-amz-copy-source",
    "UploadPartCopy": "x-amz-copy-source",
    "ListObjectsV2": "list-type=2",
    "PostObject": "a form",
}

_TEXT = """
GET     service
    ListBuckets
GET     bucket
    ListObjects ListObjectsV2
    CreateSession?session
    GetBucketAbac?abac
    GetBucketAccelerateConfiguration?accelerate
    GetBucketAcl?acl
    GetBucketAnalyticsConfiguration?analytics
    GetBucketCors?cors
    GetBucketEncryption?encryption
    GetBucketIntelligentTieringConfiguration?intelligent-tiering
    GetBucketInventoryConfiguration?inventory
    GetBucketLifecycleConfiguration?lifecycle
    GetBucketLocation?location
    GetBucketLogging?logging
    GetBucketMetadataConfiguration?metadataConfiguration
    GetBucketMetadataTableConfiguration?metadataTable
    GetBucketMetricsConfiguration?metrics
    GetBucketNotificationConfiguration?notification
    GetBucketOwnershipControls?ownershipControls
    GetBucketPolicy?policy
    GetBucketPolicyStatus?policyStatus
    GetBucketReplication?replication
    GetBucketRequestPayment?requestPayment
    GetBucketTagging?tagging
    GetBucketVersioning?versioning
    GetBucketWebsite?website
    GetObjectLockConfiguration?object-lock
    GetPublicAccessBlock?publicAccessBlock
    ListBucketAnalyticsConfigurations?analytics
    ListBucketIntelligentTieringConfigurations?intelligent-tiering
    ListBucketInventoryConfigurations?inventory
    ListBucketMetricsConfigurations?metrics
    ListMultipartUploads?uploads
    ListObjectVersions?versions
HEAD    bucket
    HeadBucket
PUT     bucket
    CreateBucket
    PutBucketAbac?abac
    PutBucketAccelerateConfiguration?accelerate
    PutBucketAcl?acl
    PutBucketAnalyticsConfiguration?analytics
    PutBucketCors?cors
    PutBucketEncryption?encryption
    PutBucketIntelligentTieringConfiguration?intelligent-tiering
    PutBucketInventoryConfiguration?inventory
    PutBucketLifecycleConfiguration?lifecycle
    PutBucketLogging?logging
    PutBucketMetricsConfiguration?metrics
    PutBucketNotificationConfiguration?notification
    PutBucketOwnershipControls?ownershipControls
    PutBucketPolicy?policy
    PutBucketReplication?replication
    PutBucketRequestPayment?requestPayment
    PutBucketTagging?tagging
    PutBucketVersioning?versioning
    PutBucketWebsite?website
    PutObjectLockConfiguration?object-lock
    PutPublicAccessBlock?publicAccessBlock
    UpdateBucketMetadataAnnotationTableConfiguration?metadataAnnotationTable
    UpdateBucketMetadataInventoryTableConfiguration?metadataInventoryTable
    UpdateBucketMetadataJournalTableConfiguration?metadataJournalTable
POST    bucket
    CreateBucketMetadataConfiguration?metadataConfiguration
    CreateBucketMetadataTableConfiguration?metadataTable
    DeleteObjects?delete
    PostObject
DELETE  bucket
    DeleteBucket
    DeleteBucketAnalyticsConfiguration?analytics
    DeleteBucketCors?cors
    DeleteBucketEncryption?encryption
    DeleteBucketIntelligentTieringConfiguration?intelligent-tiering
    DeleteBucketInventoryConfiguration?inventory
    DeleteBucketLifecycle?lifecycle
    DeleteBucketMetadataConfiguration?metadataConfiguration
    DeleteBucketMetadataTableConfiguration?metadataTable
    DeleteBucketMetricsConfiguration?metrics
    DeleteBucketOwnershipControls?ownershipControls
    DeleteBucketPolicy?policy
    DeleteBucketReplication?replication
    DeleteBucketTagging?tagging
    DeleteBucketWebsite?website
    DeletePublicAccessBlock?publicAccessBlock
GET     object
    GetObject
    GetObject?partNumber
    GetObjectAcl?acl
    GetObjectAnnotation?annotation
    GetObjectAttributes?attributes
    GetObjectLegalHold?legal-hold
    GetObjectRetention?retention
    GetObjectTagging?tagging
    GetObjectTorrent?torrent
    ListObjectAnnotations?annotation
    ListParts?uploadId
HEAD    object
    HeadObject
    HeadObject?partNumber
PUT     object
    CopyObject PutObject
    PutObjectAcl?acl
    PutObjectAnnotation?annotation
    PutObjectLegalHold?legal-hold
    PutObjectRetention?retention
    PutObjectTagging?tagging
    RenameObject?renameObject
    UpdateObjectEncryption?encryption
    UploadPart?partNumber&uploadId UploadPartCopy?partNumber&uploadId
POST    object
    CompleteMultipartUpload?uploadId
    CreateMultipartUpload?uploads
    RestoreObject?restore
    SelectObjectContent?select&select-type
DELETE  object
    AbortMultipartUpload?uploadId
    DeleteObject
    DeleteObjectAnnotation?annotation
    DeleteObjectTagging?tagging
"""


@frozen
class Known:
    """
    An operation of S3.

    :ivar form: Its subresources.
    :ivar note: By what else it is asked for; "" for nothing.
    """

    name: str
    method: str
    level: Level
    form: frozenset[str]
    note: str = ""

    @property
    def is_served(self) -> bool:
        """Whether this server does it."""
        return (
            self.form in known.SERVED.get((self.method, self.level), {})
            or (self.method, self.level, self.form) == known.FORM
        )

    @property
    def is_empty(self) -> bool:
        """Whether the answer is always that nothing is set."""
        names = {"GET": settings.READABLE, "DELETE": settings.REMOVABLE}
        return (
            self.is_served
            and self.level is Level.BUCKET
            and bool(self.form & names.get(self.method, frozenset()))
        )


def _read(text: str) -> tuple[Known, ...]:
    found, method, level = [], "", Level.SERVICE
    for line in text.strip().splitlines():
        if not line.startswith(" "):
            method, where = line.split()
            level = Level(where)
            continue
        for each in line.split():
            name, _, query = each.partition("?")
            form = frozenset(query.split("&") if query else ())
            found.append(Known(name, method, level, form, _NOTES.get(name, "")))
    return tuple(found)


OPERATIONS = _read(_TEXT)

_PATHS = {
    Level.SERVICE: "/",
    Level.BUCKET: "/{bucket}",
    Level.OBJECT: "/{bucket}/{key}",
}
_HEAD = """\
# Operations

Made from the table that requests are checked against, by `make generate`; do not edit.
What is refused is `501 NotImplemented`, never another operation. "Not set" means that
it is answered as S3 answers where there is no such setting (`NoSuchBucketPolicy` …);
taking away what is not there is 204.

| operation | request | beside | here |
|---|---|---|---|
"""


def page() -> str:
    """``docs/operations.md``."""
    lines = []
    for each in OPERATIONS:
        query = "&".join(sorted(each.form))
        request = f"{each.method} {_PATHS[each.level]}{'?' if query else ''}{query}"
        state = "served" if each.is_served else "refused"
        if each.is_empty:
            state = "not set"
        note = f"`{each.note}`" if each.note else ""
        lines.append(f"| {each.name} | `{request}` | {note} | {state} |\n")
    served = sum(each.is_served for each in OPERATIONS)
    count = f"\n{served} of {len(OPERATIONS)} are answered, the others refused.\n"
    return _HEAD + "".join(lines) + count
