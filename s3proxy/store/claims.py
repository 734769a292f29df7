"""What claims of one body are in SQL and back."""

from __future__ import annotations

from collections.abc import Sequence

from s3proxy.errors import ClaimLost
from s3proxy.manager.ports import MadeCopy
from s3proxy.model import Claim, Copy, CopyCount
from s3proxy.store.connection import Row


def read_claims(
    rows: Sequence[Row], size_bytes: int, lease_seconds: float
) -> tuple[Claim, ...]:
    """Of rows of an outcome, copy id, part id, backend and its key."""
    return tuple(
        Claim(Copy(copy_id, part_id, name, backend_key, size_bytes), lease_seconds)
        for _, copy_id, part_id, name, backend_key in rows
    )


def made_columns(made: Sequence[MadeCopy]) -> dict[str, list[str | None]]:
    """The parameters that tell a statement of them, each beside the others."""
    return {
        "copy_ids": [each.claim.copy.copy_id for each in made],
        "backend_etags": [each.stored.etag for each in made],
        "version_ids": [each.stored.version_id for each in made],
    }


def claims_lost(made: Sequence[MadeCopy]) -> ClaimLost:
    """The error for a commit that found too few of them."""
    names = ", ".join(each.claim.copy.copy_id for each in made)
    return ClaimLost(f"of the claims {names} too many were given up by another")


def no_room(count: CopyCount) -> str:
    """The beginning of what a client is told where too few backends have room."""
    if count.least == 1:
        return "No backend has room"
    return f"Fewer than {count.least} backends (replication.write_quorum) have room"
