"""A stage whose ledger knows uploads, and what its tests do there."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import md5 as md5_of
from typing import Any

from s3proxy.manager.copying import Copies
from s3proxy.manager.uploads import Uploads
from s3proxy.model import Completed, CompletedPart, PartInfo
from s3proxy.s3.operation import PutObject
from s3proxy.s3.uploads import (
    CompleteMultipartUpload,
    CreateMultipartUpload,
    UploadPart,
)
from tests.fakes.uploads import ManifestLedger, MemoryUploads
from tests.manager.conftest import GRACE_SECONDS, LEASE_SECONDS, Pieces, Stage

MIB = 1024 * 1024
#: The least that a part may be when it is not the last.
FIRST = bytes(range(256)) * (5 * MIB // 256)


def md5(data: bytes) -> str:
    """In hex."""
    return md5_of(data).hexdigest()


class UploadStage(Stage):
    """
    A manager that knows uploads and copies, over everything in memory.

    :ivar uploads: The operations; *upload_ledger* is what they stand on.
    """

    def __init__(self) -> None:
        super().__init__()
        assert isinstance(self.ledger, ManifestLedger)
        self.manifests = self.ledger
        self.upload_ledger = MemoryUploads(self.ledger)
        self.uploads = Uploads(self.upload_ledger, self.writer, "installation")
        self.copies = Copies(
            self.objects, self.ledger, self.upload_ledger, self.writer, "installation"
        )

    def make_ledger(self) -> ManifestLedger:
        """The ledger, with two backends without limits."""
        return ManifestLedger(
            self.clock,
            dict.fromkeys(self.names, 0),
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
        )

    async def create(self, key: str = "k", **more: Any) -> str:
        """Open an upload."""
        return await self.uploads.create(CreateMultipartUpload("b", key, **more))

    async def put_part(
        self, upload_id: str, number: int, data: bytes, key: str = "k", **more: Any
    ) -> PartInfo:
        """Send a part."""
        op = UploadPart("b", key, upload_id, number, len(data), **more)
        return await self.uploads.put_part(op, Pieces(*pieces(data)), sha256=None)

    async def complete(
        self, upload_id: str, parts: Sequence[PartInfo], key: str = "k", **more: Any
    ) -> Completed:
        """Complete with these parts."""
        return await self.uploads.complete(
            CompleteMultipartUpload("b", key, upload_id, **more),
            [CompletedPart(each.part_number, each.etag) for each in parts],
        )

    async def upload(
        self, key: str, *bodies: bytes, checksums: Any = None, **more: Any
    ) -> Completed:
        """An object of these parts, of any size."""
        upload_id = await self.create(key, **more)
        parts = [
            await self.put_part(upload_id, number, data, key)
            for number, data in enumerate(bodies, 1)
        ]
        listed = [CompletedPart(each.part_number, each.etag) for each in parts]
        return await self.upload_ledger.complete(
            upload_id,
            "b",
            key,
            listed,
            CompleteMultipartUpload("b", key, upload_id).conditions,
            least_part_bytes=0,
            checksums=checksums,
        )

    async def put(self, key: str, data: bytes, **more: Any) -> None:
        """A plain PUT."""
        op = PutObject("b", key, len(data), **more)
        await self.objects.put(op, Pieces(*pieces(data)), sha256=None)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes of an object."""
        stored = await self.objects.find("b", key)
        end = stored.info.size_bytes if end is None else end
        reader = await self.objects.open(stored, start, end)
        data = b""
        while piece := await reader.read():
            data += piece
        return data

    def calls(self) -> int:
        """How many calls both backends have seen."""
        return sum(self.one.calls.values()) + sum(self.two.calls.values())

    def heal(self) -> None:
        """No more faults."""
        for backend in (self.one, self.two):
            backend._faults.clear()

    def live_bytes(self) -> int:
        """The sum of the rows that are live or claimed."""
        return sum(
            row.copy.size_bytes
            for row in self.ledger.rows.values()
            if row.state.value in ("live", "claimed")
        )


def pieces(data: bytes) -> list[bytes]:
    """A body as it arrives."""
    return [data[at : at + 65536] for at in range(0, len(data), 65536)]
