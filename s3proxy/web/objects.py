"""PutObject, GetObject, HeadObject and DeleteObject."""

from __future__ import annotations

from attrs import frozen

from s3proxy.errors import EntityTooLarge, InvalidRequest
from s3proxy.manager.ports import Body
from s3proxy.model import ObjectInfo
from s3proxy.s3.conditions import check_read, range_applies
from s3proxy.s3.dates import http_date
from s3proxy.s3.operation import DeleteObject, GetObject, HeadObject, PutObject
from s3proxy.s3.ranges import resolve
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Identity
from s3proxy.web.ports import ObjectsPort

DEFAULT_CONTENT_TYPE = "binary/octet-stream"

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
        if op.content_length > self._max_object_size:
            raise EntityTooLarge(
                fields={
                    "ProposedSize": str(op.content_length),
                    "MaxSizeAllowed": str(self._max_object_size),
                }
            )
        info = await self._objects.put(op, body, sha256=identity.sha256)
        headers = {"ETag": f'"{info.etag}"', **_checksums(info)}
        return Answer(200, tuple(headers.items()), length=0)

    async def get(self, op: GetObject, body: Body, identity: Identity) -> Answer:
        """``GET``: 200, 206 or 304. A backend is called for bytes only."""
        _check_overrides(op, identity)
        stored = await self._objects.find(op.bucket, op.key)
        answer, start = _read(op, stored.info)
        if not answer.length:
            return answer
        stream = await self._objects.open(stored, start, start + answer.length)
        return Answer(
            answer.status, answer.headers, length=answer.length, stream=stream
        )

    async def head(self, op: HeadObject, body: Body, identity: Identity) -> Answer:
        """``HEAD``: what GET would answer, without its body."""
        _check_overrides(op, identity)
        answer, _ = _read(op, await self._objects.head(op.bucket, op.key))
        return answer

    async def delete(self, op: DeleteObject, body: Body, identity: Identity) -> Answer:
        """``DELETE``: 204, whether there was an object or not."""
        await self._objects.delete(op.bucket, op.key)
        return Answer(204)


def _read(op: GetObject | HeadObject, info: ObjectInfo) -> tuple[Answer, int]:
    """
    The answer to a read, without its bytes, and the first of them.

    :raises InvalidRange: With its Content-Range.
    :raises PreconditionFailed: 412.
    """
    headers = _object_headers(info)
    if not check_read(op.conditions, info.etag, info.last_modified):
        kept = {name: headers[name] for name in headers if name.lower() in _WITH_304}
        return Answer(304, tuple(kept.items())), 0
    wanted = None
    if range_applies(op.conditions, info.etag, info.last_modified):
        wanted = resolve(op.range_header, info.size_bytes)
    for name, value in op.overrides.items():
        headers[_title(name)] = value
    if wanted is not None:
        start, end = wanted
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size_bytes}"
        return Answer(206, tuple(headers.items()), length=end - start), start
    if op.checksum_mode:
        # Of the whole object: beside a range, clients would check the piece with it.
        headers.update(_checksums(info))
    return Answer(200, tuple(headers.items()), length=info.size_bytes), 0


def _object_headers(info: ObjectInfo) -> dict[str, str]:
    headers = {
        "Last-Modified": http_date(info.last_modified),
        "ETag": f'"{info.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": info.content_type or DEFAULT_CONTENT_TYPE,
    }
    for name, value in info.headers.items():
        headers[_title(name)] = value
    for name, value in info.user_metadata.items():
        headers[f"x-amz-meta-{name}"] = value
    return headers


def _checksums(info: ObjectInfo) -> dict[str, str]:
    headers = {
        f"x-amz-checksum-{algorithm}": value
        for algorithm, value in info.checksums.items()
    }
    if headers:
        headers["x-amz-checksum-type"] = "FULL_OBJECT"
    return headers


def _check_overrides(op: GetObject | HeadObject, identity: Identity) -> None:
    """Overrides are the key holder's to give: anybody's would be script injection."""
    if op.overrides and not identity.signed:
        raise InvalidRequest(
            "Request specific response headers cannot be used for anonymous requests."
        )


def _title(name: str) -> str:
    """``content-type`` as ``Content-Type``."""
    return name.title()
