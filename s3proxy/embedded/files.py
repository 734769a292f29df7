"""Directories and private files of the embedded servers."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from s3proxy.embedded.binaries import Account
from s3proxy.embedded.errors import EmbeddedError


def prepare_data_dir(data_dir: Path, who: Account | None) -> None:
    """
    Make the directory that holds everything, open to nobody but its owner.

    Where the servers run as another user than we do, that user may pass through it.

    :raises EmbeddedError: It cannot be made, or that user cannot get there.
    """
    try:
        for parent in reversed(data_dir.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)
        data_dir.mkdir(mode=0o700, exist_ok=True)
        if who is not None and data_dir.stat().st_uid == os.geteuid():
            data_dir.chmod(0o711)
    except OSError as why:
        raise EmbeddedError(
            f"data_dir {data_dir} cannot be used: {why.strerror}; set data_dir in the "
            "configuration to a directory that this user can write"
        ) from why
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise EmbeddedError(
            f"data_dir {data_dir} is not writable for this user; set data_dir in the "
            "configuration to another directory"
        )
    if who is not None and not who.can_enter(data_dir):
        closed = who.closed_directory(data_dir)
        raise EmbeddedError(
            f"data_dir {data_dir} lies below {closed}, which the user nobody (as whom "
            "the embedded servers run when s3proxy is root) cannot enter; set data_dir "
            f"to a directory such as /var/lib/s3proxy, or: chmod o+x {closed}"
        )


def own_directory(path: Path, who: Account | None) -> None:
    """Make *path* with mode 0700 and give it to *who* (None: it stays ours)."""
    path.mkdir(mode=0o700, exist_ok=True)
    if who is not None:
        os.chown(path, who.uid, who.gid)


def write_private(path: Path, text: str, who: Account | None = None) -> None:
    """
    Write a file of mode 0600, whole or not at all, whatever dies meanwhile.

    :param who: Its owner, if not we.
    """
    temporary = _write_beside(path, text)
    if who is not None:
        os.chown(temporary, who.uid, who.gid)
    temporary.replace(path)


def create_private(path: Path, text: str) -> bool:
    """
    As :func:`write_private`, but only where there is no such file yet.

    :returns: Whether it was made; false when somebody was faster.
    """
    temporary = _write_beside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def sync_directory(path: Path) -> None:
    """Make the names in *path* as durable as the files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any] | None:
    """
    What the file at *path* holds; None where there is none.

    :raises EmbeddedError: It is not a JSON object, or cannot be read.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as why:
        raise EmbeddedError(f"{path} cannot be read: {why}") from why
    if not isinstance(content, dict):
        raise EmbeddedError(f"{path} is damaged: want a JSON object")
    return content


def _write_beside(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
