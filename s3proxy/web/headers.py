"""What answers say of an object beside its bytes."""

from __future__ import annotations

from collections.abc import Mapping

from s3proxy.model import ObjectInfo
from s3proxy.s3.checksums import type_of
from s3proxy.s3.dates import http_date

DEFAULT_CONTENT_TYPE = "binary/octet-stream"


def object_headers(info: ObjectInfo) -> dict[str, str]:
    """The headers of a GET and a HEAD, but for those of the length."""
    headers = {
        "Last-Modified": http_date(info.last_modified),
        "ETag": f'"{info.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": info.content_type or DEFAULT_CONTENT_TYPE,
    }
    for name, value in info.headers.items():
        headers[title(name)] = value
    for name, value in info.user_metadata.items():
        headers[f"x-amz-meta-{name}"] = value
    if info.tags:
        headers["x-amz-tagging-count"] = str(len(info.tags))
    return headers


def checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    """``x-amz-checksum-…``: the values of an object or a part."""
    return {f"x-amz-checksum-{name}": value for name, value in checksums.items()}


def object_checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    """Likewise, with their type, which only objects have."""
    headers = checksum_headers(checksums)
    for value in checksums.values():
        headers["x-amz-checksum-type"] = type_of(value)
    return headers


def version_headers(version_id: str | None) -> dict[str, str]:
    """The version that was asked for by its id; without versioning it is told so."""
    return {} if version_id is None else {"x-amz-version-id": version_id}


def title(name: str) -> str:
    """``content-type`` as ``Content-Type``."""
    return name.title()
