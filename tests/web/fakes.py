"""The manager in memory, whose steps a test can hold up, fail and look at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from s3proxy.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    ClientGone,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    ServiceUnavailable,
)
from s3proxy.manager.ports import Body
from s3proxy.model import (
    Completed,
    CompletedPart,
    Deleted,
    Doomed,
    ListPage,
    MadeBucket,
    ObjectAttributes,
    ObjectInfo,
    ObjectPart,
    PartInfo,
    PartPage,
    PartRange,
    StoredObject,
    UploadInfo,
    UploadPage,
    WriteConditions,
)
from s3proxy.s3.checksums import Digests
from s3proxy.s3.cors import CorsRule
from s3proxy.s3.operation import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    PutObject,
    UploadPart,
    UploadPartCopy,
)

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
    :ivar part_sizes: Of keys that have more than one part.
    :ivar put_fails_at: ``put`` raises ServiceUnavailable after this many bytes.
    """

    objects: dict[tuple[str, str], tuple[ObjectInfo, bytes]] = field(factory=dict)
    events: list[str] = field(factory=list)
    before_put: Callable[[], Deferred[None]] | None = None
    before_open: Callable[[], Deferred[None]] | None = None
    before_read: Callable[[], Deferred[None]] | None = None
    make_reader: Callable[[bytes], FakeReader] | None = None
    failure: BaseException | None = None
    part_sizes: dict[str, tuple[int, ...]] = field(factory=dict)
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
            checksums={**op.checksums, **body.trailer_checksums},
            tags=op.tags,
        )

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        self._call(f"head {key}")
        return self._get(bucket, key)[0]

    async def find(self, bucket: str, key: str) -> StoredObject:
        self._call(f"find {key}")
        return StoredObject(self._get(bucket, key)[0], ())

    async def part_range(self, bucket: str, key: str, part_number: int) -> PartRange:
        self._call(f"part_range {key} {part_number}")
        info, data = self._get(bucket, key)
        sizes = self.part_sizes.get(key, (len(data),))
        found = None
        if part_number <= len(sizes):
            start = sum(sizes[: part_number - 1])
            found = start, start + sizes[part_number - 1]
        return PartRange(info, found, len(sizes))

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

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> None:
        self._call(f"replace_tags {key}")
        info, data = self._get(bucket, key)
        self.objects[bucket, key] = evolve(info, tags=dict(tags)), data

    async def attributes(
        self, bucket: str, key: str, after: int, limit: int
    ) -> ObjectAttributes:
        self._call(f"attributes {key} {after} {limit}")
        info, data = self._get(bucket, key)
        sizes = self.part_sizes.get(key, (len(data),))
        parts = [ObjectPart(n, size, {}) for n, size in enumerate(sizes, 1)]
        page = tuple(each for each in parts if each.part_number > after)[:limit]
        last = page[-1].part_number if page else len(parts)
        more = last if last < len(parts) else None
        return ObjectAttributes(info, len(parts), page, more)

    async def delete(self, bucket: str, key: str, if_match: Sequence[str]) -> None:
        self._call(f"delete {key}")
        if if_match:
            info, _ = self._get(bucket, key)
            if not WriteConditions(tuple(if_match)).hold(info.etag):
                raise PreconditionFailed
        self.objects.pop((bucket, key), None)

    async def delete_many(
        self, bucket: str, doomed: Sequence[Doomed]
    ) -> Sequence[Deleted]:
        self._call(f"delete_many {' '.join(each.key for each in doomed)}")
        results = []
        for each in doomed:
            try:
                await self.delete(
                    bucket, each.key, (each.if_match,) if each.if_match else ()
                )
            except NoSuchKey:
                results.append(Deleted.ABSENT)
            except PreconditionFailed:
                results.append(Deleted.PRECONDITION)
            else:
                results.append(Deleted.DELETED)
        return results

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


@define(eq=False)
class FakeBuckets:
    """
    Buckets made at run time; names never wait for another owner.

    :ivar owners: By name.
    :ivar full: Names of those that have objects.
    :ivar asked: What was looked up.
    """

    owners: dict[str, str] = field(factory=dict)
    full: set[str] = field(factory=set)
    asked: list[str] = field(factory=list)

    async def find(self, bucket: str) -> MadeBucket | None:
        self.asked.append(bucket)
        owner = self.owners.get(bucket)
        return None if owner is None else MadeBucket(owner, MODIFIED)

    async def create(self, bucket: str, owner: str) -> bool:
        held_by = self.owners.setdefault(bucket, owner)
        if held_by != owner:
            raise BucketAlreadyExists
        return True

    async def delete(self, bucket: str, owner: str) -> None:
        if self.owners.get(bucket) != owner:
            raise NoSuchBucket
        if bucket in self.full:
            raise BucketNotEmpty
        del self.owners[bucket]

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> list[tuple[str, datetime]]:
        names = sorted(name for name, each in self.owners.items() if each == owner)
        return [
            (name, MODIFIED)
            for name in names
            if name.startswith(prefix) and name > after
        ][:limit]


