"""
The checksum of a completed object, from those of its parts.

COMPOSITE is the checksum of the parts' checksums, followed by ``-N``; FULL_OBJECT is
that of all the bytes, which CRCs can be combined into without reading them again. (S3
User Guide, "Checking object integrity".)
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence

from awscrt import checksums as crt

from s3proxy.errors import BadDigest, InvalidPart, InvalidRequest
from s3proxy.model import CompletedPart, PartInfo
from s3proxy.s3.checksums import COMPOSITE, FULL_OBJECT, digest
from s3proxy.s3.uploads import CompleteMultipartUpload

_COMBINE: Mapping[str, Callable[[int, int, int], int]] = {
    "crc32": crt.combine_crc32,
    "crc32c": crt.combine_crc32c,
    "crc64nvme": crt.combine_crc64nvme,
}


def check_completion(
    op: CompleteMultipartUpload,
    wanted: Sequence[CompletedPart],
    stored: Mapping[int, PartInfo],
    algorithm: str | None,
    kind: str | None,
) -> dict[str, str]:
    """
    Compare what the client says of the object with its parts.

    Parts that are not there are passed over: the ledger names them.

    :param algorithm: What CreateMultipartUpload announced (``CRC32`` …), or None.
    :param kind: ``COMPOSITE`` or ``FULL_OBJECT``.
    :returns: The object's checksum: algorithm to value; empty without one.
    :raises InvalidPart: A part has another checksum than the list says.
    :raises InvalidRequest: The object has another size than the client says.
    :raises BadDigest: It has another checksum.
    """
    parts = [stored[each.part_number] for each in wanted if each.part_number in stored]
    for each in wanted:
        found = stored.get(each.part_number)
        for name, promised in each.checksums.items():
            if found is not None and found.checksums.get(name, promised) != promised:
                raise InvalidPart(fields={"PartNumber": str(each.part_number)})
    size = sum(part.size_bytes for part in parts)
    if op.object_size is not None and op.object_size != size:
        raise InvalidRequest(
            f"The provided 'x-amz-mp-object-size' header value {op.object_size} does "
            f"not match what was computed: {size}"
        )
    if algorithm is None:
        return {}
    value = whole_checksum(algorithm.lower(), kind or COMPOSITE, parts)
    if value is None:
        return {}
    told = op.checksums.get(algorithm.lower())
    if told is not None and told.partition("-")[0] != value.partition("-")[0]:
        raise BadDigest(
            f"The {algorithm} you specified did not match the calculated checksum."
        )
    return {algorithm.lower(): value}


def whole_checksum(algorithm: str, kind: str, parts: Sequence[PartInfo]) -> str | None:
    """
    :param parts: In order; one without this checksum leaves the object without, too.
    """
    raw = [
        base64.b64decode(part.checksums[algorithm])
        for part in parts
        if algorithm in part.checksums
    ]
    if not raw or len(raw) != len(parts):
        return None
    if kind == FULL_OBJECT:
        combine = _COMBINE.get(algorithm)
        if combine is None:
            return None
        total = int.from_bytes(raw[0], "big")
        for value, part in zip(raw[1:], parts[1:], strict=True):
            total = combine(total, int.from_bytes(value, "big"), part.size_bytes)
        return base64.b64encode(total.to_bytes(len(raw[0]), "big")).decode()
    whole = base64.b64encode(digest(algorithm, b"".join(raw))).decode()
    return f"{whole}-{len(parts)}"
