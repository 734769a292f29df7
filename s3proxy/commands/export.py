"""
``export``: every object as a file of its own name, verified.

Page by page of the ledger's listing, some objects at a time. What is there already with
the same size and hash is passed over, so another run goes on where one was broken off.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TextIO

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from s3proxy.commands import export_tree
from s3proxy.commands.export_reading import Found, Reading, Unreadable, first_copies
from s3proxy.commands.export_tree import NotWritable, Tree
from s3proxy.commands.progress import Progress, size_text
from s3proxy.errors import ConfigError
from s3proxy.manager.patience import all_of
from s3proxy.manager.ports import Backend, Ledger
from s3proxy.model import ObjectInfo
from s3proxy.plan.exporting import FilePath, file_path

#: Objects under way at once, and objects of a page.
PARALLEL, PAGE = 8, 1000

#: Between two looks at how far it is, on a terminal and elsewhere.
_BAR_SECONDS, _LINE_SECONDS = 0.5, 10.0


class Directories(Protocol):
    """``store.exporting.Exports``."""

    async def directories(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Those of *keys* that are the directories of others."""
        ...


@frozen
class Source:
    """
    What is exported.

    :ivar backends: The configured ones, by name.
    :ivar buckets: Those that clients can see.
    :ivar grace_seconds: ``ledger.grace``.
    """

    ledger: Ledger
    directories: Directories
    backends: Mapping[str, Backend]
    buckets: Sequence[str]
    grace_seconds: float
    clock: IReactorTime


@define
class _Tally:
    """What became of the objects so far; *calls* and *bytes_from* are by backend."""

    counts: Counter[str] = field(factory=Counter)
    bytes_written: int = 0
    bytes_read: int = 0
    calls: Counter[str] = field(factory=Counter)
    bytes_from: Counter[str] = field(factory=Counter)
    unverified: int = 0


async def run(
    source: Source,
    *,
    to: str,
    bucket: str | None,
    prefix: str,
    dry_run: bool,
    out: TextIO,
    page: int = PAGE,
) -> int:
    """
    Export, and print progress, every problem and a summary to *out*.

    :param to: The directory; it is made where it is missing.
    :param bucket: None: all of them.
    :param prefix: Only keys that begin so.
    :param dry_run: Only tell; nothing is written, and no backend is asked.
    :returns: 0 where every object is there; 1 where some are not, which are told.
    :raises ConfigError: There is no such bucket, or the directory cannot be written to,
        or is full.
    :raises StoreUnavailable: What is written stays, and another run goes on.
    """
    if bucket is not None and bucket not in source.buckets:
        names = ", ".join(sorted(source.buckets))
        raise ConfigError(
            f"export: --bucket {bucket}: there is none, want one of {names}"
        )
    if "://" in to:
        raise ConfigError(
            f"export: --to {to}: s3proxy exports to a directory only; any S3 client "
            "copies from s3proxy itself to another service"
        )
    buckets = [bucket] if bucket is not None else sorted(source.buckets)
    directory = Path(to)
    progress = Progress(out, source.clock)
    progress.start()
    try:
        if dry_run:
            with export_tree.looking(directory) as root:
                export = _Export(source, progress, prefix, page, None, root)
                return await export.run(buckets)
        tree = Tree.open(directory)
        try:
            return await _Export(source, progress, prefix, page, tree, None).run(
                buckets
            )
        finally:
            tree.close()
    except OSError as why:
        raise ConfigError(f"export: {directory}: {why.strerror}") from why


