"""
As many copies of each part as there are to be (protocol, rules 40 to 42).

Safe in several processes at once: the ledger hands each part to one worker for a while,
counts the copies under way, and lets a part have one copy on a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from s3proxy.errors import InsufficientStorage, S3Error, StoreError
from s3proxy.jobs.events import PoolEvents, ReplicationRound, Unheard

#: Copies under way at once.
PARALLEL = 4

#: Parts of a round that the log names where no copy could be made of them.
NAMED = 10

#: Batches of one round; what is left is the next one's.
ROUND_BATCHES = 200


class Replicas(Protocol):
    """``manager.replicating.Replicas``."""

    async def take(self, factor: int, limit: int) -> list[str]:
        """Parts that nobody else is given for a while."""
        ...

    async def add(self, part_id: str, factor: int) -> int | None:
        """One more copy; its bytes, or None where it is not wanted any more."""
        ...

    async def pending(self, factor: int) -> int:
        """How many parts have too few."""
        ...

    async def trim(self, factor: int, keep: Sequence[str], limit: int) -> int:
        """Remove copies beyond the factor; returns how many."""
        ...


@define
class Done:
    """What a round did."""

    made: int = 0
    bytes_made: int = 0
    failed: int = 0
    removed: int = 0

    def __str__(self) -> str:
        return f"{self.made} copies made, {self.failed} failed, {self.removed} removed"


@define(eq=False)
class Replicator:
    """
    What is not made now is taken again later, by any process.

    :ivar factor: ``replication.factor``.
    :ivar keep: Says on which backends copies stay, the first before all.
    :ivar now: Seconds by a clock that nobody sets.
    """

    _replicas: Replicas
    factor: int
    batch_size: int
    keep: Callable[[], Sequence[str]]
    _now: Callable[[], float]
    _events: PoolEvents = field(factory=Unheard)
    _is_full: bool = False
    _log = Logger()

    async def round(self) -> Done:
        """Make what is missing, remove what is too much; and tell of it."""
        began, done = self._now(), Done()
        pending: int | None = None
        try:
            await self._work(done)
            pending = await self._replicas.pending(self.factor)
        finally:
            self._events.replicated(
                ReplicationRound(
                    self._now() - began,
                    pending is not None,
                    done.made,
                    done.bytes_made,
                    done.failed,
                    done.removed,
                    pending,
                )
            )
        return done

    async def _work(self, done: Done) -> None:
        for _ in range(ROUND_BATCHES):
            removed = await self._replicas.trim(
                self.factor, self.keep(), self.batch_size
            )
            done.removed += removed
            if not removed:
                break
        for _ in range(ROUND_BATCHES):
            if self.factor < 2:
                break
            taken = await self._replicas.take(self.factor, self.batch_size)
            # Where there is no room the rest would fare no better; where parts cannot
            # be read, others may.
            if not await self._add(taken, done):
                break

    async def _add(self, parts: Sequence[str], done: Done) -> bool:
        """Whether there is any use in going on with other parts."""
        gate = DeferredSemaphore(PARALLEL)
        outcomes: list[tuple[bool, Any]] = await DeferredList(
            [gate.run(self._one, each, done) for each in parts], consumeErrors=True
        )
        for good, outcome in outcomes:
            if not good:
                outcome.raiseException()
        return any(outcome is True for _, outcome in outcomes)

    async def _one(self, part_id: str, done: Done) -> bool:
        try:
            size_bytes = await self._replicas.add(part_id, self.factor)
        except InsufficientStorage as why:
            done.failed += 1
            if not self._is_full:
                self._is_full = True
                self._log.warn(
                    "part {part} has too few copies: {why} It is tried again until "
                    "there is room; others that wait are not named",
                    part=part_id,
                    why=why,
                )
            return False
        except S3Error as why:
            done.failed += 1
            if done.failed <= NAMED:
                self._log.warn(
                    "part {part}: no copy made: {why}", part=part_id, why=why
                )
            return True
        except (CancelledError, StoreError):
            raise
        except Exception:
            # One part must not hold up the others.
            done.failed += 1
            self._log.failure("part {part}: no copy made", part=part_id)
            return True
        if size_bytes is None:
            return True
        self._is_full = False
        done.made += 1
        done.bytes_made += size_bytes
        return True
