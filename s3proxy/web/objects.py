"""PutObject, GetObject and HeadObject."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import EntityTooLarge, InvalidPartNumber, InvalidRequest
from s3proxy.manager.ports import Body
from s3proxy.model import ObjectInfo, PartRange, StoredObject
from s3proxy.s3.conditions import check_read, range_applies
from s3proxy.s3.operation import GetObject, HeadObject, PutObject
from s3proxy.s3.ranges import resolve
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.chunked_body import unframed
from s3proxy.web.headers import (
    checksum_headers,
    object_checksum_headers,
    object_headers,
    title,
    version_headers,
)
from s3proxy.web.ports import ObjectsPort

# RFC 9110 §15.4.5: what a cache needs to go on with what it has.
_WITH_304 = frozenset({"etag", "last-modified", "cache-control", "expires"})


@frozen
class ObjectHandlers:
    """
    Operations on one object, as answers.

    :ivar max_object_size: In bytes.
    """

    _objects: ObjectsPort
    _max_object_size: int

    async def put(self, op: PutObject, body: Body, identity: Identity) -> Answer:
        """
        ``PUT``: 200 with the ETag.

        :raises EntityTooLarge: Before a byte of the body is read.
        """
        refuse_too_large(op.content_length, self._max_object_size)
        body = unframed(op, body, identity)
        info = await self._objects.put(op, body, sha256=identity.sha256)
        headers = {"ETag": f'"{info.etag}"', **object_checksum_headers(info.checksums)}
        return Answer(200, tuple(headers.items()), length=0)

    async def get(self, op: GetObject, body: Body, identity: Identity) -> Answer:
        """``GET``: 200, 206 or 304. A backend is called for bytes only."""
        _check_overrides(op, identity)
        if op.part_number is None:
            stored = await self._objects.find(op.bucket, op.key)
            answer, start = _read(op, stored.info)
        else:
            part = await self._part(op, op.part_number)
            stored = StoredObject(part.info, (), part.parts_count)
            answer, start = _read(op, part.info, part)
        if not answer.length:
            return answer
        stream = await self._objects.open(stored, start, start + answer.length)
        return Answer(
            answer.status, answer.headers, length=answer.length, stream=stream
        )

    async def head(self, op: HeadObject, body: Body, identity: Identity) -> Answer:
        """``HEAD``: what GET would answer, without its body."""
        _check_overrides(op, identity)
        if op.part_number is None:
            answer, _ = _read(op, await self._objects.head(op.bucket, op.key))
        else:
            part = await self._part(op, op.part_number)
            answer, _ = _read(op, part.info, part)
        return answer

    async def _part(self, op: GetObject | HeadObject, part_number: int) -> PartRange:
        return await self._objects.part_range(op.bucket, op.key, part_number)


def refuse_too_large(content_length: int, limit: int) -> None:
    """
    Hold a body to ``server.max_object_size``.

    :param content_length: In bytes, as *limit*.
    :raises EntityTooLarge: 400.
    """
    if content_length > limit:
        raise EntityTooLarge(
            fields={"ProposedSize": str(content_length), "MaxSizeAllowed": str(limit)}
        )


def _read(
    op: GetObject | HeadObject, info: ObjectInfo, part: PartRange | None = None
) -> tuple[Answer, int]:
    """
    The answer to a read, without its bytes, and the first of them.

    :param part: Of the part that is asked for, if one is.
    :raises InvalidPartNumber: There is no such part.
    :raises InvalidRange: With its Content-Range.
    :raises PreconditionFailed: 412.
    """
    headers = object_headers(info) | version_headers(op.version_id)
    if not check_read(op.conditions, info.etag, info.last_modified):
        kept = {name: headers[name] for name in headers if name.lower() in _WITH_304}
        return Answer(304, tuple(kept.items())), 0
    for name, value in op.overrides.items():
        headers[title(name)] = value
    wanted = None
    if part is not None:
        wanted = _part_bytes(op, part)
        if part.parts_count > 1 or "-" in info.etag:
            headers["x-amz-mp-parts-count"] = str(part.parts_count)
            if op.checksum_mode and part.checksums:
                # The bytes that come are the part's; the kind is the object's.
                headers.update(object_checksum_headers(info.checksums))
                headers.update(checksum_headers(part.checksums))
    elif range_applies(op.conditions, info.etag, info.last_modified):
        wanted = resolve(op.range_header, info.size_bytes)
    if wanted is not None:
        start, end = wanted
        if start < end:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size_bytes}"
        return Answer(206, tuple(headers.items()), length=end - start), start
    if op.checksum_mode:
        # Of the whole object: beside a range, clients would check the piece with it.
        headers.update(object_checksum_headers(info.checksums))
    return Answer(200, tuple(headers.items()), length=info.size_bytes), 0


def _part_bytes(op: GetObject | HeadObject, part: PartRange) -> tuple[int, int] | None:
    """First byte of a part and the one after its last; None for an empty object."""
    if part.found is None:
        raise InvalidPartNumber(
            fields={
                "PartNumberRequested": str(op.part_number),
                "ActualPartCount": str(part.parts_count),
            }
        )
    return part.found if part.info.size_bytes else None


def _check_overrides(op: GetObject | HeadObject, identity: Identity) -> None:
    """Overrides are the key holder's to give: anybody's would be script injection."""
    if op.overrides and not identity.signed:
        raise InvalidRequest(
            "Request specific response headers cannot be used for anonymous requests."
        )
