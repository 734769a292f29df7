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
    metadata go along, all or none, where they fit and are plain ASCII.
    """
    headers = {
        INSTALLATION: installation_id,
        BUCKET: bucket,
        PART_ID: copy.part_id,
        PART_NUMBER: str(part_number),
    }
    if upload_id is not None:
        headers[UPLOAD_ID] = upload_id
    if copy.backend_key.startswith("~/"):
        headers[KEY] = urlsafe_b64encode(key.encode()).decode().rstrip("=")
    theirs = {f"x-amz-meta-{name}": value for name, value in user_metadata.items()}
    plain = all(
        value.isascii() and value.isprintable() and not name.startswith("s3proxy-")
        for name, value in user_metadata.items()
    )
    if plain and _size(headers) + _size(theirs) <= METADATA_LIMIT_BYTES:
        headers = {**theirs, **headers}
    if content_type and content_type.isascii() and content_type.isprintable():
        headers["content-type"] = content_type
    return headers


def _size(headers: Mapping[str, str]) -> int:
    prefix = len("x-amz-meta-")
    return sum(len(name) - prefix + len(value) for name, value in headers.items())