@define(eq=False)
class FakeBucketTags:
    """:ivar kept: By bucket; a bucket that is not there has none."""

    kept: dict[str, Mapping[str, str]] = field(factory=lambda: {"unified": {}})

    async def tags(self, bucket: str) -> Mapping[str, str]:
        try:
            return self.kept[bucket]
        except KeyError:
            raise NoSuchBucket from None

    async def replace_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        await self.tags(bucket)
        self.kept[bucket] = tags


@define(eq=False)
class FakeUploads:
    """
    Knows one upload, ``u``.

    :ivar ops: What was asked for, in order.
    :ivar failure: Raised by every method.
    :ivar gate: Awaited by ``complete``.
    """

    ops: list[object] = field(factory=list)
    failure: BaseException | None = None
    gate: Deferred[None] | None = None
    parts: dict[int, bytes] = field(factory=dict)
    listed: Sequence[CompletedPart] = ()
    last_sha256: str | None = None

    async def create(self, op: CreateMultipartUpload) -> str:
        self._call(op)
        return "u"

    async def put_part(
        self, op: UploadPart, body: Body, *, sha256: str | None
    ) -> PartInfo:
        self._call(op)
        self._check(op.upload_id)
        self.last_sha256 = sha256
        digests, pieces = Digests(op.content_md5, sha256, op.checksums), []
        while data := await body.read():
            digests.update(data)
            pieces.append(data)
        digests.verify()
        data = self.parts[op.part_number] = b"".join(pieces)
        etag = digests.md5_hex
        checksums = {**op.checksums, **body.trailer_checksums}
        return PartInfo(op.part_number, etag, len(data), checksums, MODIFIED)

    async def complete(
        self, op: CompleteMultipartUpload, parts: Sequence[CompletedPart]
    ) -> Completed:
        self._call(op)
        self.listed = parts
        if self.gate is not None:
            await self.gate
        if self.failure is not None:
            raise self.failure
        self._check(op.upload_id)
        return Completed(f"0f-{len(parts)}", {"crc32": f"AAAAAA==-{len(parts)}"})

    async def abort(self, op: AbortMultipartUpload) -> None:
        self._call(op)
        self._check(op.upload_id)

    async def list_parts(self, op: ListParts) -> PartPage:
        self._call(op)
        self._check(op.upload_id)
        return PartPage(UploadInfo("u", op.key, MODIFIED), (), None)

    async def list_uploads(self, op: ListMultipartUploads) -> UploadPage:
        self._call(op)
        return UploadPage((UploadInfo("u", "k", MODIFIED),), ())

    def _call(self, op: object) -> None:
        self.ops.append(op)
        if self.failure is not None and self.gate is None:
            raise self.failure

    def _check(self, upload_id: str) -> None:
        if upload_id != "u":
            raise NoSuchUpload


@define(eq=False)
class FakeCopies:
    """
    :ivar ops: What was asked for, in order.
    :ivar gate: Awaited before the result.
    :ivar failure: In place of a result.
    """

    ops: list[CopyObject | UploadPartCopy] = field(factory=list)
    gate: Deferred[None] | None = None
    failure: BaseException | None = None

    async def copy(self, op: CopyObject) -> ObjectInfo:
        await self._result(op)
        return ObjectInfo(op.bucket, op.key, "id", 1, "0f", None, MODIFIED)

    async def copy_part(self, op: UploadPartCopy) -> PartInfo:
        await self._result(op)
        return PartInfo(op.part_number, "0f", 1, {}, MODIFIED)

    async def _result(self, op: CopyObject | UploadPartCopy) -> None:
        self.ops.append(op)
        if self.gate is not None:
            await self.gate
        if self.failure is not None:
            raise self.failure


@define(eq=False)
class FakeCors:
    """
    :ivar asked: The buckets whose rules were looked up.
    :ivar failure: Raised by every method.
    """

    rules: dict[str, tuple[CorsRule, ...]] = field(factory=dict)
    asked: list[str] = field(factory=list)
    failure: BaseException | None = None

    async def get(self, bucket: str) -> tuple[CorsRule, ...] | None:
        self.asked.append(bucket)
        if self.failure is not None:
            raise self.failure
        return self.rules.get(bucket)

    async def put(self, bucket: str, rules: Sequence[CorsRule]) -> None:
        self.rules[bucket] = tuple(rules)

    async def delete(self, bucket: str) -> None:
        self.rules.pop(bucket, None)
