"""
The directory that an export writes to, and nothing outside it.

Every step goes from the handle of one directory to the next, and none through a
symbolic link. A file is written under a temporary name, brought to the disk, and then
renamed: under an object's name there is never a part of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define
from twisted.internet.threads import deferToThread

from s3proxy.errors import ConfigError
from s3proxy.plan.exporting import OWN, FilePath

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OF_THE_NAME = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.EXDEV}
)
_DRAFTS, _INDEX, _LOCK = "tmp", "index.jsonl", "lock"


class NotWritable(Exception):
    """One file cannot be written; the text says why, and others may be."""


@define(eq=False)
class Draft:
    """A file that has no name of its own yet."""

    name: str
    fd: int

    def write(self, data: bytes) -> None:
        """More bytes. :raises OSError: As of the system."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def back_to(self, offset: int) -> None:
        """Forget what was written from *offset* on."""
        os.ftruncate(self.fd, offset)
        os.lseek(self.fd, offset, os.SEEK_SET)


@define(eq=False)
class Tree:
    """Close it in the end."""

    _root: int
    _own: int
    _drafts: int
    _index: int
    _lock: int
    _count: int = 0

    @classmethod
    def open(cls, directory: Path) -> Self:
        """
        Make what is missing, and take hold of it.

        :raises ConfigError: It cannot be made, or another export is at work there.
        """
        opened: list[int] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.append(root)
            own = _enter(root, OWN)
            opened.append(own)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(_LOCK, flags, 0o666, dir_fd=own)
            opened.append(lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"export: {directory}: another export is at work there"
                ) from None
            drafts = _enter(own, _DRAFTS)
            opened.append(drafts)
            # Of an export that was killed; nobody else is at it.
            for name in os.listdir(drafts):
                os.unlink(name, dir_fd=drafts)
            index = os.open(_INDEX, flags | os.O_APPEND, 0o666, dir_fd=own)
            opened.append(index)
            _end_line(index)
        except OSError as why:
            _close(opened)
            raise ConfigError(
                f"export: {directory}: cannot be written to: {why.strerror}"
            ) from None
        except ConfigError:
            _close(opened)
            raise
        return cls(root, own, drafts, index, lock)

    def close(self) -> None:
        """Bring the index to the disk, and let go."""
        os.fsync(self._index)
        _close([self._root, self._own, self._drafts, self._index, self._lock])

    @contextmanager
    def reading(self, path: FilePath) -> Iterator[int | None]:
        """
        The handle of a file that is there already; None: there is none.

        :raises NotWritable: Something else is there, or a symbolic link leads there.
        """
        with reading(self._root, path) as fd:
            yield fd

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """An empty file; it goes, unless it was kept."""
        self._count += 1
        name = str(self._count)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o666, dir_fd=self._drafts)
        try:
            yield Draft(name, fd)
        finally:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._drafts)

    async def keep(
        self, draft: Draft, path: FilePath, modified: float, line: str
    ) -> None:
        """
        Give a draft its name, in place of a plain file that may have it.

        :param modified: The file's time, in seconds.
        :param line: Of the index, written before the file has its name.
        :raises NotWritable: Something else has that name, or a directory's.
        """
        *_, name = path.segments
        with _explained(path):
            os.utime(draft.fd, (modified, modified))
            # Beside the reactor: a disk takes several files in the time of one.
            await deferToThread(os.fsync, draft.fd)
            parent = self._make(path.segments[:-1])
            try:
                with suppress(FileNotFoundError):
                    there = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    _check_plain(there, path)
                os.write(self._index, line.encode() + b"\n")
                if path.is_escaped:
                    os.fsync(self._index)
                os.rename(draft.name, name, src_dir_fd=self._drafts, dst_dir_fd=parent)
                await deferToThread(_sync_directory, parent)
            finally:
                os.close(parent)

    def _make(self, names: tuple[str, ...]) -> int:
        fd = os.dup(self._root)
        for name in names:
            try:
                inner = _enter(fd, name)
            finally:
                os.close(fd)
            fd = inner
        return fd


def _sync_directory(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as why:
        # Some file systems of the network have no such thing.
        if why.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def looking(directory: Path) -> Iterator[int | None]:
    """The handle of a directory that is only looked into; None: it is not there."""
    try:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as why:
        raise ConfigError(f"export: {directory}: {why.strerror}") from None
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def reading(root: int, path: FilePath) -> Iterator[int | None]:
    """See :meth:`Tree.reading`."""
    *names, last = path.segments
    fd = os.dup(root)
    try:
        with _explained(path):
            try:
                for name in names:
                    inner = os.open(name, _DIRECTORY, dir_fd=fd)
                    os.close(fd)
                    fd = inner
                there = os.stat(last, dir_fd=fd, follow_symlinks=False)
                _check_plain(there, path)
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                found = os.open(last, flags, dir_fd=fd)
            except FileNotFoundError:
                found = None
    finally:
        os.close(fd)
    if found is None:
        yield None
        return
    try:
        yield found
    finally:
        os.close(found)


def _enter(parent: int, name: str) -> int:
    """A directory within another one, made where it is missing."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        pass
    else:
        _sync_directory(parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _check_plain(there: os.stat_result, path: FilePath) -> None:
    if not stat.S_ISREG(there.st_mode):
        raise NotWritable(
            f"{'/'.join(path.segments)!r} is there and is no plain file; move it away, "
            "and run this again"
        )


@contextmanager
def _explained(path: FilePath) -> Iterator[None]:
    """
    Faults of one path as NotWritable; those that every path would have stay.

    :raises OSError: The disk is full, and the like.
    """
    shown = repr("/".join(path.segments))
    try:
        yield
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        raise NotWritable(
            f"on the way to {shown} a file or a symbolic link stands where a directory "
            "is needed; move it away, and run this again"
        ) from None
    except PermissionError as why:
        raise NotWritable(f"{shown}: {why.strerror}") from None
    except OSError as why:
        if why.errno in _OF_THE_NAME:
            raise NotWritable(f"{shown}: {why.strerror}") from None
        raise


def _end_line(index: int) -> None:
    """A line that was cut off by a power failure must not take the next one with it."""
    end = os.lseek(index, 0, os.SEEK_END)
    if end and os.pread(index, 1, end - 1) != b"\n":
        os.write(index, b"\n")


def _close(handles: list[int]) -> None:
    for fd in handles:
        os.close(fd)
