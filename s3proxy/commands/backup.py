"""``backup``: store the ledger on the backends, now."""

from __future__ import annotations

from typing import TextIO

from s3proxy.manager.backing_up import Backups


async def run(backups: Backups, *, dry_run: bool, out: TextIO) -> int:
    """
    Make one backup, and say what and where it is.

    :param dry_run: Only say what it would be.
    :returns: 0; 1 where it is on fewer, or none was made, since nobody vouches for the
        ledger.
    :raises InsufficientStorage: No backend has room; or ServiceUnavailable.
    """
    reason = await backups.held()
    if reason is not None:
        out.write(
            f"no backup is made: {reason}. It would be the newest, and lack what is "
            "lost. See docs/sweeping.md, then run s3proxy sweep --accept-restore\n"
        )
        return 1
    if dry_run:
        header, rows, size = await backups.measure()
        out.write(
            f"would store {header.key}: {rows:,} rows, {size:,} bytes, on up to "
            f"{backups.wanted} backends\n"
        )
        return 0
    made = await backups.make()
    out.write(f"stored {made}\n")
    if len(made.backends) < backups.wanted:
        out.write(
            f"WARNING: it should be on {backups.wanted} backends; no other took it\n"
        )
        return 1
    return 0
