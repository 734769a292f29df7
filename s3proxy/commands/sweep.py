"""
``sweep``: what is on the backends and not in the ledger, and the other way round.

All backends are looked at before anything is done: what one of them shows may be a
reason to doubt the ledger. Broken off, it begins anew; what was queued has a row then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Protocol, TextIO

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from s3proxy.errors import BackendError, ConfigError
from s3proxy.manager.patience import patiently
from s3proxy.manager.ports import Backend
from s3proxy.manager.sweeping import Sweeper, SweepLedger
from s3proxy.plan.sweeping import ADVICE, Swept, suspicion
from s3proxy.wording import size

#: Lines of a kind for each backend, unless all are asked for.
LINES = 100


class Ledger(SweepLedger, Protocol):
    """``store.sweeping.PostgresSweeping``."""

    async def held(self) -> str | None:
        """Why nothing may be deleted."""
        ...

    async def suspect(self, word: str) -> None:
        """From now on nothing may be deleted."""
        ...

    async def accept_restore(self) -> None:
        """Somebody vouches for the ledger as it is."""
        ...


@frozen
class Pool:
    """
    What there is to sweep.

    :ivar backends: The configured ones, by name.
    :ivar installation_id: What keys of ours carry.
    """

    ledger: Ledger
    backends: Mapping[str, Backend]
    installation_id: str
    clock: IReactorTime


async def run(
    pool: Pool,
    *,
    backends: Collection[str],
    delete: bool,
    accept_restore: bool,
    show_all: bool,
    out: TextIO,
) -> int:
    """
    Sweep, and print what is found and what is done.

    :param backends: Names; none stands for all.
    :param delete: Queue keys of ours without a row as garbage, and have rows whose
        bytes are gone count no more, where there is another copy.
    :param accept_restore: Vouch for the ledger first.
    :param show_all: Print every key.
    :returns: 0 where nothing is wrong, or all of it has been seen to; 1 else.
    :raises ConfigError: There is no such backend.
    """
    names = list(backends or pool.backends)
    for name in names:
        if name not in pool.backends:
            known = ", ".join(pool.backends)
            raise ConfigError(f"--backend {name}: not configured, want one of {known}")
    if accept_restore:
        await pool.ledger.accept_restore()
        out.write("the ledger is taken as it is: the collector deletes again\n")
    sweeper = Sweeper(
        pool.ledger, pool.backends, pool.installation_id, partial(patiently, pool.clock)
    )
    found: list[Swept] = []
    left = 0
    for name in names:
        try:
            found.append(await sweeper.look(name))
        except BackendError as why:
            out.write(f"{name}: could not be read: {why}\n")
            left += 1
        else:
            _tell(found[-1], out, show_all)
    doubt = suspicion(found)
    if doubt is not None and not accept_restore:
        await pool.ledger.suspect(doubt)
    held = await pool.ledger.held()
    if held is not None:
        out.write(f"NOTHING IS DELETED, here or by any daemon: {held}. {ADVICE}\n")
        return 1
    for swept in found:
        if delete:
            left += await _act(sweeper, swept, out)
        else:
            left += swept.orphan_count + swept.missing_count
            _preview(swept, out)
        left += swept.changed_count + len(swept.misplaced)
    return 1 if left else 0


def _preview(swept: Swept, out: TextIO) -> None:
    if swept.orphan_count:
        out.write(
            f"{swept.backend}: --delete would queue {swept.orphan_count:,} keys "
            f"of ours to be deleted, {size(swept.orphan_bytes)}\n"
        )
    if swept.missing_count:
        out.write(
            f"{swept.backend}: --delete would have {swept.missing_count:,} copies "
            "without bytes count no more, where there are others\n"
        )


#: Outcomes of repairs, as they are told.
_OUTCOMES = {
    "lost": "copies without bytes count no more; replication makes others, up to "
    "replication.factor",
    "rewritten": "manifest copies are written anew",
    "last": "copies without bytes are THE ONLY ONES of their parts, and stay: bring "
    "the backend's objects back, or delete those objects here",
    "upload": "parts of open uploads are gone: their clients must send them again",
}


async def _act(sweeper: Sweeper, swept: Swept, out: TextIO) -> int:
    """Do what is to be done; how much is left."""
    name = swept.backend
    keys, size_bytes = await sweeper.queue(swept)
    rest = swept.orphan_count - keys
    out.write(f"{name}: queued {keys:,} keys to be deleted, {size(size_bytes)}\n")
    if rest:
        out.write(
            f"{name}: {rest:,} keys of ours are left: run it again, or, where a "
            "sync --rebuild was broken off, that first\n"
        )
    outcomes = await sweeper.repair(swept)
    for outcome, text in _OUTCOMES.items():
        if outcomes[outcome]:
            out.write(f"{name}: {outcomes[outcome]:,} {text}\n")
    return rest + outcomes["last"] + outcomes["upload"]


def _tell(swept: Swept, out: TextIO, show_all: bool) -> None:
    """What a backend holds, the lines before the sums."""
    name = swept.backend
    most = None if show_all else LINES
    _lines(
        out,
        [f"{name}: ours, unknown: {each.key!r}" for each in swept.orphans],
        swept.orphan_count,
        most,
    )
    _lines(
        out,
        [
            f"{name}: ours, and its copy is on {where}: {key!r}; left alone"
            for key, where in swept.misplaced
        ],
        len(swept.misplaced),
        most,
    )
    _lines(
        out,
        [f"{name}: foreign: {key!r}" for key in swept.foreign],
        swept.foreign_count,
        most,
    )
    _lines(
        out,
        [
            f"{name}: {'MISSING' if each.is_missing else 'CHANGED'}: {each.key!r} "
            f"{each.text}"
            for each in swept.faults
        ],
        swept.missing_count + swept.changed_count,
        most,
    )
    another = f" ({swept.others:,} of other installations)" if swept.others else ""
    out.write(
        f"{name}: {swept.listed:,} keys: {swept.known:,} ours, {swept.adopted:,} taken "
        f"in by sync, {swept.orphan_count:,} ours and unknown "
        f"({size(swept.orphan_bytes)}), {swept.foreign_count:,} foreign{another}; "
        f"{swept.missing_count:,} live copies missing, {swept.changed_count:,} "
        "changed\n"
    )


def _lines(out: TextIO, lines: Sequence[str], count: int, most: int | None) -> None:
    shown = lines[:most]
    for line in shown:
        out.write(f"{line}\n")
    if count > len(shown) and lines:
        kind = ":".join(lines[0].split(":")[:2])
        out.write(f"{kind}: and {count - len(shown):,} more (--all shows them)\n")
