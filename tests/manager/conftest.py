"""Fixtures of this room's tests: a stage with everything in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.manager.leases import Leases
from s3proxy.manager.objects import Objects
from s3proxy.manager.routing import Router
from s3proxy.manager.writing import Writer
from s3proxy.model import Copy, CopyCount
from s3proxy.plan.placement import Target
from tests.fakes.backend import MemoryBackend, MemoryDownload, MemoryUpload
from tests.fakes.ledger import MemoryLedger

LEASE_SECONDS = 600.0
GRACE_SECONDS = 60.0


class WatchedBackend(MemoryBackend):
    """Keeps what was opened, for a look afterwards."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.uploads: list[MemoryUpload] = []
        self.downloads: list[MemoryDownload] = []
        self.puts: list[tuple[Copy, dict[str, str], str | None, str | None]] = []
        self.gets: list[tuple[str, int, int]] = []

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> MemoryUpload:
        """Begin a PUT, and remember it."""
        self.puts.append((copy, headers, sha256, md5))
        upload = await super().open_put(copy, headers, sha256=sha256, md5=md5)
        self.uploads.append(upload)
        return upload

    async def open_get(self, copy: Copy, start: int, end: int) -> MemoryDownload:
        """Begin a GET, and remember it."""
        self.gets.append((copy.copy_id, start, end))
        download = await super().open_get(copy, start, end)
        self.downloads.append(download)
        return download


class Pieces:
    """
    A request's body: these pieces, then the end.

    An exception among them is raised; a Deferred is waited for, and gives a piece.
    """

    def __init__(self, *pieces: bytes | Exception | Deferred[bytes]) -> None:
        self._left = list(pieces)
        self.reads = 0
        self._trailer: dict[str, str] = {}

    def then(self, **trailer_checksums: str) -> Self:
        """These come after the last piece."""
        self._trailer = trailer_checksums
        return self

    @property
    def trailer_checksums(self) -> dict[str, str]:
        """See :class:`s3proxy.manager.ports.Body`."""
        return {} if self._left else self._trailer

    async def read(self) -> bytes:
        """See :class:`s3proxy.manager.ports.Body`."""
        self.reads += 1
        piece = self._left.pop(0) if self._left else b""
        if isinstance(piece, Exception):
            raise piece
        return await piece if isinstance(piece, Deferred) else piece


class Stage:
    """
    A manager over a ledger and two backends, ``one`` before ``two``.

    :cvar names: Of the backends, in order.
    :cvar count: To how many of them a body goes at once.
    :ivar abandoned: Backends where the writer said that something is to be deleted.
    """

    names: ClassVar[tuple[str, ...]] = ("one", "two")
    count: ClassVar[CopyCount] = CopyCount()

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = self.make_ledger()
        self.backends = {name: WatchedBackend(name) for name in self.names}
        self.one, self.two = self.backends["one"], self.backends["two"]
        guarded = {
            name: GuardedBackend(each, self.clock, self.clock.seconds)
            for name, each in self.backends.items()
        }
        health = Health(guarded)
        targets = [Target(name) for name in self.names]
        self.router = Router(targets, "pack", health)
        self.leases = Leases(self.ledger, self.clock.seconds)
        self.abandoned: list[str] = []
        self.writer = Writer(
            self.ledger,
            self.leases,
            guarded,
            self.router,
            "installation",
            self.clock.seconds,
            self.abandoned.append,
            self.count,
        )
        self.objects = Objects(
            self.ledger, guarded, self.writer, self.clock, GRACE_SECONDS, health
        )

    def make_ledger(self) -> MemoryLedger:
        """The ledger, with backends without limits."""
        return MemoryLedger(
            self.clock,
            dict.fromkeys(self.names, 0),
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
        )

    def rows(self) -> Sequence[tuple[str, str, bool]]:
        """Every copy's backend, state and whether it is deleted twice, by age."""
        return [
            (row.copy.backend_name, row.state.value, row.delete_twice)
            for row in self.ledger.rows.values()
        ]

    @property
    def held(self) -> int:
        """How many leases are still watched over."""
        return len(self.leases._held)


@pytest.fixture
def stage() -> Stage:
    """Everything in memory."""
    return Stage()
