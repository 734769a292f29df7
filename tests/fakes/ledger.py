"""
The ledger in memory, with an injected clock: ``manager.ports.Ledger`` and
``jobs.ports.Janitor`` in one, held to the same contract as PostgreSQL
(``tests/contracts/ledger.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from attrs import define, evolve, frozen
from twisted.internet.interfaces import IReactorTime

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    PreconditionFailed,
    StoreError,
)
from s3proxy.manager.ports import CopyState, MadeCopy, NewObject
from s3proxy.model import (
    Claim,
    Copy,
    CopyCount,
    Deleted,
    Doomed,
    ListPage,
    ObjectAttributes,
    ObjectInfo,
    ObjectPart,
    Part,
    PartRange,
    StoredObject,
    WriteConditions,
)
from s3proxy.plan.naming import is_opaque
from s3proxy.s3.conditions import write_refusal
from tests.one_copy import OneCopy

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_DELETE = (CopyState.GARBAGE, CopyState.ABANDONED)


@frozen
class MemoryDue:
    """What ``store.janitor.Due`` is."""

    copy_id: str
    attempts: int
    backend_key: str
    version_id: str | None
    size_bytes: int = 0
    backend_etag: str | None = None


@define
class Row:
    """A row of ``object_locations``; *due_at* counts by the clock, None when live."""

    copy: Copy
    bucket: str
    key: str
    state: CopyState
    due_at: float | None
    delete_twice: bool = False
    attempts: int = 0
    object_id: str | None = None
    is_manifest: bool = False


class MemoryLedger(OneCopy):
    """
    :param limits: Every backend's limit in bytes; 0 is unlimited.
    :ivar rows: Every copy by its id.
    :ivar failure: Raised by every call while it is not None: the database is away.
    :ivar calls: The name of every method called, in order.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: Mapping[str, int],
        *,
        lease_seconds: float = 600.0,
        grace_seconds: float = 60.0,
        late_seconds: float = 3600.0,
        hold_seconds: float = 60.0,
    ) -> None:
        self.clock = clock
        self.limits = dict(limits)
        self.lease_seconds = lease_seconds
        self.grace_seconds = grace_seconds
        self.late_seconds = late_seconds
        self.hold_seconds = hold_seconds
        self.rows: dict[str, Row] = {}
        self.pins: dict[str, float] = {}
        self.failure: StoreError | None = None
        self.calls: list[str] = []
        self._faults: dict[str, deque[StoreError | None]] = {}
        self._objects: dict[tuple[str, str], tuple[ObjectInfo, tuple[Copy, ...]]] = {}
        self._numbers = count(1)

    # For tests ---

    def fail(self, call: str, *errors: StoreError | None) -> None:
        """The next calls of that name fail so, one each; None lets one pass."""
        self._faults.setdefault(call, deque()).extend(errors)

    def used_bytes(self, backend: str) -> int:
        """I3, by construction: the sum over the rows, in every state."""
        return sum(
            row.copy.size_bytes
            for row in self.rows.values()
            if row.copy.backend_name == backend
        )

    def states(self) -> dict[str, CopyState]:
        """Every copy's state by its id."""
        return {copy_id: row.state for copy_id, row in self.rows.items()}

    def put_keys(self, bucket: str, keys: Collection[str]) -> None:
        """The bucket holds exactly these keys, all of them empty."""
        for held_in, key in list(self._objects):
            if held_in == bucket:
                self._discard(bucket, key)
        for key in keys:
            copy_id, part_id = self._ulid(), self._ulid()
            copy = Copy(copy_id, part_id, "one", f"{key}~{copy_id}", 0)
            self.rows[copy_id] = Row(copy, bucket, key, CopyState.LIVE, None)
            info = ObjectInfo(bucket, key, self._ulid(), 0, "0", None, self._date())
            self._objects[bucket, key] = info, (copy,)

    # manager.ports.Ledger ---

    async def claim_copies(
        self,
        backends: Sequence[str],
        bucket: str,
        key: str,
        size_bytes: int,
        conditions: WriteConditions,
        count: CopyCount,
    ) -> tuple[Claim, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("claim")
        etag = self._etag(bucket, key)
        if not conditions.hold(etag):
            raise write_refusal(conditions, key, exists=etag is not None)
        roomy = [
            name
            for name in backends
            if (limit := self.limits.get(name)) is not None
            and not 0 < limit < self.used_bytes(name) + size_bytes
        ]
        if len(roomy) < count.least:
            raise InsufficientStorage()
        part_id = self._ulid()
        claims = []
        for name in roomy[: count.most]:
            copy_id = self._ulid()
            backend_key = f"~/{copy_id}" if is_opaque(key) else f"{key}~{copy_id}"
            copy = Copy(copy_id, part_id, name, backend_key, size_bytes)
            due_at = self._now() + self.lease_seconds
            self.rows[copy_id] = Row(copy, bucket, key, CopyState.CLAIMED, due_at)
            claims.append(Claim(copy, self.lease_seconds))
        return tuple(claims)

    async def extend(self, copy_ids: Collection[str]) -> set[str]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("extend")
        held = {each for each in copy_ids if self._claimed(each) is not None}
        for each in held:
            self.rows[each].due_at = self._now() + self.lease_seconds
        return held

    async def commit_copies(
        self,
        made: Sequence[MadeCopy],
        new: NewObject,
        conditions: WriteConditions,
        least: int,
    ) -> ObjectInfo:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("commit")
        rows = self._stored(made, least)
        etag = self._etag(new.bucket, new.key)
        if not conditions.hold(etag):
            for row in rows:
                self._abandon(row, delete_twice=False)
            raise write_refusal(conditions, new.key, exists=etag is not None)
        self._discard(new.bucket, new.key)
        for row in rows:
            row.state, row.due_at = CopyState.LIVE, None
        info = ObjectInfo(
            bucket=new.bucket,
            key=new.key,
            object_id=self._ulid(),
            size_bytes=new.size_bytes,
            etag=new.md5,
            content_type=new.content_type,
            last_modified=self._date(),
            headers=dict(new.headers),
            user_metadata=dict(new.user_metadata),
            checksums=dict(new.checksums),
            tags=dict(new.tags),
        )
        self._objects[new.bucket, new.key] = info, tuple(row.copy for row in rows)
        return info

    async def settle(self, *claims: Claim) -> CopyState | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("settle")
        found = [self.rows.get(each.copy.copy_id) for each in claims]
        rows = [row for row in found if row is not None]
        open_yet = [row for row in rows if row.state is CopyState.CLAIMED]
        for row in open_yet:
            self._abandon(row, delete_twice=True)
        best = (CopyState.LIVE, CopyState.GARBAGE, CopyState.ABANDONED)
        states = {row.state for row in open_yet or rows}
        return next((state for state in best if state in states), None)

    async def release(self, claim: Claim) -> None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("release")
        if self._claimed(claim.copy.copy_id) is not None:
            del self.rows[claim.copy.copy_id]

    async def abandon(self, claim: Claim, *, landed: bool) -> None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("abandon")
        row = self._claimed(claim.copy.copy_id)
        if row is not None:
            self._abandon(row, delete_twice=landed)

    async def replace_metadata(
        self,
        current: ObjectInfo,
        content_type: str | None,
        headers: Mapping[str, str],
        user_metadata: Mapping[str, str],
        conditions: WriteConditions,
        tags: Mapping[str, str] | None = None,
    ) -> ObjectInfo | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("replace_metadata")
        if not conditions.hold(current.etag):
            raise PreconditionFailed()
        found = self._objects.get((current.bucket, current.key))
        if found is None or found[0].object_id != current.object_id:
            return None
        info = evolve(
            found[0],
            content_type=content_type,
            headers=dict(headers),
            user_metadata=dict(user_metadata),
            last_modified=self._date(),
            tags=found[0].tags if tags is None else dict(tags),
        )
        self._objects[current.bucket, current.key] = info, found[1]
        return info

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> bool:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("replace_tags")
        found = self._objects.get((bucket, key))
        if found is None:
            return False
        self._objects[bucket, key] = evolve(found[0], tags=dict(tags)), found[1]
        return True

    async def delete(
        self, bucket: str, key: str, if_match: Sequence[str] = ()
    ) -> Deleted:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("delete")
        return self._delete(bucket, key, if_match)

    async def delete_many(
        self, bucket: str, doomed: Sequence[Doomed]
    ) -> tuple[Deleted, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("delete_many")
        return tuple(
            self._delete(bucket, each.key, (each.if_match,) if each.if_match else ())
            for each in doomed
        )

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("head")
        found = self._objects.get((bucket, key))
        return found[0] if found else None

    async def find(self, bucket: str, key: str) -> StoredObject | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("find")
        found = self._objects.get((bucket, key))
        if found is None:
            return None
        return StoredObject(found[0], (_part(*found),))

    async def parts(self, object_id: str, start: int, end: int) -> tuple[Part, ...]:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("parts")
        return tuple(
            _part(info, copies)
            for info, copies in self._objects.values()
            if info.object_id == object_id and start < info.size_bytes and end > 0
        )

    async def part_range(
        self, bucket: str, key: str, part_number: int
    ) -> PartRange | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("part_range")
        found = self._objects.get((bucket, key))
        if found is None:
            return None
        info, _copy = found
        return PartRange(info, (0, info.size_bytes) if part_number == 1 else None, 1)

    async def attributes(
        self, bucket: str, key: str, after: int, limit: int
    ) -> ObjectAttributes | None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("attributes")
        found = self._objects.get((bucket, key))
        if found is None:
            return None
        info, _copy = found
        parts = self._told_parts(info)
        ahead = [each for each in parts if each.part_number > after]
        page = tuple(ahead[:limit])
        more = page[-1].part_number if page and len(ahead) > limit else None
        return ObjectAttributes(info, len(parts), page, more)

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("list_objects")
        # A key is its own entry, a common prefix that of every key below it. Python
        # orders str by code points, which is the order of UTF-8's bytes.
        entries: dict[str, ObjectInfo | None] = {}
        for (held_in, key), (info, _copy) in self._objects.items():
            if held_in != bucket or not key.startswith(prefix):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                entries[key] = _listed(info)
            else:
                entries[key[: cut + len(delimiter)]] = None
        ahead = sorted(entry for entry in entries if entry > after)
        page = ahead[: max(limit, 0)]
        return ListPage(
            tuple(held for each in page if (held := entries[each]) is not None),
            tuple(each for each in page if entries[each] is None),
            page[-1] if page and len(ahead) > len(page) else None,
        )

    async def pin(self, object_id: str) -> None:
        """See :class:`~s3proxy.manager.ports.Ledger`."""
        self._called("pin")
        until = self._now() + self.grace_seconds
        self.pins[object_id] = max(until, self.pins.get(object_id, until))

    # jobs.ports.Janitor ---

    async def reap(self, limit: int) -> int:
        """See :class:`~s3proxy.jobs.ports.Janitor`."""
        self._called("reap")
        due = [row for row in self._due(CopyState.CLAIMED) if row.due_at != self._now()]
        for row in due[:limit]:
            self._abandon(row, delete_twice=True)
        return len(due[:limit])

    async def collect(self, backend: str, limit: int) -> list[MemoryDue]:
        """See :class:`~s3proxy.jobs.ports.Janitor`."""
        self._called("collect")
        due = [
            row
            for row in self._due(*_TO_DELETE)
            if row.copy.backend_name == backend and not self._is_pinned(row)
        ]
        for row in due[:limit]:
            hold = min(self.hold_seconds * 2.0 ** min(row.attempts, 20), 3600.0)
            row.due_at = self._now() + hold
            row.attempts += 1
        return [
            MemoryDue(
                row.copy.copy_id,
                row.attempts,
                row.copy.backend_key,
                row.copy.version_id,
            )
            for row in due[:limit]
        ]

    async def collect_adopted(self, backend: str, limit: int) -> list[MemoryDue]:
        """Nothing is adopted here: PostgreSQL stands for that."""
        return []

    async def let_go(self, changed: list[MemoryDue]) -> int:
        """Likewise."""
        return 0

    async def collected(self, done: list[MemoryDue]) -> int:
        """See :class:`~s3proxy.jobs.ports.Janitor`."""
        self._called("collected")
        forgotten = 0
        for each in done:
            row = self.rows.get(each.copy_id)
            if row is None or row.state not in _TO_DELETE:
                continue
            if row.attempts != each.attempts:
                continue
            if row.delete_twice:
                row.delete_twice = False
                row.due_at = self._now() + self.late_seconds
            else:
                del self.rows[each.copy_id]
                forgotten += 1
        return forgotten

    async def held(self) -> str | None:
        """Nothing is held up."""
        self._called("held")
        return None

    async def unpin_expired(self) -> None:
        """See :class:`~s3proxy.jobs.ports.Janitor`."""
        self._called("unpin_expired")
        now = self._now()
        self.pins = {each: until for each, until in self.pins.items() if until >= now}

    # Inside ---

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure
        faults = self._faults.get(name)
        error = faults.popleft() if faults else None
        if error is not None:
            raise error

    def _now(self) -> float:
        return float(self.clock.seconds())

    def _date(self) -> datetime:
        milliseconds = int(self._now() * 1000)
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)

    def _ulid(self) -> str:
        number = (int(self._now() * 1000) << 80) | next(self._numbers)
        return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))

    def _etag(self, bucket: str, key: str) -> str | None:
        found = self._objects.get((bucket, key))
        return found[0].etag if found else None

    def _claimed(self, copy_id: str) -> Row | None:
        row = self.rows.get(copy_id)
        return row if row is not None and row.state is CopyState.CLAIMED else None

    def _stored(self, made: Sequence[MadeCopy], least: int) -> list[Row]:
        """Those of these that are claimed yet, with what their backends answered."""
        rows = []
        for each in made:
            row = self._claimed(each.claim.copy.copy_id)
            if row is not None:
                rows.append(row)
                row.copy = evolve(
                    row.copy,
                    backend_etag=each.stored.etag,
                    version_id=each.stored.version_id,
                )
        if len(rows) < least:
            raise ClaimLost("too many were given up by another")
        return rows

    def _abandon(self, row: Row, *, delete_twice: bool) -> None:
        row.state, row.due_at = CopyState.ABANDONED, self._now()
        row.delete_twice = delete_twice

    def _discard(self, bucket: str, key: str) -> None:
        found = self._objects.pop((bucket, key), None)
        if found is not None:
            info, copies = found
            for copy in copies:
                row = self.rows[copy.copy_id]
                row.state, row.object_id = CopyState.GARBAGE, info.object_id
                row.due_at = self._now() + self.grace_seconds

    def _delete(self, bucket: str, key: str, if_match: Sequence[str]) -> Deleted:
        etag = self._etag(bucket, key)
        if etag is None:
            return Deleted.ABSENT
        if not WriteConditions(tuple(if_match)).hold(etag):
            return Deleted.PRECONDITION
        self._discard(bucket, key)
        return Deleted.DELETED

    def _told_parts(self, info: ObjectInfo) -> tuple[ObjectPart, ...]:
        return (ObjectPart(1, info.size_bytes, {}),)

    def _due(self, *states: CopyState) -> list[Row]:
        """Rows in *states* whose time has come, the longest due first."""
        now = self._now()
        due = [
            (row.due_at, row.copy.copy_id)
            for row in self.rows.values()
            if row.state in states and row.due_at is not None and row.due_at <= now
        ]
        return [self.rows[copy_id] for _due_at, copy_id in sorted(due)]

    def _is_pinned(self, row: Row) -> bool:
        return self.pins.get(row.object_id or "", -1.0) > self._now()


def _part(info: ObjectInfo, copies: tuple[Copy, ...]) -> Part:
    """The only part of an object: this ledger knows no uploads."""
    return Part(copies[0].part_id, 1, 0, info.size_bytes, info.etag, copies)


def _listed(info: ObjectInfo) -> ObjectInfo:
    """LIST does not carry what only HEAD shows."""
    return evolve(info, headers={}, user_metadata={}, checksums={}, tags={})
