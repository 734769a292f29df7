"""Who owns the servers of a data directory: whoever holds its lock."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from s3proxy.embedded.errors import EmbeddedError


class DirectoryLock:
    """A lock that the kernel gives back when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """
        Take it, without waiting.

        :returns: Whether it is ours now.
        :raises EmbeddedError: The file cannot be opened.
        """
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as why:
            raise EmbeddedError(
                f"{self._path} cannot be opened: {why.strerror}; this data_dir belongs "
                "to another user: be that user, or set another data_dir"
            ) from why
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give it back; fine when it is not ours."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
