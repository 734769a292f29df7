"""What the manager needs of the ledger for multipart uploads, as a Protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from s3proxy.manager.ports import MadeCopy
from s3proxy.model import (
    Claim,
    Completed,
    CompletedPart,
    CopyCount,
    PartInfo,
    UploadInfo,
    UploadPage,
    WriteConditions,
)


@frozen
class NewUpload:
    """What CreateMultipartUpload says of the object to come."""

    bucket: str
    key: str
    content_type: str | None
    headers: dict[str, str] = field(factory=dict)
    user_metadata: dict[str, str] = field(factory=dict)
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    tags: dict[str, str] = field(factory=dict)


class UploadLedger(Protocol):
    """
    Multipart uploads in the ledger; failures as of ``ports.Ledger``.

    Where a method takes an upload id with bucket and key, an upload of another bucket
    or key, or one that is not open, raises NoSuchUpload.
    """

    async def create(self, new: NewUpload) -> str:
        """Open an upload; returns its id, which nobody can guess."""
        ...

    async def claim_part_copies(
        self,
        backends: Sequence[str],
        upload_id: str,
        bucket: str,
        key: str,
        part_number: int,
        size_bytes: int,
        count: CopyCount,
    ) -> tuple[Claim, ...]:
        """
        Name and charge a part, on the first of *backends* with room.

        :returns: A claim for each of them.
        :raises InsufficientStorage: Fewer than ``count.least`` have room.
        """
        ...

    async def commit_part_copies(
        self,
        made: Sequence[MadeCopy],
        upload_id: str,
        part: PartInfo,
        least: int,
    ) -> datetime:
        """
        Make the claims the upload's part of that number; an earlier one is garbage.

        :param least: So many must be ``claimed`` yet; those that are not are left out.
        :returns: The part's Last-Modified.
        :raises NoSuchUpload: It was completed or aborted meanwhile; the claims are
            abandoned in the same transaction.
        :raises ClaimLost: Fewer were ``claimed``; they are yet.
        :raises OutcomeUnknown: The connection broke; call ``Ledger.settle``.
        """
        ...

    async def complete(
        self,
        upload_id: str,
        bucket: str,
        key: str,
        parts: Sequence[CompletedPart],
        conditions: WriteConditions,
        *,
        least_part_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> Completed:
        """
        Turn parts into the object, in one transaction; a repeat gets the same answer.

        :param parts: Ascending by number.
        :param least_part_bytes: Of all parts but the last; S3's 5 MiB when None.
        :param checksums: The object's: algorithm to base64 value.
        :raises InvalidPart: One is not there, or has another ETag.
        :raises EntityTooSmall: One that is not the last is under 5 MiB.
        :raises PreconditionFailed: *conditions* do not hold; or NoSuchKey, of If-Match
            where there is no object. The upload stays open.
        """
        ...

    async def abort(self, upload_id: str, bucket: str, key: str) -> None:
        """Turn all parts to garbage; parts under way find the upload gone."""
        ...

    async def find(self, upload_id: str, bucket: str, key: str) -> UploadInfo:
        """An open upload."""
        ...

    async def list_parts(
        self, upload_id: str, after: int, limit: int
    ) -> tuple[list[PartInfo], bool]:
        """Parts with a number over *after*, and whether there are more."""
        ...

    async def list_uploads(
        self,
        bucket: str,
        prefix: str,
        delimiter: str,
        key_marker: str,
        upload_id_marker: str,
        limit: int,
    ) -> UploadPage:
        """Open uploads after the markers, by key, then by time."""
        ...
