"""What rounds of the pool's jobs have done, for whoever counts it."""

from __future__ import annotations

from typing import Literal, Protocol

from attrs import frozen

#: Why a round of rebalancing moved nothing: no two backends differ by more than the
#: threshold; or some do, and there is no copy that may be moved.
Skipped = Literal["threshold", "empty_plan"]


@frozen
class ReplicationRound:
    """
    A round of replication.

    :ivar seconds: How long it took.
    :ivar is_good: Whether it came to its end; else what follows is what it did before.
    :ivar made: Copies made, *bytes_made* in all.
    :ivar failed: Copies that could not be made.
    :ivar removed: Copies beyond the factor.
    :ivar pending: Parts with too few copies after it; None where nobody knows.
    """

    seconds: float
    is_good: bool
    made: int = 0
    bytes_made: int = 0
    failed: int = 0
    removed: int = 0
    pending: int | None = None


@frozen
class RebalanceRound:
    """
    A round of rebalancing; *seconds* and *is_good* as above.

    :ivar strategy: ``rebalance.strategy``.
    :ivar moved: Copies moved, *bytes_moved* in all.
    :ivar failed: Copies that could not be moved.
    :ivar skipped: Why nothing was moved; None where something was, or was tried.
    """

    seconds: float
    is_good: bool
    strategy: str
    moved: int = 0
    bytes_moved: int = 0
    failed: int = 0
    skipped: Skipped | None = None


@frozen
class SweepRound:
    """
    One backend, swept.

    :ivar unknown: Keys of ours without a row.
    :ivar missing: Live copies without their bytes; *changed*: with others.
    :ivar foreign: Keys of others.
    """

    backend: str
    unknown: int = 0
    missing: int = 0
    changed: int = 0
    foreign: int = 0


@frozen
class ScrubRound:
    """
    A round of scrubbing.

    :ivar read: Copies read, *bytes_read* in all.
    :ivar bad: Copies that are bad, and not replaced.
    :ivar replaced: Copies that were bad.
    :ivar unread: Copies that could not be read.
    """

    read: int = 0
    bytes_read: int = 0
    bad: int = 0
    replaced: int = 0
    unread: int = 0


class PoolEvents(Protocol):
    """Is told of each round of this process as it ends."""

    def replicated(self, done: ReplicationRound) -> None:
        """Copies were made and removed."""
        ...

    def rebalanced(self, done: RebalanceRound) -> None:
        """Copies were moved."""
        ...

    def swept(self, done: SweepRound) -> None:
        """A backend was looked at."""
        ...

    def scrubbed(self, done: ScrubRound) -> None:
        """Copies were read back."""
        ...


class Unheard:
    """Nobody counts."""

    def replicated(self, done: ReplicationRound) -> None:
        """See :class:`PoolEvents`."""

    def rebalanced(self, done: RebalanceRound) -> None:
        """See :class:`PoolEvents`."""

    def swept(self, done: SweepRound) -> None:
        """See :class:`PoolEvents`."""

    def scrubbed(self, done: ScrubRound) -> None:
        """See :class:`PoolEvents`."""