@define(eq=False)
class _Export:
    """
    One run.

    :ivar tree: None of a dry run, which looks at *root* alone, if that is there.
    """

    _source: Source
    _progress: Progress
    _prefix: str
    _page: int
    _tree: Tree | None
    _root: int | None
    _tally: _Tally = field(factory=_Tally)
    _told_at: float = float("-inf")
    _is_over: bool = False
    _reading: Reading = field(init=False)

    def __attrs_post_init__(self) -> None:
        source = self._source
        self._reading = Reading(
            source.ledger,
            source.backends,
            source.clock,
            source.grace_seconds,
            self._heard,
        )

    async def run(self, buckets: Sequence[str]) -> int:
        for bucket in buckets:
            await self._bucket(bucket)
        self._tell_summary()
        return 1 if self._tally.counts["problem"] else 0

    async def _bucket(self, bucket: str) -> None:
        gate, after = DeferredSemaphore(PARALLEL), ""
        while True:
            page = await self._source.ledger.list_objects(
                bucket, self._prefix, "", after, self._page
            )
            directories = await self._source.directories.directories(
                bucket, [info.key for info in page.contents]
            )

            def export(
                info: ObjectInfo, found: set[str] = directories
            ) -> Deferred[None]:
                path = file_path(info.bucket, info.key, is_directory=info.key in found)
                return Deferred.fromCoroutine(self._object(info, path))

            await all_of([gate.run(export, info) for info in page.contents])
            if page.next_after is None:
                return
            after = page.next_after

    async def _object(self, info: ObjectInfo, path: FilePath) -> None:
        if self._is_over:
            return
        try:
            found = await self._reading.find(info.bucket, info.key)
            if found is None:
                self._tally.counts["gone"] += 1
            elif await self._is_there(found, path):
                self._tally.counts["skipped"] += 1
            elif self._tree is None:
                self._would(found, path)
            else:
                await self._write(self._tree, found, path)
        except (Unreadable, NotWritable) as why:
            self._tally.counts["problem"] += 1
            self._progress.line(f"{info.bucket}: not exported: {info.key!r}: {why}")
        except BaseException:
            # A full disk, a ledger that is away: the rest of the page need not try.
            self._is_over = True
            raise
        self._tell()

    async def _is_there(self, found: Found, path: FilePath) -> bool:
        if self._tree is not None:
            with self._tree.reading(path) as fd:
                return fd is not None and await self._reading.is_in(found, fd)
        if self._root is None:
            return False
        with export_tree.reading(self._root, path) as fd:
            return fd is not None and await self._reading.is_in(found, fd)

    def _would(self, found: Found, path: FilePath) -> None:
        for part in found.parts:
            for name in first_copies([part], self._source.backends):
                self._tally.calls[name] += 1
                self._tally.bytes_from[name] += part.size_bytes
        self._count(found, path)

    async def _write(self, tree: Tree, found: Found, path: FilePath) -> None:
        with tree.draft() as draft:
            written = await self._reading.into(found, draft)
            if written is None:
                self._tally.counts["gone"] += 1
                return
            info = written.info
            line = _index_line(info, path)
            await tree.keep(draft, path, info.last_modified.timestamp(), line)
        self._count(written, path)

    def _count(self, found: Found, path: FilePath) -> None:
        self._tally.counts["written"] += 1
        self._tally.bytes_written += found.info.size_bytes
        if path.is_escaped:
            self._tally.counts["escaped"] += 1
        if not found.is_verifiable:
            self._tally.unverified += 1

    def _heard(self, count_bytes: int) -> None:
        self._tally.bytes_read += count_bytes
        self._tell()

    def _tell(self) -> None:
        now = self._source.clock.seconds()
        is_terminal = self._progress.out.isatty()
        if now - self._told_at < (_BAR_SECONDS if is_terminal else _LINE_SECONDS):
            return
        is_first, self._told_at = self._told_at < 0, now
        if is_first and not is_terminal:
            return
        counts = self._tally.counts
        self._progress.page(
            counts["written"],
            f"{self._verb} {counts['written']:,} "
            f"({size_text(self._tally.bytes_written)}), read "
            f"{size_text(self._tally.bytes_read)}, passed over {counts['skipped']:,}, "
            f"problems {counts['problem']:,}",
        )

    @property
    def _verb(self) -> str:
        return "would export" if self._tree is None else "exported"

    def _tell_summary(self) -> None:
        tally, counts, tell = self._tally, self._tally.counts, self._progress.line
        for name, count in sorted(tally.calls.items()):
            tell(f"{name}: {count:,} GETs, {tally.bytes_from[name]:,} bytes")
        if counts["escaped"]:
            tell(
                f"{counts['escaped']:,} under escaped names, for no file can have "
                "theirs: see .s3proxy-export/index.jsonl"
            )
        if tally.unverified:
            tell(
                f"{tally.unverified:,} could not be verified: the ledger knows no hash "
                "of them (they were taken in by sync)"
            )
        if counts["gone"]:
            tell(f"{counts['gone']:,} were deleted meanwhile")
        tell(
            f"{self._verb} {counts['written']:,} objects, {tally.bytes_written:,} "
            f"bytes; passed over {counts['skipped']:,} that are there; "
            f"problems {counts['problem']:,}"
        )


def _index_line(info: ObjectInfo, path: FilePath) -> str:
    """What a file cannot say of an object, as a line of JSON."""
    told = {
        "bucket": info.bucket,
        "key": info.key,
        "path": "/".join(path.segments),
        "escaped": path.is_escaped,
        "size": info.size_bytes,
        "etag": info.etag,
        "last_modified": info.last_modified.isoformat(),
        "content_type": info.content_type,
        "headers": dict(info.headers),
        "metadata": dict(info.user_metadata),
        "tags": dict(info.tags),
        "checksums": dict(info.checksums),
    }
    return json.dumps(told)
