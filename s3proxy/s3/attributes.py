"""GetObjectAttributes, as a value, and how it is read."""

from __future__ import annotations

from attrs import frozen

from s3proxy.s3 import parameters
from s3proxy.s3.request import Request

NAMES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})

_HEADER = "x-amz-object-attributes"
_MAX_PARTS, _MARKER = "x-amz-max-parts", "x-amz-part-number-marker"


@frozen
class GetObjectAttributes:
    """
    ``GET /{bucket}/{key}?attributes``

    :ivar wanted: Of :data:`NAMES`.
    :ivar part_number_marker: The page of parts begins after this number.
    :ivar version_id: ``null`` where it was named.
    """

    bucket: str
    key: str
    wanted: frozenset[str]
    max_parts: int = parameters.MAX_KEYS
    part_number_marker: int = 0
    version_id: str | None = None


def get_object_attributes(request: Request) -> GetObjectAttributes:
    """
    Read GetObjectAttributes.

    :raises InvalidArgument: It wants nothing, or what objects do not have; a limit or
        marker is no number. Or NoSuchVersion.
    """
    headers = request.headers
    wanted = {each.strip() for each in headers.get(_HEADER, "").split(",")} - {""}
    if not wanted:
        raise parameters.bad_argument(
            _HEADER, f"The header '{_HEADER}' must name at least one attribute."
        )
    if not wanted <= NAMES:
        known = ", ".join(sorted(NAMES))
        raise parameters.bad_argument(
            _HEADER, f"Invalid attribute name specified: want some of {known}."
        )
    return GetObjectAttributes(
        request.bucket,
        request.key,
        frozenset(wanted),
        max_parts=parameters.limit(headers, _MAX_PARTS),
        part_number_marker=parameters.part_number_marker(headers, _MARKER),
        version_id=parameters.version_id(request.query),
    )
