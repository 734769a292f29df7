"""
Access control lists: one kind, private.

Clients that copy objects between servers ask for them and set them. What leaves all as
it is, is accepted; what would let others in is refused, but for the canned names:
programs send these with every upload and mean nothing by them. They let nobody in.
"""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import InvalidRequest, MalformedXML, NotImplementedYet
from s3proxy.s3 import parameters, safe_xml, sent_document
from s3proxy.s3.request import Request
from s3proxy.s3.safe_xml import Node
from s3proxy.s3.sent_document import SentDocument

HEADER = "x-amz-acl"

#: Of a document: S3 takes 100 grants.
MAX_BYTES = 256 * 1024
_MAX_ELEMENTS = 1000


@frozen
class GetBucketAcl:
    """``GET /{bucket}?acl``"""

    bucket: str


@frozen
class GetObjectAcl:
    """``GET /{bucket}/{key}?acl``; *version_id* is ``null`` where it was named."""

    bucket: str
    key: str
    version_id: str | None = None


@frozen
class PutBucketAcl:
    """
    ``PUT /{bucket}?acl``

    :ivar is_canned: A header says which, and there is no body; else see :func:`check`.
    """

    bucket: str
    is_canned: bool
    document: SentDocument


@frozen
class PutObjectAcl:
    """``PUT /{bucket}/{key}?acl``; see PutBucketAcl and GetObjectAcl."""

    bucket: str
    key: str
    is_canned: bool
    document: SentDocument
    version_id: str | None = None


def get_bucket(request: Request) -> GetBucketAcl:
    """Read GetBucketAcl."""
    return GetBucketAcl(request.bucket)


def get_object(request: Request) -> GetObjectAcl:
    """Read GetObjectAcl; NoSuchVersion."""
    version_id = parameters.version_id(request.query)
    return GetObjectAcl(request.bucket, request.key, version_id)


def put_bucket(request: Request) -> PutBucketAcl:
    """Read PutBucketAcl, but for its body."""
    document = sent_document.read(request.headers)
    return PutBucketAcl(request.bucket, HEADER in request.headers, document)


def put_object(request: Request) -> PutObjectAcl:
    """Read PutObjectAcl, but for its body; NoSuchVersion."""
    return PutObjectAcl(
        request.bucket,
        request.key,
        HEADER in request.headers,
        sent_document.read(request.headers),
        parameters.version_id(request.query),
    )


def check(document: bytes, owner: str) -> None:
    """
    Read an ``AccessControlPolicy`` that must be private: the owner may do everything.

    :param owner: Its id.
    :raises MalformedXML: It is no such document.
    :raises NotImplementedYet: It lets others in, or keeps the owner out.
    :raises InvalidRequest: There is none.
    """
    if not document:
        raise InvalidRequest(
            "Your request was missing a required header or body: want x-amz-acl or an "
            "AccessControlPolicy."
        )
    root = safe_xml.parse(
        document,
        "AccessControlPolicy",
        max_bytes=MAX_BYTES,
        max_elements=_MAX_ELEMENTS,
    )
    root.only("Owner", "AccessControlList")
    grants = root.one("AccessControlList")
    if grants is None:
        raise MalformedXML()
    grants.only("Grant")
    if len(grants.children) != 1 or not _is_owners(grants.children[0], owner):
        raise NotImplementedYet(
            "Access control lists other than private are not implemented here: the "
            "owner has FULL_CONTROL, and nobody else has a grant."
        )


def _is_owners(grant: Node, owner: str) -> bool:
    grant.only("Grantee", "Permission")
    grantee, permission = grant.one("Grantee"), grant.value("Permission")
    if grantee is None or permission is None:
        raise MalformedXML()
    return grantee.value("ID") == owner and permission.strip() == "FULL_CONTROL"
