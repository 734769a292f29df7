"""
``restore``: an empty ledger, filled from the newest catalogue on the backends.

All of it is read and verified before a row is written, and all rows are one
transaction: broken off, nothing has changed, and it can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Protocol, TextIO

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from s3proxy.errors import ConfigError
from s3proxy.manager.backing_up import spool
from s3proxy.manager.ports import Backend
from s3proxy.manager.restoring import Candidate, Search, Verified
from s3proxy.plan.catalogue import NOT_EMPTY

_NEXT = """\
Nothing is deleted on any backend from now on, until somebody says so. Next:
  1. s3proxy sync --rebuild           what was stored since the backup
  2. start a daemon, s3proxy check    what was deleted since is named: delete it again
  3. s3proxy sweep --accept-restore   see docs/sweeping.md
"""


class Ledger(Protocol):
    """``store.catalogue.Catalogues``; StoreUnavailable is any method's."""

    async def is_empty(self) -> bool:
        """Whether it holds nothing."""
        ...

    async def at_work(self) -> str | None:
        """A daemon that uses it, or did so of late."""
        ...

    async def load(
        self, file: IO[bytes], said: Callable[[int], object] | None = None
    ) -> int:
        """Fill it, in one transaction; how many rows."""
        ...


@frozen
class Pool:
    """What there is to restore from, and to."""

    ledger: Ledger
    backends: Mapping[str, Backend]
    clock: IReactorTime


async def run(
    pool: Pool,
    *,
    installation: str | None = None,
    backup: str | None = None,
    dry_run: bool,
    out: TextIO,
) -> int:
    """
    Find a catalogue, verify it, and load it.

    :param installation: Whose; None: there must be those of one only.
    :param backup: The name of the one to take; None: the newest that is whole.
    :param dry_run: Load nothing, and name all that there are; the ledger may hold
        something.
    :returns: 0; 1 where there is none that is whole, the ledger is not empty, or a
        daemon uses it.
    :raises ConfigError: There are several installations', and none is named.
    :raises BackendError: No backend can be listed.
    """

    def tell(line: str) -> None:
        out.write(f"{line}\n")

    if not dry_run and (reason := await _refusal(pool.ledger)):
        tell(reason)
        return 1
    search = Search(pool.backends, pool.clock, tell)
    candidates = _of(await search.candidates(), installation)
    if dry_run:
        for each in candidates:
            tell(f"found {each.key} on {each.backend_name}, {each.size_bytes:,} bytes")
    if backup is not None:
        candidates = [each for each in candidates if each.key == backup]
    with spool() as file:
        found = await search.newest(candidates, file)
        if found is None:
            tell(
                f"{len(candidates)} catalogues, and none can be used: nothing was "
                "restored. Without one, s3proxy sync --rebuild makes a ledger from "
                "the objects themselves (docs/sync.md)"
            )
            return 1
        _tell(found, "would restore" if dry_run else "restoring", tell)
        if dry_run:
            return 0
        rows = await pool.ledger.load(file)
    tell(f"restored {rows:,} rows of installation {found.header.installation_id}")
    out.write(_NEXT)
    return 0


async def _refusal(ledger: Ledger) -> str | None:
    if not await ledger.is_empty():
        return NOT_EMPTY
    # It would go on with the identity that the ledger has had until now.
    daemon = await ledger.at_work()
    if daemon is None:
        return None
    return (
        f"daemon {daemon} was at work less than two minutes ago: stop every daemon, "
        "and run this again then"
    )


def _of(candidates: list[Candidate], installation: str | None) -> list[Candidate]:
    newest: dict[str, str] = {}
    for each in candidates:
        newest.setdefault(each.installation_id, each.key)
    if installation is None and len(newest) > 1:
        names = ", ".join(f"{name} (newest: {key})" for name, key in newest.items())
        raise ConfigError(
            f"there are catalogues of several installations: {names}; say which with "
            "--installation ID"
        )
    if installation is None:
        return candidates
    return [each for each in candidates if each.installation_id == installation]


def _tell(found: Verified, verb: str, tell: Callable[[str], object]) -> None:
    counts = found.counts
    tell(
        f"{verb} {found.candidate.key}, from {found.candidate.backend_name}: taken at "
        f"{found.header.taken_at:%Y-%m-%d %H:%M:%S %Z}, {counts['objects']:,} objects, "
        f"{counts['object_locations']:,} copies, "
        f"{counts['multipart_uploads']:,} uploads"
    )
