"""
Backups: the ledger, packed, stored on backends as an object of ours (rule 52).

The object is one like any other, in a bucket that no client can name: claimed and
counted before its first byte, live by its commit, moved, replicated, scrubbed, swept
and checked like the rest. It waits in a temporary file first, since its size must be
known before it is claimed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from typing import IO, ClassVar, Protocol

from attrs import define, field, frozen
from twisted.logger import Logger

from s3proxy.errors import ServiceUnavailable
from s3proxy.manager.ports import Ledger
from s3proxy.manager.writing import Writer
from s3proxy.plan.catalogue import BUCKET, CONTENT_TYPE, CatalogueError, Header
from s3proxy.s3.operation import PutObject

_PIECE_BYTES = 64 * 1024
#: How often somebody is told that it goes on.
_SAID_BYTES = 16 * 1024 * 1024

#: On so many backends, where there are as many.
COPIES = 2


class CatalogueLedger(Protocol):
    """``store.catalogue.Catalogues``; StoreUnavailable is any method's."""

    async def dump(
        self,
        write: Callable[[bytes], object],
        said: Callable[[], Awaitable[object]] | None = None,
    ) -> tuple[Header, int]:
        """The ledger of one moment, in pieces; its header, and how many rows."""
        ...

    async def is_empty(self) -> bool:
        """Whether the ledger holds nothing."""
        ...

    async def old(self, keep: int) -> Sequence[str]:
        """The keys of all catalogues but the latest *keep*."""
        ...

    async def held(self) -> str | None:
        """Why nothing may be deleted, and no backup be believed; None: all is well."""
        ...


@frozen
class Backup:
    """
    A catalogue that was stored.

    :ivar backends: Where.
    :ivar removed: How many older ones went.
    """

    key: str
    rows: int
    size_bytes: int
    backends: tuple[str, ...]
    removed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.key}: {self.rows:,} rows, {self.size_bytes:,} bytes, on "
            f"{', '.join(self.backends)}; {self.removed:,} older removed"
        )


@define(eq=False)
class Backups:
    """
    Makes backups.

    :ivar writer: Stores on several backends at once.
    :ivar keep: So many stay.
    :ivar wanted: On so many backends one should be.
    """

    _catalogues: CatalogueLedger
    _ledger: Ledger
    _writer: Writer
    _keep: int
    wanted: int
    _log = Logger()

    async def held(self) -> str | None:
        """
        Why no backup is made now; None where one may be.

        Of a ledger that nobody vouches for, or that is new and waits for a restore, it
        would be the newest, and not the best.
        """
        if await self._catalogues.is_empty():
            return "the ledger is empty"
        return await self._catalogues.held()

    async def measure(self) -> tuple[Header, int, int]:
        """What a backup would be: its header, rows, and bytes. None is stored."""
        size = 0

        def count(data: bytes) -> None:
            nonlocal size
            size += len(data)

        header, rows = await self._catalogues.dump(count)
        return header, rows, size

    async def make(self, said: Callable[[], Awaitable[object]] | None = None) -> Backup:
        """
        Make one; older ones go once it is there.

        :param said: Is called now and then, since it may take long.
        :raises CatalogueError: The temporary file cannot be written.
        :raises InsufficientStorage: No backend has room; or ServiceUnavailable.
        """
        digest = md5(usedforsecurity=False)
        with spool() as file:

            def write(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            header, rows = await self._catalogues.dump(write, said)
            size = file.tell()
            file.seek(0)
            op = PutObject(
                BUCKET,
                header.key,
                size,
                content_md5=digest.hexdigest(),
                content_type=CONTENT_TYPE,
            )
            await self._writer.put(op, _FileBody(file, said), sha256=None)
        stored = await self._ledger.find(BUCKET, header.key)
        if stored is None:
            raise ServiceUnavailable(f"{header.key} has gone again.")
        backends = tuple(
            sorted(c.backend_name for part in stored.parts for c in part.copies)
        )
        if len(backends) < self.wanted:
            self._log.warn(
                "{key} is only on {backends}: no other backend took it",
                key=header.key,
                backends=", ".join(backends),
            )
        old = await self._catalogues.old(self._keep)
        for key in old:
            await self._ledger.delete(BUCKET, key)
        return Backup(header.key, rows, size, backends, len(old))


@contextmanager
def spool() -> Iterator[IO[bytes]]:
    """
    A temporary file, which a kill takes along.

    :raises CatalogueError: It cannot be written, or read.
    """
    try:
        with tempfile.TemporaryFile(prefix="s3proxy-catalogue-") as file:
            yield file
    except OSError as why:
        raise CatalogueError(
            f"a temporary file in {tempfile.gettempdir()}: {why.strerror or why}. "
            "TMPDIR names another directory"
        ) from why


@define
class _FileBody:
    """A body that is in a file."""

    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    _file: IO[bytes]
    _said: Callable[[], Awaitable[object]] | None
    _unsaid: int = field(default=0, init=False)

    async def read(self) -> bytes:
        """See :class:`~s3proxy.manager.ports.Body`."""
        piece = self._file.read(_PIECE_BYTES)
        self._unsaid += len(piece)
        if self._said is not None and self._unsaid >= _SAID_BYTES:
            self._unsaid = 0
            await self._said()
        return piece
