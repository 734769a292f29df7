"""What a body is stored as: an object, or a part of an open upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from s3proxy.manager.ports import Body, Ledger, MadeCopy, NewObject
from s3proxy.manager.upload_ports import UploadLedger
from s3proxy.model import Claim, Copy, CopyCount, ObjectInfo, PartInfo
from s3proxy.plan.description import describe, describes_fully
from s3proxy.s3.operation import PutObject
from s3proxy.s3.uploads import UploadPart

R = TypeVar("R", covariant=True)


class Write(Protocol[R]):
    """
    What the writer must know of a body, and the two transactions around it.

    :ivar content_length: In bytes.
    :ivar content_md5: What the client promised, in hex, or None.
    :ivar checksums: What else it promised: algorithm to base64 value.
    :ivar goes_to_several: Whether ``replication.write_quorum`` holds for it.
    """

    @property
    def content_length(self) -> int: ...
    @property
    def content_md5(self) -> str | None: ...
    @property
    def checksums(self) -> dict[str, str]: ...
    @property
    def goes_to_several(self) -> bool: ...

    async def claim(
        self, backends: Sequence[str], count: CopyCount
    ) -> tuple[Claim, ...]:
        """
        Charge and name the bytes on the first of *backends* with room.

        :returns: A claim for each; of what goes to one backend, one.
        """
        ...

    def headers(self, copy: Copy) -> dict[str, str]:
        """What the backend object says of itself."""
        ...

    async def commit(self, made: Sequence[MadeCopy], md5: str, least: int) -> R:
        """Make the claims live; errors as of ``Ledger.commit_copies``."""
        ...

    def settled(self, md5: str) -> R:
        """The result where the commit stands and its answer was lost."""
        ...


@frozen
class ObjectWrite:
    """PutObject: the body becomes the object's only part."""

    _op: PutObject
    _body: Body
    _ledger: Ledger
    _installation_id: str
    goes_to_several: bool = field(default=True, init=False)

    @property
    def content_length(self) -> int:
        """See :class:`Write`."""
        return self._op.content_length

    @property
    def content_md5(self) -> str | None:
        """See :class:`Write`."""
        return self._op.content_md5

    @property
    def checksums(self) -> dict[str, str]:
        """See :class:`Write`."""
        return self._op.checksums

    async def claim(
        self, backends: Sequence[str], count: CopyCount
    ) -> tuple[Claim, ...]:
        """See :class:`Write`; or PreconditionFailed."""
        op = self._op
        return await self._ledger.claim_copies(
            backends, op.bucket, op.key, op.content_length, op.conditions, count
        )

    def headers(self, copy: Copy) -> dict[str, str]:
        """See :class:`Write`."""
        op = self._op
        return describe(
            copy,
            installation_id=self._installation_id,
            bucket=op.bucket,
            key=op.key,
            part_number=1,
            content_type=op.content_type,
            user_metadata=op.user_metadata,
            checksums=op.checksums,
        )

    async def commit(
        self, made: Sequence[MadeCopy], md5: str, least: int
    ) -> ObjectInfo:
        """See :class:`Write`; or PreconditionFailed, the claims abandoned."""
        op = self._op
        new = NewObject(
            bucket=op.bucket,
            key=op.key,
            size_bytes=op.content_length,
            md5=md5,
            content_type=op.content_type,
            headers=op.headers,
            user_metadata=op.user_metadata,
            checksums=_all_checksums(op, self._body),
            # The backend object tells its ETag, and in it the MD5, or neither.
            needs_manifest=any((each.stored.etag or "").lower() != md5 for each in made)
            or not describes_fully(
                self.headers(made[0].claim.copy),
                op.content_type,
                op.headers,
                op.user_metadata,
                op.tags,
            ),
            tags=op.tags,
        )
        return await self._ledger.commit_copies(made, new, op.conditions, least)

    def settled(self, md5: str) -> ObjectInfo:
        """See :class:`Write`; the time is this process's, as good as any."""
        op = self._op
        return ObjectInfo(
            bucket=op.bucket,
            key=op.key,
            object_id="",
            size_bytes=op.content_length,
            etag=md5,
            content_type=op.content_type,
            last_modified=datetime.now(UTC),
            headers=op.headers,
            user_metadata=op.user_metadata,
            checksums=_all_checksums(op, self._body),
            tags=op.tags,
        )


@frozen
class PartWrite:
    """UploadPart: the body becomes a part of an open upload."""

    _op: UploadPart
    _body: Body
    _uploads: UploadLedger
    _installation_id: str
    goes_to_several: bool = field(default=True, init=False)

    @property
    def content_length(self) -> int:
        """See :class:`Write`."""
        return self._op.content_length

    @property
    def content_md5(self) -> str | None:
        """See :class:`Write`."""
        return self._op.content_md5

    @property
    def checksums(self) -> dict[str, str]:
        """See :class:`Write`."""
        return self._op.checksums

    async def claim(
        self, backends: Sequence[str], count: CopyCount
    ) -> tuple[Claim, ...]:
        """See :class:`Write`; or NoSuchUpload."""
        op = self._op
        return await self._uploads.claim_part_copies(
            backends,
            op.upload_id,
            op.bucket,
            op.key,
            op.part_number,
            op.content_length,
            count,
        )

    def headers(self, copy: Copy) -> dict[str, str]:
        """See :class:`Write`."""
        op = self._op
        return describe(
            copy,
            installation_id=self._installation_id,
            bucket=op.bucket,
            key=op.key,
            part_number=op.part_number,
            content_type=None,
            user_metadata={},
            upload_id=op.upload_id,
        )

    async def commit(self, made: Sequence[MadeCopy], md5: str, least: int) -> PartInfo:
        """See :class:`Write`; or NoSuchUpload, the claims abandoned."""
        part = self.settled(md5)
        last_modified = await self._uploads.commit_part_copies(
            made, self._op.upload_id, part, least
        )
        return evolve(part, last_modified=last_modified)

    def settled(self, md5: str) -> PartInfo:
        """See :class:`Write`."""
        op = self._op
        return PartInfo(
            op.part_number,
            md5,
            op.content_length,
            _all_checksums(op, self._body),
            datetime.now(UTC),
        )


def _all_checksums(op: PutObject | UploadPart, body: Body) -> dict[str, str]:
    """What the headers and, after the whole body, its trailer promised; all hold."""
    trailer: Mapping[str, str] = body.trailer_checksums
    return {**op.checksums, **trailer}
