"""What rows say, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from s3proxy.model import Copy, ObjectInfo, Part, StoredObject
from s3proxy.store.connection import Row


def read_info(bucket: str, row: Sequence[Any]) -> ObjectInfo:
    """
    An object.

    :param row: As statements select it: key to last-modified, and, unless it is an
        entry of a listing, headers to tags.
    """
    key, object_id, size_bytes, etag, content_type, last_modified, *rest = row
    headers, user_metadata, checksums, tags = rest if rest else ({}, {}, {}, {})
    return ObjectInfo(
        bucket=bucket,
        key=key,
        object_id=object_id,
        size_bytes=size_bytes,
        etag=etag,
        content_type=content_type,
        last_modified=last_modified,
        headers=headers,
        user_metadata=user_metadata,
        checksums=checksums,
        tags=tags,
    )


def read_stored(bucket: str, rows: Sequence[Row]) -> StoredObject:
    """An object with its first part, from rows of that one's copies."""
    return StoredObject(
        read_info(bucket, rows[0][:10]),
        read_parts([row[11:] for row in rows]),
        rows[0][10],
    )


def read_parts(rows: Sequence[Row]) -> tuple[Part, ...]:
    """A manifest from rows of parts, each with one of its copies."""
    found: dict[str, tuple[Row, list[Copy]]] = {}
    for row in rows:
        part_id, _number, _offset, size_bytes = row[:4]
        copy_id, backend_name, backend_key, backend_etag, version_id, is_bad = row[5:11]
        _, copies = found.setdefault(part_id, (row, []))
        if copy_id is not None:
            copies.append(
                Copy(
                    copy_id,
                    part_id,
                    backend_name,
                    backend_key,
                    size_bytes,
                    backend_etag,
                    version_id,
                    is_bad,
                )
            )
    return tuple(
        Part(row[0], row[1], row[2], row[3], row[4], tuple(copies))
        for row, copies in found.values()
    )
