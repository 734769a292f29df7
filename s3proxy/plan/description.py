"""
How a backend object describes itself, so that a lost ledger can be rebuilt.

Providers give 2 KB for user metadata; what does not fit is left to the manifest copy.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

from attrs import field, frozen

from s3proxy.model import Copy
from s3proxy.plan.naming import parse_name

#: Bytes of user metadata that every provider takes (names and values).
METADATA_LIMIT_BYTES = 2048

_META = "x-amz-meta-"

INSTALLATION = "x-amz-meta-s3proxy-installation"
BUCKET = "x-amz-meta-s3proxy-bucket"
KEY = "x-amz-meta-s3proxy-key"
PART_ID = "x-amz-meta-s3proxy-part-id"
PART_NUMBER = "x-amz-meta-s3proxy-part-number"
UPLOAD_ID = "x-amz-meta-s3proxy-upload-id"
OBJECT_ID = "x-amz-meta-s3proxy-object-id"
KIND = "x-amz-meta-s3proxy-kind"
#: Before the algorithm's name.
CHECKSUM = "x-amz-meta-s3proxy-checksum-"

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
    checksums: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    Headers to store with a copy.

    The key goes along only where the backend key does not show it. The client's own
    metadata go along, all or none, where they fit and are plain ASCII. With an object's
    only part a type goes along always, if only S3's own for none: backends guess one.

    :param checksums: Those that are known before the body; one in a trailer is not, and
        a rebuild does without.
    """
    headers = {
        **_whose(copy, installation_id, bucket, key),
        PART_ID: copy.part_id,
        PART_NUMBER: str(part_number),
    }
    if upload_id is not None:
        headers[UPLOAD_ID] = upload_id
    for algorithm, checksum in (checksums or {}).items():
        headers[f"{CHECKSUM}{algorithm}"] = checksum
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
    tags: Mapping[str, str],
) -> bool:
    """
    Whether a plain object's only copy tells all that the client said of it.

    :param sent: What :func:`describe` gave.
    :param headers: The standard headers kept with the object; none of them is sent, and
        no tag is.
    """
    return (
        not headers
        and not tags
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


@frozen
class Described:
    """
    What a backend object of ours tells of itself: what the functions above sent.

    :ivar user_metadata: The client's own.
    :ivar checksums: Algorithm to base64 value, as verified.
    :ivar upload_id: Of a part of an upload; None of an object's only part.
    :ivar is_manifest: It is a manifest copy, of no part.
    """

    installation_id: str
    bucket: str
    key: str
    copy_id: str
    part_id: str
    part_number: int
    upload_id: str | None
    is_manifest: bool
    user_metadata: Mapping[str, str]
    checksums: Mapping[str, str] = field(factory=dict)


def read_description(backend_key: str, metadata: Mapping[str, str]) -> Described | None:
    """
    Read what a backend object tells of itself.

    :param metadata: By lower-case name without ``x-amz-meta-``.
    :returns: None where it is none of ours, or tells too little.
    """
    name = parse_name(backend_key)
    told = {f"{_META}{name}": value for name, value in metadata.items()}
    installation_id, bucket = told.get(INSTALLATION), told.get(BUCKET)
    if name is None or not installation_id or not bucket:
        return None
    shown, copy_id = name
    try:
        key = shown if shown is not None else _decoded(told[KEY])
        is_manifest = told.get(KIND) == MANIFEST
        part_id = "" if is_manifest else told[PART_ID]
        part_number = 0 if is_manifest else int(told[PART_NUMBER])
    except (KeyError, ValueError):
        return None
    if not key:
        return None
    return Described(
        installation_id,
        bucket,
        key,
        copy_id,
        part_id,
        part_number,
        told.get(UPLOAD_ID),
        is_manifest,
        {
            name: value
            for name, value in metadata.items()
            if not name.startswith("s3proxy-")
        },
        {
            name.removeprefix(CHECKSUM): value
            for name, value in told.items()
            if name.startswith(CHECKSUM)
        },
    )


def _decoded(key: str) -> str:
    return urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode()


def _whose(copy: Copy, installation_id: str, bucket: str, key: str) -> dict[str, str]:
    headers = {INSTALLATION: installation_id, BUCKET: bucket}
    if copy.backend_key.startswith("~/"):
        headers[KEY] = urlsafe_b64encode(key.encode()).decode().rstrip("=")
    return headers


def _size(headers: Mapping[str, str]) -> int:
    prefix = len("x-amz-meta-")
    return sum(len(name) - prefix + len(value) for name, value in headers.items())
