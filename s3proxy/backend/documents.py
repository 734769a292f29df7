"""The XML that backends answer with. Text of strangers: parsed with defusedxml."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError

from attrs import frozen
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from s3proxy.manager.ports import BackendKey


@frozen
class Page:
    """
    One page of a backend's listing.

    :ivar next_token: None on the last page.
    """

    keys: list[BackendKey]
    next_token: str | None


def bare_etag(header: str | None) -> str | None:
    """An ETag without its quotes and without the mark of a weak one."""
    if header is None:
        return None
    return header.strip().removeprefix("W/").strip('"') or None


def parse_error(body: bytes) -> tuple[str, str] | None:
    """Code and message of an ``<Error>`` document; None when *body* is no such."""
    if not body:  # as after every PUT and DELETE: no parser is made for that
        return None
    try:
        root = _parse(body)
    except ValueError:
        return None
    if _local(root) != "Error":
        return None
    return _text(root, "Code") or "", _text(root, "Message") or ""


def parse_copied(body: bytes) -> str | None:
    """
    A CopyObject answer: the copy's ETag, or None where it names none.

    :raises ValueError: It is not such an answer.
    """
    root = _parse(body)
    if _local(root) != "CopyObjectResult":
        raise ValueError(f"want a CopyObjectResult, got {_local(root)}")
    return bare_etag(_text(root, "ETag"))


def parse_page(body: bytes) -> Page:
    """
    A ListObjectsV2 answer.

    Keys are decoded where the answer says that they are encoded: some backends pass
    over ``encoding-type``. ``+`` is a space then, as S3, MinIO and SeaweedFS encode.

    :raises ValueError: It is not such an answer, or has more but no token.
    """
    root = _parse(body)
    if _local(root) != "ListBucketResult":
        raise ValueError(f"want a ListBucketResult, got {_local(root)}")
    encoded = _text(root, "EncodingType") == "url"
    keys = []
    for entry in _children(root, "Contents"):
        key = _text(entry, "Key")
        if not key:
            raise ValueError("an entry without a key")
        keys.append(
            BackendKey(
                key=unquote_plus(key) if encoded else key,
                size_bytes=int(_text(entry, "Size") or ""),
                etag=bare_etag(_text(entry, "ETag")),
            )
        )
    if (_text(root, "IsTruncated") or "").strip().lower() != "true":
        return Page(keys, None)
    token = _text(root, "NextContinuationToken")
    if not token:
        raise ValueError("a truncated page without a token")
    return Page(keys, token)


def parse_versioning(body: bytes) -> bool:
    """
    Whether a GetBucketVersioning answer says Enabled.

    :raises ValueError: It is not such an answer.
    """
    return _text(_parse(body), "Status") == "Enabled"


def _parse(body: bytes) -> Element:
    try:
        # Blanks may come first, from a backend that keeps a long call alive with them.
        root: Element = fromstring(body.lstrip())
    except (ParseError, DefusedXmlException, ValueError, LookupError) as why:
        raise ValueError(f"not the XML that was wanted: {why!r}") from why
    return root


def _local(element: Element) -> str:
    """The name without its namespace: some backends have none, or another."""
    return element.tag.rpartition("}")[2]


def _children(parent: Element, name: str) -> Iterator[Element]:
    return (child for child in parent if _local(child) == name)


def _text(parent: Element, name: str) -> str | None:
    for child in _children(parent, name):
        return child.text or ""
    return None
