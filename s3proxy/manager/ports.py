"""
What the manager needs of the rooms beside it, as Protocols matched by shape.

The real ones are ``store.ledger.PostgresLedger`` and ``backend.client.S3Backend``; the
fakes of ``tests/fakes.py`` pass the same contract tests (``tests/contracts.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Protocol

from attrs import field, frozen

from s3proxy.model import (
    Claim,
    Copy,
    CopyCount,
    Deleted,
    Doomed,
    FoundObject,
    ListPage,
    ObjectAttributes,
    ObjectInfo,
    Part,
    PartRange,
    StoredObject,
    WriteConditions,
)


class CopyState(Enum):
    """States of ``object_locations.state`` (design.md §1)."""

    CLAIMED = "claimed"
    LIVE = "live"
    GARBAGE = "garbage"
    ABANDONED = "abandoned"


@frozen
class NewObject:
    """
    What a commit records of an object whose bytes are stored and verified.

    :ivar tags: Key to value.
    :ivar needs_manifest: The backend object does not tell all of this, so that a
        manifest copy is to be written.
    """

    bucket: str
    key: str
    size_bytes: int
    md5: str
    content_type: str | None
    headers: dict[str, str] = field(factory=dict)
    user_metadata: dict[str, str] = field(factory=dict)
    checksums: dict[str, str] = field(factory=dict)
    needs_manifest: bool = False
    tags: dict[str, str] = field(factory=dict)


class Ledger(Protocol):
    """
    The truth, in PostgreSQL.

    Every method fails with :class:`~s3proxy.errors.StoreUnavailable` when the database
    cannot be reached or refuses (the client sees 503); nothing was committed then.
    """

    async def claim_copies(
        self,
        backends: Sequence[str],
        bucket: str,
        key: str,
        size_bytes: int,
        conditions: WriteConditions,
        count: CopyCount,
    ) -> tuple[Claim, ...]:
        """
        Name and charge *size_bytes* of one part, on the first of *backends* with room.

        :returns: A claim for each of them.
        :raises InsufficientStorage: Fewer than ``count.least`` have room.
        :raises PreconditionFailed: *conditions* do not hold now; tested again later.
        :raises NoSuchKey: Likewise, of If-Match where there is no object.
        :raises NoSuchBucket: It was made at run time, and is deleted.
        """
        ...

    async def extend(self, copy_ids: Collection[str]) -> set[str]:
        """Extend these claims' leases; the ones that are still claimed come back."""
        ...

    async def commit_copies(
        self,
        made: Sequence[MadeCopy],
        new: NewObject,
        conditions: WriteConditions,
        least: int,
    ) -> ObjectInfo:
        """
        Turn claims of one part live and make them the object, in one transaction.

        :param least: So many must be ``claimed`` yet; those that are not are left out.
        :raises PreconditionFailed: The claims are abandoned in the same transaction; or
            NoSuchKey, of If-Match where there is no object.
        :raises NoSuchBucket: Likewise: it was made at run time, and is deleted.
        :raises ClaimLost: Fewer were ``claimed``; they are yet.
        :raises OutcomeUnknown: The connection broke; call :meth:`settle`.
        """
        ...

    async def settle(self, *claims: Claim) -> CopyState | None:
        """
        After an unknown outcome: what became of all the claims of that commit, on a
        fresh connection.

        Claims still ``claimed`` are made ``abandoned``. ``live`` and ``garbage`` mean
        that the commit stands.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Forget a claim of which no byte was sent."""
        ...

    async def abandon(self, claim: Claim, *, landed: bool) -> None:
        """
        Give a claim up; the collector deletes what may be on the backend.

        :param landed: Its last bytes may have gone without an answer, so it may land
            after the delete: it is deleted a second time after ``ledger.late``.
        """
        ...

    async def replace_metadata(
        self,
        current: ObjectInfo,
        content_type: str | None,
        headers: Mapping[str, str],
        user_metadata: Mapping[str, str],
        conditions: WriteConditions,
        tags: Mapping[str, str] | None = None,
    ) -> ObjectInfo | None:
        """
        Give an object other headers and a new time; its bytes and ETag stay.

        :param tags: Its new tags; None leaves them.
        :returns: None where it is not *current* any more.
        :raises PreconditionFailed: *conditions* do not hold.
        """
        ...

    async def replace_tags(
        self, bucket: str, key: str, tags: Mapping[str, str]
    ) -> bool:
        """Give an object other tags, and nothing else; whether there is one."""
        ...

    async def delete(
        self, bucket: str, key: str, if_match: Sequence[str] = ()
    ) -> Deleted:
        """
        Remove the object, turning its copies to garbage.

        :param if_match: ETags of which it must have one, or ``*``.
        """
        ...

    async def delete_many(
        self, bucket: str, doomed: Sequence[Doomed]
    ) -> tuple[Deleted, ...]:
        """Remove all of them in one transaction; the results stand beside *doomed*."""
        ...

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """The object without its manifest, or None."""
        ...

    async def find(self, bucket: str, key: str) -> StoredObject | None:
        """The object with its first part and that one's live copies, or None."""
        ...

    async def parts(self, object_id: str, start: int, end: int) -> tuple[Part, ...]:
        """
        The parts, with their live copies, that hold bytes *start* to *end*.

        Empty where the object has been overwritten or deleted meanwhile.
        """
        ...

    async def part_range(
        self, bucket: str, key: str, part_number: int
    ) -> PartRange | None:
        """Where the object's *part_number*-th part lies; None without the object."""
        ...

    async def attributes(
        self, bucket: str, key: str, after: int, limit: int
    ) -> ObjectAttributes | None:
        """The object and at most *limit* of its parts with a number over *after*."""
        ...

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """
        One page in byte order of keys and common prefixes greater than *after*.

        :param after: A key or a common prefix; "" for the beginning. Where it lies
            inside a common prefix, that whole prefix is passed over.
        :param limit: Entries of the page, common prefixes counted.
        """
        ...

    async def pin(self, object_id: str) -> None:
        """Keep an overwritten object's bytes while a long read goes on; renew it."""
        ...


