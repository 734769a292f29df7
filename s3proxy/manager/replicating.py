"""
Copies of copies: more of them, fewer, or elsewhere (protocol, rules 40 to 43).

A copy is a body like any other, so the writer stores it: with a claim and its lease,
its last bytes held back until length and MD5 have verified, live only by its commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from attrs import define, evolve, field, frozen

from s3proxy.errors import BackendError, PreconditionFailed, ServiceUnavailable
from s3proxy.manager.part_reading import PartReader
from s3proxy.manager.ports import Backend, MadeCopy
from s3proxy.manager.routing import Health
from s3proxy.manager.writing import Writer
from s3proxy.model import Claim, Copy, CopyCount
from s3proxy.plan.description import UPLOAD_ID, describe, describes_fully
from s3proxy.plan.replicas import PartToCopy


class ReplicaLedger(Protocol):
    """
    Copies of parts in the ledger; failures as of ``ports.Ledger``.

    PreconditionFailed says that a copy is not wanted any more: the object is gone or
    was overwritten, there are enough, or the one that it was made of is not live.
    """

    async def take(self, factor: int, limit: int) -> list[str]:
        """Parts with fewer live copies, that nobody else is given for a while."""
        ...

    async def find(self, part_id: str) -> PartToCopy | None:
        """A part of an object; None where it is gone, or has no live copy."""
        ...

    async def claim(
        self, backends: Sequence[str], wanted: PartToCopy, factor: int | None
    ) -> Claim:
        """
        Name and charge a copy on the first of *backends* with room and without one.

        :param factor: So many are enough; None: one more in any case.
        :raises InsufficientStorage: None has room.
        :raises ServiceUnavailable: Each of them has a copy.
        """
        ...

    async def commit(
        self,
        claim: Claim,
        source: Copy,
        backend_etag: str | None,
        version_id: str | None,
        *,
        moves: bool,
        needs_manifest: bool,
    ) -> None:
        """
        Make the claim a live copy.

        :param moves: *source* becomes garbage in the same transaction.
        :param needs_manifest: The copy does not tell all of its object: a manifest
            copy is to be written, if there is none.
        :raises PreconditionFailed: The claim is abandoned in the same transaction.
        :raises ClaimLost: The claim was no longer ``claimed``.
        :raises OutcomeUnknown: The connection broke; call ``Ledger.settle``.
        """
        ...

    async def pending(self, factor: int) -> int:
        """How many parts have fewer live copies."""
        ...

    async def trim(self, factor: int, keep: Sequence[str], limit: int) -> int:
        """
        Turn live copies beyond *factor* to garbage, of at most *limit* parts.

        :param keep: Backends whose copies stay, the first before all.
        :returns: How many copies went.
        """
        ...


class Pace(Protocol):
    """How fast bytes may go."""

    async def spend(self, count_bytes: int) -> None:
        """Returns when as many bytes may have gone."""
        ...


@define(eq=False)
class Replicas:
    """
    Makes copies of live copies, and removes them.

    :ivar health: Which of several copies is read.
    """

    _ledger: ReplicaLedger
    _backends: Mapping[str, Backend]
    _writer: Writer
    _installation_id: str
    _health: Health

    async def take(self, factor: int, limit: int) -> list[str]:
        """Parts to call :meth:`add` with."""
        return await self._ledger.take(factor, limit)

    async def add(self, part_id: str, factor: int) -> int | None:
        """
        Make one more copy of a part, where there are fewer than *factor*.

        :returns: Its bytes; None where it is not wanted any more.
        :raises InsufficientStorage: No backend without a copy has room.
        :raises ServiceUnavailable: No source, or no target, goes on.
        :raises BadDigest: The bytes are not those of the part.
        """
        wanted = await self._ledger.find(part_id)
        if wanted is None:
            return None
        source = min(
            wanted.part.copies,
            key=lambda each: (
                each.is_quarantined,
                self._health.of_reads(each.backend_name),
            ),
        )
        made = await self._copy(wanted, source, factor=factor)
        return wanted.part.size_bytes if made else None

    async def move(self, part_id: str, copy_id: str, target: str, pace: Pace) -> bool:
        """
        Put a copy to *target* in place of another. Raises as :meth:`add`.

        :param copy_id: Becomes garbage by the commit of the new one.
        :returns: Whether it was; not where it is not wanted any more.
        """
        wanted = await self._ledger.find(part_id)
        if wanted is None:
            return False
        for source in wanted.part.copies:
            if source.copy_id == copy_id:
                return await self._copy(wanted, source, target=target, pace=pace)
        return False

    async def pending(self, factor: int) -> int:
        """See :meth:`ReplicaLedger.pending`."""
        return await self._ledger.pending(factor)

    async def trim(self, factor: int, keep: Sequence[str], limit: int) -> int:
        """See :meth:`ReplicaLedger.trim`."""
        return await self._ledger.trim(factor, keep, limit)

    async def _copy(
        self,
        wanted: PartToCopy,
        source: Copy,
        *,
        factor: int | None = None,
        target: str | None = None,
        pace: Pace | None = None,
    ) -> bool:
        part = wanted.part
        if wanted.md5 is None:
            # Nothing tells copies apart that differ: this one, from end to end.
            part = evolve(part, copies=(source,))
        write = ReplicaWrite(
            wanted,
            source,
            self._ledger,
            self._installation_id,
            await self._upload_id(wanted),
            factor,
            target,
        )
        reader = PartReader(part, 0, part.size_bytes, self._backends, self._health)
        try:
            await self._writer.store(write, _PartBody(reader, pace), sha256=None)
        except PreconditionFailed:
            return False
        finally:
            reader.abort()
        return True

    async def _upload_id(self, wanted: PartToCopy) -> str | None:
        """Only the backend objects of a part tell which upload it came with."""
        told = wanted.of_upload
        if told is None or told.backend_name not in self._backends:
            return None
        try:
            _, metadata = await self._backends[told.backend_name].head(told.backend_key)
        except BackendError as why:
            raise ServiceUnavailable(
                f"The copy {told.copy_id} cannot be asked what it is of: {why}"
            ) from why
        return metadata.get(UPLOAD_ID.removeprefix("x-amz-meta-"))


@frozen
class ReplicaWrite:
    """A copy of a copy as a body: a :class:`~s3proxy.manager.writes.Write`."""

    _wanted: PartToCopy
    _source: Copy
    _ledger: ReplicaLedger
    _installation_id: str
    _upload_id: str | None
    _factor: int | None
    _target: str | None
    goes_to_several: bool = field(default=False, init=False)

    @property
    def content_length(self) -> int:
        """See :class:`~s3proxy.manager.writes.Write`."""
        return self._wanted.part.size_bytes

    @property
    def content_md5(self) -> str | None:
        """What the bytes must hash to, whatever the source says."""
        return self._wanted.md5

    @property
    def checksums(self) -> dict[str, str]:
        """The MD5 is enough."""
        return {}

    async def claim(
        self, backends: Sequence[str], count: CopyCount
    ) -> tuple[Claim, ...]:
        """See :class:`~s3proxy.manager.writes.Write`; or PreconditionFailed."""
        if self._target is None:
            return (await self._ledger.claim(backends, self._wanted, self._factor),)
        if self._target not in backends:
            raise ServiceUnavailable(f"Backend {self._target} takes no writes now.")
        return (await self._ledger.claim([self._target], self._wanted, None),)

    def headers(self, copy: Copy) -> dict[str, str]:
        """See :class:`~s3proxy.manager.writes.Write`."""
        wanted = self._wanted
        is_part = bool(wanted.suffix)
        return describe(
            copy,
            installation_id=self._installation_id,
            bucket=wanted.bucket,
            key=wanted.key,
            part_number=int(wanted.suffix[1:]) if is_part else wanted.part.part_number,
            content_type=None if is_part else wanted.content_type,
            user_metadata={} if is_part else wanted.user_metadata,
            upload_id=self._upload_id,
            # Those of an upload are no checksums of the bytes.
            checksums=wanted.checksums if "-" not in wanted.etag else None,
        )

    async def commit(self, made: Sequence[MadeCopy], md5: str, least: int) -> None:
        """See :class:`~s3proxy.manager.writes.Write`; or PreconditionFailed."""
        ((claim, stored),) = ((each.claim, each.stored) for each in made)
        wanted = self._wanted
        # A part of an upload never tells of its object. Sync may have taken one in that
        # an upload made elsewhere: then no copy of ours tells its ETag.
        tells = (stored.etag or "").lower() == wanted.etag and describes_fully(
            self.headers(claim.copy),
            wanted.content_type,
            wanted.headers,
            wanted.user_metadata,
            wanted.tags,
        )
        await self._ledger.commit(
            claim,
            self._source,
            stored.etag,
            stored.version_id,
            moves=self._target is not None,
            needs_manifest=not tells,
        )

    def settled(self, md5: str) -> None:
        """There is nothing to tell."""


@define(eq=False)
class _PartBody:
    """A part's bytes as a body, from whichever copy can give them."""

    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    _reader: PartReader
    _pace: Pace | None

    async def read(self) -> bytes:
        """
        See :class:`~s3proxy.manager.ports.Body`.

        :raises ServiceUnavailable: No copy can go on.
        """
        try:
            data = await self._reader.read()
        except BackendError as why:
            raise ServiceUnavailable(f"No copy can be read: {why}") from why
        if self._pace is not None:
            await self._pace.spend(len(data))
        return data
