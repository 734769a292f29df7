"""DeleteObject and DeleteObjects, as values, and how they are read."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import (
    KeyTooLongError,
    MalformedXML,
    NoSuchVersion,
    NotImplementedYet,
    S3Error,
)
from s3proxy.model import Doomed
from s3proxy.s3 import parameters, safe_xml, sent_document, target
from s3proxy.s3.conditions import parse_etags
from s3proxy.s3.request import Request
from s3proxy.s3.safe_xml import Node
from s3proxy.s3.sent_document import SentDocument

MAX_KEYS = 1000
#: Of the document: S3's own limit.
MAX_BYTES = 2 * 1024**2

# Every key with all that may be said of it.
_MAX_ELEMENTS = 6 * MAX_KEYS + 2


@frozen
class DeleteObject:
    """
    ``DELETE /{bucket}/{key}``

    :ivar if_match: ETags of which the object must have one, or ``*``.
    :ivar version_id: ``null`` where it was named.
    """

    bucket: str
    key: str
    if_match: tuple[str, ...] = ()
    version_id: str | None = None


@frozen
class DeleteObjects:
    """``POST /{bucket}?delete``; :func:`parse` reads the body."""

    bucket: str
    document: SentDocument


@frozen
class Entry:
    """
    A line of the list.

    :ivar version_id: As it was named, or None.
    :ivar refused: Why the key is not even looked for.
    """

    doomed: Doomed
    version_id: str | None = None
    refused: S3Error | None = None


@frozen
class Deletion:
    """
    What DeleteObjects is to do.

    :ivar quiet: Only failures are told.
    """

    entries: tuple[Entry, ...]
    quiet: bool = False


def delete_object(request: Request) -> DeleteObject:
    """
    Read DeleteObject.

    :raises NotImplementedYet: It has another condition than If-Match.
    :raises NoSuchVersion: It names a version other than ``null``.
    """
    for name in ("if-none-match", "if-modified-since", "if-unmodified-since"):
        if name in request.headers:
            raise NotImplementedYet(f"DELETE with '{name}' is not implemented here.")
    return DeleteObject(
        request.bucket,
        request.key,
        if_match=parse_etags(request.headers.get("if-match")),
        version_id=parameters.version_id(request.query),
    )


def delete_objects(request: Request) -> DeleteObjects:
    """
    Read DeleteObjects, but for its body.

    :raises InvalidRequest: It has no digest; and what sent_document.read raises.
    """
    document = sent_document.read(request.headers, digest_demanded=True)
    return DeleteObjects(request.bucket, document)


def parse(document: bytes) -> Deletion:
    """
    Read the body of DeleteObjects.

    What is wrong with one key is said of that key, and the others go.

    :raises MalformedXML: It is no such document, or names no key or over 1000.
    """
    root = safe_xml.parse(
        document, "Delete", max_bytes=MAX_BYTES, max_elements=_MAX_ELEMENTS
    )
    root.only("Object", "Quiet")
    quiet = (root.value("Quiet") or "false").strip().lower()
    entries = [_entry(each) for each in root.children if each.name == "Object"]
    if not 0 < len(entries) <= MAX_KEYS or quiet not in ("true", "false"):
        raise MalformedXML()
    return Deletion(tuple(entries), quiet == "true")


def _entry(node: Node) -> Entry:
    node.only("Key", "VersionId", "ETag", "LastModifiedTime", "Size")
    key = node.value("Key")
    if not key:
        raise MalformedXML()
    etag, version_id = node.value("ETag"), node.value("VersionId") or None
    etags = () if etag is None else parse_etags(etag.strip())
    if len(etags) != (etag is not None):
        raise MalformedXML()
    doomed = Doomed(key, etags[0] if etags else None)
    refused: S3Error | None = None
    if len(key.encode()) > target.MAX_KEY_BYTES:
        refused = KeyTooLongError()
    elif version_id not in (None, parameters.NULL_VERSION):
        refused = NoSuchVersion()
    elif node.one("LastModifiedTime") or node.one("Size"):
        refused = NotImplementedYet(
            "Deleting on a condition is implemented here for the ETag only."
        )
    return Entry(doomed, version_id, refused)
