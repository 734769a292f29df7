"""
Settings that buckets of S3 may have and buckets here have not.

Clients ask for them without meaning them: before a sync, or to show a bucket. They get
the document or the error by which S3 says that nothing is set. Taking away what is not
there is fine, as at S3; setting it is 501.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from s3proxy.errors import NotConfigured
from s3proxy.s3.markup import NAMESPACE, document
from s3proxy.s3.request import Request

# Subresource to the code and the message of its absence.
_ABSENT: Mapping[str, tuple[str, str]] = {
    "encryption": (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found.",
    ),
    "lifecycle": (
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist.",
    ),
    "object-lock": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket.",
    ),
    "ownershipControls": (
        "OwnershipControlsNotFoundError",
        "The bucket ownership controls were not found.",
    ),
    "policy": (
        "NoSuchBucketPolicy",
        "The bucket policy does not exist.",
    ),
    "publicAccessBlock": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found.",
    ),
    "replication": (
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found.",
    ),
    "website": (
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration.",
    ),
}
# Subresource to the root and the content of the document that says so.
_EMPTY: Mapping[str, tuple[str, str]] = {
    "accelerate": ("AccelerateConfiguration", ""),
    "logging": ("BucketLoggingStatus", ""),
    "notification": ("NotificationConfiguration", ""),
    "policyStatus": ("PolicyStatus", "<IsPublic>false</IsPublic>"),
    "requestPayment": ("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    # Never enabled: neither Enabled nor Suspended.
    "versioning": ("VersioningConfiguration", ""),
}

#: What can be asked for, and what can be taken away.
READABLE = frozenset(_ABSENT) | frozenset(_EMPTY)
REMOVABLE = frozenset(_ABSENT) - {"object-lock"}


@frozen
class GetBucketSetting:
    """``GET /{bucket}?{name}``: GetBucketPolicy, GetBucketVersioning …"""

    bucket: str
    name: str


@frozen
class DeleteBucketSetting:
    """``DELETE /{bucket}?{name}``: DeleteBucketPolicy …"""

    bucket: str
    name: str


def get(request: Request) -> GetBucketSetting:
    """Read GetBucketPolicy and its like."""
    return GetBucketSetting(request.bucket, _name(request, READABLE))


def delete(request: Request) -> DeleteBucketSetting:
    """Read DeleteBucketPolicy and its like."""
    return DeleteBucketSetting(request.bucket, _name(request, REMOVABLE))


def answer(name: str) -> bytes:
    """
    The document that says that nothing is set.

    :param name: Of :data:`READABLE`.
    :raises NotConfigured: It is an error that says so.
    """
    if name in _ABSENT:
        raise NotConfigured(*_ABSENT[name])
    root, content = _EMPTY[name]
    return document(f"<{root}{NAMESPACE}>{content}</{root}>")


def _name(request: Request, names: frozenset[str]) -> str:
    (name,) = names.intersection(request.query)
    return name