class Body(Protocol):
    """A request's body as it arrives, pulled with back-pressure."""

    @property
    def trailer_checksums(self) -> Mapping[str, str]:
        """
        What came after the body, once its end was read, and is verified.

        Algorithm to base64 value; empty where nothing came.
        """
        ...

    async def read(self) -> bytes:
        """
        The next bytes (at most 64 KiB); ``b""`` at the end of the declared length.

        The first call answers ``100 Continue`` where the client waits for it.

        :raises IncompleteBody: The body ended before its declared length.
        :raises S3Error: A signature, a chunk or the trailer of a framed body is wrong.
        :raises RequestTimeout: The client sent nothing for too long.
        :raises ClientGone: The connection was lost.
        """
        ...


class Upload(Protocol):
    """A PUT to a backend under way. Bytes go in order; the last ones with finish."""

    async def write(self, data: bytes) -> None:
        """
        Send; returns when more may come (back-pressure).

        :raises BackendError: The backend answered early, broke off or stalled.
        """
        ...

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        """
        Send the last bytes (maybe none) and wait for the answer.

        :raises BackendError: ``landed`` says whether the body may be stored.
        :raises BackendMismatch: The answer's ETag is an MD5 and not ours.
        """
        ...

    def abort(self) -> None:
        """Break the connection short of Content-Length, so that nothing lands."""
        ...


@frozen
class Stored:
    """What a backend answered to a PUT: its ETag without quotes, its version id."""

    etag: str | None
    version_id: str | None = None


class Download(Protocol):
    """A GET from a backend whose headers have been checked."""

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` once the whole range has come.

        :raises BackendError: It broke off short, stalled, or sent too much.
        """
        ...

    def abort(self) -> None:
        """Drop the connection. Calling it at or after the end is fine."""
        ...


@frozen
class MadeCopy:
    """A claim whose bytes are stored."""

    claim: Claim
    stored: Stored


@frozen
class BackendKey:
    """One key of a backend's listing; the ETag is without quotes."""

    key: str
    size_bytes: int
    etag: str | None


class Backend(Protocol):
    """One bucket of one S3 account. Every failure is a BackendError."""

    name: str

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> Upload:
        """
        Begin a PUT of ``copy.size_bytes`` bytes to ``copy.backend_key``.

        :param headers: Content-Type and x-amz-meta-… to store with it.
        :param sha256: The body's SHA-256 in hex when known, to sign; else
            UNSIGNED-PAYLOAD goes.
        :param md5: The body's MD5 in hex when known, sent as Content-MD5.
        :raises BackendUnavailable: ``landed`` is false: no connection was made.
        """
        ...

    async def open_get(self, copy: Copy, start: int, end: int) -> Download:
        """
        Begin a GET of bytes *start* up to, not including, *end* of the copy.

        Status, Content-Range, length and (where recorded) ETag are checked first.

        :raises BackendMissing: The copy is not there.
        :raises BackendMismatch: It is there, and is not what was recorded.
        """
        ...

    async def copy(
        self, source: Copy, target: Copy, headers: dict[str, str], *, md5: str
    ) -> Stored:
        """
        Let the backend copy *source*, of its own, to ``target.backend_key``.

        It may take as long as the bytes do, without a sign of life.

        :param headers: Content-Type and x-amz-meta-… of the copy; none of the source's.
        :param md5: Of the bytes, in hex.
        :raises BackendRefused: It makes no copies; where ``landed`` is false, no bytes
            are under the target's key or will be.
        :raises BackendMissing: The source is not there; likewise.
        :raises BackendMismatch: What it made is not what was meant.
        :raises BackendError: ``landed`` says whether the copy may be there.
        """
        ...

    async def delete(self, backend_key: str, version_id: str | None) -> None:
        """Delete; returns on 204 (200) or 404 NoSuchKey, and on nothing else."""
        ...

    async def delete_unchanged(
        self,
        backend_key: str,
        version_id: str | None,
        size_bytes: int,
        etag: str | None,
    ) -> bool:
        """
        Delete what still has this size and ETag; for keys that are not ours alone.

        Compared by a HEAD, and once more by the DELETE where the backend knows
        If-Match.

        :returns: False where something else is there, which stays.
        """
        ...

    async def inspect(self, backend_key: str) -> FoundObject:
        """
        All that a HEAD tells of a key.

        :raises BackendMissing: 404.
        """
        ...

    async def head(self, backend_key: str) -> tuple[BackendKey, dict[str, str]]:
        """
        Size, ETag and user metadata (lower-case names, no x-amz-meta-) of a key.

        :raises BackendMissing: 404.
        """
        ...

    async def list_page(
        self, prefix: str, token: str | None
    ) -> tuple[list[BackendKey], str | None]:
        """A page of the bucket's keys, and the token of the next page or None."""
        ...
