"""
Manifest copies: what a lost ledger is rebuilt from (protocol, rules 30 and 31).

One is a small body like any other, so the writer stores it: with a claim and its lease,
on another backend where the first one fails, verified, live only by its commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from attrs import define, field, frozen

from s3proxy.errors import PreconditionFailed
from s3proxy.manager.ports import MadeCopy
from s3proxy.manager.writing import Writer
from s3proxy.model import Claim, Copy, CopyCount
from s3proxy.plan.description import describe_manifest
from s3proxy.plan.manifest import Manifest, ManifestPart, WantedManifest, encode

#: Bytes handed on at once; ``Body`` promises no more.
_PIECE_BYTES = 64 * 1024


class ManifestLedger(Protocol):
    """
    Which manifests are to be written; failures as of ``ports.Ledger``.

    Where a method takes a wanted manifest, PreconditionFailed says that it is not what
    is wanted any more: the object is gone, was overwritten or changed, or another
    process has written it.
    """

    async def take(self, limit: int) -> list[WantedManifest]:
        """Objects that nobody else is given for a while."""
        ...

    async def parts(self, object_id: str) -> tuple[ManifestPart, ...]:
        """The object's manifest, in order; empty where it is gone."""
        ...

    async def claim(
        self, backends: Sequence[str], wanted: WantedManifest, size_bytes: int
    ) -> Claim:
        """
        Name and charge a manifest copy on the first of *backends* with room.

        :raises InsufficientStorage: None has room.
        """
        ...

    async def commit(
        self,
        claim: Claim,
        wanted: WantedManifest,
        backend_etag: str | None,
        version_id: str | None,
    ) -> None:
        """
        Make the claim the object's manifest copy; an older one is garbage.

        :raises PreconditionFailed: The claim is abandoned in the same transaction.
        :raises ClaimLost: The claim was no longer ``claimed``.
        :raises OutcomeUnknown: The connection broke; call ``Ledger.settle``.
        """
        ...


@frozen
class ManifestWrite:
    """A manifest as a body: a :class:`~s3proxy.manager.writes.Write`."""

    _wanted: WantedManifest
    _ledger: ManifestLedger
    _installation_id: str
    content_length: int
    content_md5: str | None = None
    goes_to_several: bool = field(default=False, init=False)

    @property
    def checksums(self) -> dict[str, str]:
        """Nobody promised any."""
        return {}

    async def claim(
        self, backends: Sequence[str], count: CopyCount
    ) -> tuple[Claim, ...]:
        """See :class:`~s3proxy.manager.writes.Write`; or PreconditionFailed."""
        size = self.content_length
        return (await self._ledger.claim(backends, self._wanted, size),)

    def headers(self, copy: Copy) -> dict[str, str]:
        """See :class:`~s3proxy.manager.writes.Write`."""
        info = self._wanted.info
        return describe_manifest(
            copy,
            installation_id=self._installation_id,
            bucket=info.bucket,
            key=info.key,
            object_id=info.object_id,
        )

    async def commit(self, made: Sequence[MadeCopy], md5: str, least: int) -> None:
        """See :class:`~s3proxy.manager.writes.Write`; or PreconditionFailed."""
        ((claim, stored),) = ((each.claim, each.stored) for each in made)
        await self._ledger.commit(claim, self._wanted, stored.etag, stored.version_id)

    def settled(self, md5: str) -> None:
        """There is nothing to tell."""


@define(eq=False)
class Manifests:
    """Writes manifest copies."""

    _ledger: ManifestLedger
    _writer: Writer
    _installation_id: str

    async def take(self, limit: int) -> list[WantedManifest]:
        """At most *limit* objects to call :meth:`write` with."""
        return await self._ledger.take(limit)

    async def write(self, wanted: WantedManifest) -> bool:
        """
        Write one. It is wanted until it is written, so a failure mends itself.

        :returns: Whether it was; not where the object has become another meanwhile.
        :raises InsufficientStorage: No backend has room; or ServiceUnavailable.
        """
        parts = await self._ledger.parts(wanted.info.object_id)
        manifest = Manifest(self._installation_id, wanted.info, parts)
        if not manifest.is_whole:
            # Overwritten or deleted: that takes the rows of the parts away.
            return False
        data = encode(manifest)
        write = ManifestWrite(wanted, self._ledger, self._installation_id, len(data))
        try:
            await self._writer.store(write, _Bytes(data), sha256=None)
        except PreconditionFailed:
            return False
        return True


@define
class _Bytes:
    """A body that is there already."""

    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    _left: bytes

    async def read(self) -> bytes:
        """See :class:`~s3proxy.manager.ports.Body`."""
        piece, self._left = self._left[:_PIECE_BYTES], self._left[_PIECE_BYTES:]
        return piece
