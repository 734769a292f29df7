"""The operations on objects: the order of their steps, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendSpent,
    BudgetSpent,
    InternalError,
    NoSuchKey,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
)
from s3proxy.manager.pinning import Pin
from s3proxy.manager.ports import Backend, Body, Ledger
from s3proxy.manager.reading import ObjectReader, part_readers
from s3proxy.manager.routing import Health, NothingKnown
from s3proxy.manager.writing import Writer
from s3proxy.model import (
    Deleted,
    Doomed,
    ListPage,
    ObjectAttributes,
    ObjectInfo,
    PartRange,
    StoredObject,
)
from s3proxy.observe import current_view
from s3proxy.s3.operation import PutObject

_OVERWRITTEN = "The object was overwritten while it was read. Please try again."
_OLD_NEWS = (
    "This was looked up in a standby of the database, whose primary is away: the "
    "object may have been deleted or overwritten since. Please try again later."
)


@define(eq=False)
class Objects:
    """
    What the front door calls. Errors that clients see are S3Error or StoreError.

    :ivar grace_seconds: ``ledger.grace``.
    :ivar health: Which copies are asked first.
    """

    _ledger: Ledger
    _backends: Mapping[str, Backend]
    _writer: Writer
    _clock: IReactorTime
    _grace_seconds: float
    _health: Health = field(factory=NothingKnown)
    _log = Logger()

    async def put(self, op: PutObject, body: Body, *, sha256: str | None) -> ObjectInfo:
        """
        Store *body* as the object's new version.

        :param sha256: What the client signed as the body's SHA-256, in hex, or None.
        :raises S3Error: Nothing visible has changed.
        """
        return await self._writer.put(op, body, sha256=sha256)

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """
        An object's headers, from the ledger alone.

        :raises NoSuchKey: 404.
        """
        info = await self._ledger.head(bucket, key)
        if info is None:
            raise NoSuchKey(fields={"Key": key})
        return info

    async def find(self, bucket: str, key: str) -> StoredObject:
        """
        An object with its manifest, from the ledger alone.

        :raises NoSuchKey: 404.
        """
        stored = await self._ledger.find(bucket, key)
        if stored is None:
            raise NoSuchKey(fields={"Key": key})
        return stored

    async def part_range(self, bucket: str, key: str, part_number: int) -> PartRange:
        """
        Where a part lies in its object, from the ledger alone.

        :param part_number: Counted from 1 over the parts that the object has.
        :raises NoSuchKey: 404.
        """
        found = await self._ledger.part_range(bucket, key, part_number)
        if found is None:
            raise NoSuchKey(fields={"Key": key})
        return found

    async def open(self, stored: StoredObject, start: int, end: int) -> ObjectReader:
        """
        Begin to read bytes *start* up to, not including, *end*.

        :raises BudgetSpent: 429: each that has the bytes has used its budget up.
        :raises ServiceUnavailable: No backend that has the bytes answers.
        :raises InternalError: The ledger says that they are there, and they are not.
        """
        try:
            return await self._open(stored, start, end)
        except BackendMissing:
            # The bytes may have been moved or overwritten since the row was read.
            now = await self.find(stored.info.bucket, stored.info.key)
            if now.info.object_id != stored.info.object_id:
                raise ServiceUnavailable(_OVERWRITTEN) from None
            try:
                return await self._open(now, start, end)
            except BackendError as why:
                raise self._unreadable(stored, why) from why
        except BackendError as why:
            raise self._unreadable(stored, why) from why

    def pin(self, object_id: str) -> Pin:
        """What keeps an object's bytes for a read; not started yet."""
        return Pin(object_id, self._ledger, self._clock, self._grace_seconds)

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> None:
        """
        Give an object other tags, and nothing else.

        :raises NoSuchKey: 404.
        """
        if not await self._ledger.replace_tags(bucket, key, tags):
            raise NoSuchKey(fields={"Key": key})

    async def attributes(
        self, bucket: str, key: str, after: int, limit: int
    ) -> ObjectAttributes:
        """
        An object and at most *limit* parts with a number over *after*.

        :raises NoSuchKey: 404.
        """
        found = await self._ledger.attributes(bucket, key, after, limit)
        if found is None:
            raise NoSuchKey(fields={"Key": key})
        return found

    async def delete(self, bucket: str, key: str, if_match: Sequence[str] = ()) -> None:
        """
        Remove the object. No backend is called.

        :param if_match: ETags of which it must have one, or ``*``.
        :raises PreconditionFailed: It has another.
        :raises NoSuchKey: It is not there, and had to have one.
        """
        result = await self._ledger.delete(bucket, key, if_match)
        if result is Deleted.PRECONDITION:
            raise PreconditionFailed(fields={"Condition": "If-Match"})
        if result is Deleted.ABSENT and if_match:
            raise NoSuchKey(fields={"Key": key})

    async def delete_many(
        self, bucket: str, doomed: Sequence[Doomed]
    ) -> tuple[Deleted, ...]:
        """Remove all of them in one transaction. No backend is called."""
        return await self._ledger.delete_many(bucket, doomed) if doomed else ()

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """One page of keys and common prefixes after *after*, in byte order."""
        return await self._ledger.list_objects(bucket, prefix, delimiter, after, limit)

    async def _open(self, stored: StoredObject, start: int, end: int) -> ObjectReader:
        parts = stored.parts
        if stored.parts_count > len(parts):
            parts = await self._ledger.parts(stored.info.object_id, start, end)
            if not parts:
                raise ServiceUnavailable(_OVERWRITTEN)
        reader = ObjectReader(
            self.pin(stored.info.object_id),
            part_readers(parts, start, end, self._backends, self._health),
        )
        await reader.open()
        return reader

    def _unreadable(self, stored: StoredObject, why: BackendError) -> S3Error:
        if isinstance(why, BackendSpent):
            return BudgetSpent()
        if not isinstance(why, BackendMissing | BackendMismatch):
            return ServiceUnavailable(
                "No backend that holds this object answers. Please try again."
            )
        if current_view() is not None:
            # Rule 50: its bytes may rightly be gone, and a 404 would be a guess.
            return ServiceUnavailable(_OLD_NEWS)
        # Never a 404: the object is in the ledger (protocol, rule 16).
        self._log.critical(
            "integrity: object {object_id} ({key}) has no readable copy: {why}",
            object_id=stored.info.object_id,
            key=stored.info.key,
            why=why,
        )
        return InternalError(
            "The bytes of this object cannot be found where they were stored. "
            "Tell the operator, quoting the request id."
        )
