"""An ``Objects`` in memory, whose steps a test can hold up, fail and look at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from s3proxy.errors import ClientGone, NoSuchKey, ServiceUnavailable
from s3proxy.manager.ports import Body
from s3proxy.model import ListPage, ObjectInfo, StoredObject
from s3proxy.s3.checksums import Digests
from s3proxy.s3.operation import PutObject

MODIFIED = datetime(2026, 11, 20, 10, 30, 15, 250_000, tzinfo=UTC)


@define(eq=False)
class FakeReader:
    """
    Gives *size* bytes of *fill* (or *data*) in pieces.

    :ivar fail_at: Raise *error* once this many bytes have gone.
    :ivar hold_at: Stand still there until *held* is fired.
    """

    size: int
    piece: bytes = b"x" * 65536
    data: bytes | None = None
    fail_at: int | None = None
    error: Exception | None = None
    hold_at: int | None = None
    sent: int = 0
    aborted: int = 0
    held: Deferred[None] = field(factory=Deferred)
    _reading: bool = False

    async def read(self) -> bytes:
        if self.fail_at is not None and self.sent >= self.fail_at:
            assert self.error is not None
            raise self.error
        if self.hold_at is not None and self.sent >= self.hold_at:
            self._reading = True
            try:
                await self.held
            finally:
                self._reading = False
        if self.data is not None:
            piece = self.data[self.sent : self.sent + len(self.piece)]
        else:
            piece = self.piece[: self.size - self.sent]
        self.sent += len(piece)
        return piece

    def abort(self) -> None:
        assert not self._reading
        self.aborted += 1


@define(eq=False)
class FakeObjects:
    """
    :ivar events: What happened, in order.
    :ivar before_put: Awaited before a body is read.
    :ivar before_open: Awaited before a reader is given out.
    :ivar before_read: Awaited before each read of a body.
    :ivar make_reader: What ``open`` returns, for a range's bytes.
    :ivar failure: Raised by every method.
    :ivar put_fails_at: ``put`` raises ServiceUnavailable after this many bytes.
    """

    objects: dict[tuple[str, str], tuple[ObjectInfo, bytes]] = field(factory=dict)
    events: list[str] = field(factory=list)
    before_put: Callable[[], Deferred[None]] | None = None
    before_open: Callable[[], Deferred[None]] | None = None
    before_read: Callable[[], Deferred[None]] | None = None
    make_reader: Callable[[bytes], FakeReader] | None = None
    failure: BaseException | None = None
    put_fails_at: float = math.inf
    discard: bool = False
    received_bytes: int = 0
    last_sha256: str | None = None
    last_reader: FakeReader | None = None
    last_put: PutObject | None = None

    def store(self, bucket: str, key: str, data: bytes, **more: object) -> ObjectInfo:
        info = ObjectInfo(
            bucket=bucket,
            key=key,
            object_id=f"id-{len(self.objects)}",
            size_bytes=len(data),
            etag=hashlib.md5(data).hexdigest(),
            content_type=None,
            last_modified=MODIFIED,
        )
        info = evolve(info, **more)
        self.objects[bucket, key] = info, data
        return info

    def data(self, key: str, bucket: str = "unified") -> bytes:
        return self.objects[bucket, key][1]

    async def put(self, op: PutObject, body: Body, *, sha256: str | None) -> ObjectInfo:
        self._call(f"put {op.key}")
        self.last_put, self.last_sha256 = op, sha256
        if self.before_put is not None:
            await self.before_put()
        digests = Digests(op.content_md5, sha256, op.checksums)
        pieces = []
        try:
            while True:
                if self.before_read is not None:
                    await self.before_read()
                data = await body.read()
                if not data:
                    break
                self.received_bytes += len(data)
                if self.received_bytes >= self.put_fails_at:
                    raise ServiceUnavailable
                digests.update(data)
                if not self.discard:
                    pieces.append(data)
        except ClientGone:
            self.events.append("gone")
            raise
        digests.verify()
        self.events.append(f"stored {op.key}")
        return self.store(
            op.bucket,
            op.key,
            b"".join(pieces),
            etag=digests.md5_hex,
            content_type=op.content_type,
            headers=op.headers,
            user_metadata=op.user_metadata,
            checksums=op.checksums,
        )

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        self._call(f"head {key}")
        return self._get(bucket, key)[0]

    async def find(self, bucket: str, key: str) -> StoredObject:
        self._call(f"find {key}")
        return StoredObject(self._get(bucket, key)[0], ())

    async def open(self, stored: StoredObject, start: int, end: int) -> FakeReader:
        info = stored.info
        self._call(f"open {info.key} {start}-{end}")
        if self.before_open is not None:
            await self.before_open()
        data = self._get(info.bucket, info.key)[1][start:end]
        if self.make_reader is not None:
            self.last_reader = self.make_reader(data)
        else:
            self.last_reader = FakeReader(len(data), data=data)
        return self.last_reader

    async def delete(self, bucket: str, key: str) -> None:
        self._call(f"delete {key}")
        self.objects.pop((bucket, key), None)

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        self._call(f"list {prefix!r} {delimiter!r} {after!r} {limit}")
        infos = [
            info
            for (_, key), (info, _) in sorted(self.objects.items())
            if key.startswith(prefix) and key > after
        ]
        page = tuple(infos[:limit])
        more = page[-1].key if len(infos) > limit else None
        return ListPage(page, (), more)

    def _call(self, event: str) -> None:
        self.events.append(event)
        if self.failure is not None:
            raise self.failure

    def _get(self, bucket: str, key: str) -> tuple[ObjectInfo, bytes]:
        try:
            return self.objects[bucket, key]
        except KeyError:
            raise NoSuchKey(fields={"Key": key}) from None
