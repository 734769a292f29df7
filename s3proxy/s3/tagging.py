"""Tags: their rules, the operations on them as values, and how they are read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from attrs import frozen

from s3proxy.errors import InvalidTag, InvalidURI, MalformedXML
from s3proxy.s3 import parameters, safe_xml, sent_document, target
from s3proxy.s3.request import Request
from s3proxy.s3.sent_document import SentDocument

HEADER = "x-amz-tagging"
DIRECTIVE = "x-amz-tagging-directive"
#: Of an object, and of a bucket.
MAX_OBJECT_TAGS, MAX_BUCKET_TAGS = 10, 50
MAX_KEY_CHARACTERS, MAX_VALUE_CHARACTERS = 128, 256

#: Of a document: 50 tags whose every character is an escaped one.
MAX_BYTES = 256 * 1024
_MAX_ELEMENTS = 1000
_PUNCTUATION = frozenset("+-=._:/@")


@frozen
class _OnObject:
    """
    What the operations on an object's tags have in common.

    :ivar version_id: ``null`` where it was named.
    """

    bucket: str
    key: str
    version_id: str | None = None


@frozen
class GetObjectTagging(_OnObject):
    """``GET /{bucket}/{key}?tagging``"""


@frozen
class DeleteObjectTagging(_OnObject):
    """``DELETE /{bucket}/{key}?tagging``"""


@frozen
class PutObjectTagging:
    """``PUT /{bucket}/{key}?tagging``; :func:`parse` reads the body."""

    bucket: str
    key: str
    document: SentDocument
    version_id: str | None = None


@frozen
class GetBucketTagging:
    """``GET /{bucket}?tagging``"""

    bucket: str


@frozen
class PutBucketTagging:
    """``PUT /{bucket}?tagging``; :func:`parse` reads the body."""

    bucket: str
    document: SentDocument


@frozen
class DeleteBucketTagging:
    """``DELETE /{bucket}?tagging``"""

    bucket: str


def get_object(request: Request) -> GetObjectTagging:
    """Read GetObjectTagging; NoSuchVersion."""
    version_id = parameters.version_id(request.query)
    return GetObjectTagging(request.bucket, request.key, version_id)


def put_object(request: Request) -> PutObjectTagging:
    """Read PutObjectTagging, but for its body; NoSuchVersion."""
    return PutObjectTagging(
        request.bucket,
        request.key,
        sent_document.read(request.headers),
        parameters.version_id(request.query),
    )


def delete_object(request: Request) -> DeleteObjectTagging:
    """Read DeleteObjectTagging; NoSuchVersion."""
    version_id = parameters.version_id(request.query)
    return DeleteObjectTagging(request.bucket, request.key, version_id)


def get_bucket(request: Request) -> GetBucketTagging:
    """Read GetBucketTagging."""
    return GetBucketTagging(request.bucket)


def put_bucket(request: Request) -> PutBucketTagging:
    """Read PutBucketTagging, but for its body."""
    return PutBucketTagging(request.bucket, sent_document.read(request.headers))


def delete_bucket(request: Request) -> DeleteBucketTagging:
    """Read DeleteBucketTagging."""
    return DeleteBucketTagging(request.bucket)


def parse_header(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Read ``x-amz-tagging``: tags as the query of a URL; none when it is absent.

    :param headers: By lower-case name, latin-1 decoded values.
    :raises InvalidArgument: It cannot be decoded, or has a key twice.
    :raises InvalidTag: A tag breaks a rule, or there are over 10.
    """
    raw = headers.get(HEADER, "").strip().encode("latin-1")
    try:
        pairs = target.decode_query(raw)
    except InvalidURI as why:
        raise parameters.bad_argument(
            HEADER, f"The header '{HEADER}' cannot be decoded: {why.message}"
        ) from why
    if len(dict(pairs)) < len(pairs):
        raise parameters.bad_argument(
            HEADER, f"The header '{HEADER}' has a tag's key more than once."
        )
    return _checked(pairs, MAX_OBJECT_TAGS)


def replaces(headers: Mapping[str, str]) -> bool:
    """
    Read ``x-amz-tagging-directive``: whether a copy gets tags of its own.

    :raises InvalidArgument: It is neither COPY nor REPLACE.
    """
    return parameters.directive(headers, DIRECTIVE)


def parse(document: bytes, most: int) -> dict[str, str]:
    """
    Read a ``Tagging`` document.

    :param most: Tags that there may be.
    :raises MalformedXML: It is no such document.
    :raises InvalidTag: A tag breaks a rule, a key is there twice, or there are too
        many.
    """
    root = safe_xml.parse(
        document, "Tagging", max_bytes=MAX_BYTES, max_elements=_MAX_ELEMENTS
    )
    root.only("TagSet")
    tag_set = root.one("TagSet")
    if tag_set is None:
        raise MalformedXML()
    tag_set.only("Tag")
    pairs = []
    for tag in tag_set.children:
        tag.only("Key", "Value")
        key, value = tag.value("Key"), tag.value("Value")
        if key is None or value is None:
            raise MalformedXML()
        pairs.append((key, value))
    return _checked(pairs, most)


def _checked(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise InvalidTag(
                "Cannot provide multiple Tags with the same key.",
                fields={"TagKey": key},
            )
        if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not _is_plain(key):
            raise InvalidTag(
                "The TagKey you have provided is invalid: want 1 to "
                f"{MAX_KEY_CHARACTERS} letters, digits, blanks and + - = . _ : / @.",
                fields={"TagKey": key},
            )
        if key.startswith("aws:"):
            raise InvalidTag(
                "System tags (aws:) cannot be added or changed by requests.",
                fields={"TagKey": key},
            )
        if len(value) > MAX_VALUE_CHARACTERS or not _is_plain(value):
            raise InvalidTag(
                "The TagValue you have provided is invalid: want at most "
                f"{MAX_VALUE_CHARACTERS} letters, digits, blanks and + - = . _ : / @.",
                fields={"TagKey": key, "TagValue": value},
            )
        tags[key] = value
    if len(tags) > most:
        raise InvalidTag(f"There cannot be more than {most} tags.")
    return tags


def _is_plain(text: str) -> bool:
    return all(
        each in _PUNCTUATION or unicodedata.category(each)[0] in "LNZ" for each in text
    )
