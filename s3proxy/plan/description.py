"""
How a backend object describes itself, so that a lost ledger can be rebuilt.

Providers give 2 KB for user metadata; what does not fit is left to the manifest copy.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping

from s3proxy.model import Copy

#: Bytes of user metadata that every provider takes (names and values).
METADATA_LIMIT_BYTES = 2048

INSTALLATION = "x-amz-meta-s3proxy-installation"
BUCKET = "x-amz-meta-s3proxy-bucket"
KEY = "x-amz-meta-s3proxy-key"
PART_ID = "x-amz-meta-s3proxy-part-id"
PART_NUMBER = "x-amz-meta-s3proxy-part-number"
UPLOAD_ID = "x-amz-meta-s3proxy-upload-id"
OBJECT_ID = "x-amz-meta-s3proxy-object-id"
KIND = "x-amz-meta-s3proxy-kind"

#: What S3 says of an object that was stored without a type.
NO_TYPE = "binary/octet-stream"

#: The kind of a manifest copy; other backend objects name none.
MANIFEST = "manifest"


def describe(
    copy: Copy,
    *,
    installation_id: str,
    bucket: str,
    key: str,
    part_number: int,
    content_type: str | None,
    user_metadata: Mapping[str, str],
    upload_id: str | None = None,
) -> dict[str, str]:
    """
    Headers to store with a copy.

    The key goes along only where the backend key does not show it. The client's own
    metadata go along, all or none, where they fit and are plain ASCII. With an object's
    only part a type goes along always, if only S3's own for none: backends guess one.
    """
    headers = {
        **_whose(copy, installation_id, bucket, key),
        PART_ID: copy.part_id,
        PART_NUMBER: str(part_number),
    }
    if upload_id is not None:
        headers[UPLOAD_ID] = upload_id
    theirs = {f"x-amz-meta-{name}": value for name, value in user_metadata.items()}
    plain = all(
        value.isascii() and value.isprintable() and not name.startswith("s3proxy-")
        for name, value in user_metadata.items()
    )
    if plain and _size(headers) + _size(theirs) <= METADATA_LIMIT_BYTES:
        headers = {**theirs, **headers}
    if not content_type and upload_id is None:
        headers["content-type"] = NO_TYPE
    elif content_type and content_type.isascii() and content_type.isprintable():
        headers["content-type"] = content_type
    return headers


def describes_fully(
    sent: Mapping[str, str],
    content_type: str | None,
    headers: Mapping[str, str],
    user_metadata: Mapping[str, str],
) -> bool:
    """
    Whether a plain object's only copy tells all that the client said of it.

    :param sent: What :func:`describe` gave.
    :param headers: The standard headers kept with the object; none of them is sent.
    """
    return (
        not headers
        and sent.get("content-type") == (content_type or NO_TYPE)
        and all(
            not name.startswith("s3proxy-") and sent.get(f"x-amz-meta-{name}") == value
            for name, value in user_metadata.items()
        )
    )


def describe_manifest(
    copy: Copy, *, installation_id: str, bucket: str, key: str, object_id: str
) -> dict[str, str]:
    """Headers to store with a manifest copy."""
    return {
        **_whose(copy, installation_id, bucket, key),
        KIND: MANIFEST,
        OBJECT_ID: object_id,
        "content-type": "application/json",
    }


def _whose(copy: Copy, installation_id: str, bucket: str, key: str) -> dict[str, str]:
    headers = {INSTALLATION: installation_id, BUCKET: bucket}
    if copy.backend_key.startswith("~/"):
        headers[KEY] = urlsafe_b64encode(key.encode()).decode().rstrip("=")
    return headers


def _size(headers: Mapping[str, str]) -> int:
    prefix = len("x-amz-meta-")
    return sum(len(name) - prefix + len(value) for name, value in headers.items())
