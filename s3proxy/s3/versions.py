"""ListObjectVersions: every object has one version, whose id is ``null``."""

from __future__ import annotations

from attrs import frozen

from s3proxy.s3 import parameters
from s3proxy.s3.parameters import MAX_KEYS
from s3proxy.s3.request import Request


@frozen
class ListObjectVersions:
    """
    ``GET /{bucket}?versions``; a page has at most 1000 entries.

    :ivar version_id_marker: Beside a *key_marker* only, whose one version is passed.
    """

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    max_keys: int = MAX_KEYS
    key_marker: str = ""
    version_id_marker: str = ""
    encoding_type: str | None = None


def list_versions(request: Request) -> ListObjectVersions:
    """
    Read ListObjectVersions.

    :raises InvalidArgument: A parameter has a bad value, or a version is the marker and
        no key is.
    """
    query = request.query
    marker = query.get("version-id-marker", "")
    if marker and not query.get("key-marker"):
        raise parameters.bad_argument(
            "version-id-marker",
            "A version-id marker cannot be specified without a key marker.",
        )
    return ListObjectVersions(
        request.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        max_keys=parameters.limit(query, "max-keys"),
        key_marker=query.get("key-marker", ""),
        version_id_marker=marker,
        encoding_type=parameters.encoding_type(query.get("encoding-type")),
    )
