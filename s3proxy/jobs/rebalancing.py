"""
Moving copies from backend to backend (protocol, rules 40, 41 and 43).

Safe in several processes at once, and with two plans at once: a move counts only if the
copy that it was made of is still live. One at a time is enough, though, so that two do
not carry out one plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from s3proxy.errors import S3Error, StoreError
from s3proxy.jobs.events import PoolEvents, RebalanceRound, Skipped, Unheard
from s3proxy.jobs.pacing import Pace
from s3proxy.plan.placement import Fill
from s3proxy.plan.rebalance import Balance, Candidate, Move

#: Copies that are looked at at once.
PAGE = 1000

#: Plans of one round; what is left is the next one's.
ROUND_PLANS = 1000

NAME = "rebalance"


class Movable(Protocol):
    """``store.moving.PostgresMoving``."""

    async def fills(self) -> Mapping[str, Fill]:
        """How full the backends are, and how much of that is to be deleted."""
        ...

    async def candidates(
        self, backend: str, after: str, limit: int
    ) -> Sequence[Candidate]:
        """Live copies there, in order of copy id."""
        ...


class Mover(Protocol):
    """``manager.replicating.Replicas``."""

    async def move(self, part_id: str, copy_id: str, target: str, pace: Pace) -> bool:
        """Put a copy elsewhere; whether it was."""
        ...


class Singleton(Protocol):
    """``store.jobs.PostgresJobs``."""

    async def take(self, name: str, hold_seconds: float) -> bool:
        """Whether this process is the one at work."""
        ...

    async def leave(self, name: str) -> None:
        """It is done."""
        ...


@define
class Moved:
    """What a round did."""

    copies: int = 0
    bytes_count: int = 0
    failed: int = 0
    skipped: Skipped | None = None

    def __str__(self) -> str:
        text = f"{self.copies} copies moved, {self.bytes_count} bytes"
        return f"{text}, {self.failed} failed" if self.failed else text


@define(eq=False)
class Rebalancer:
    """
    :ivar balance: Makes a plan's beginning of how full the backends are.
    :ivar strategy: ``rebalance.strategy``.
    :ivar now: Seconds by a clock that nobody sets.
    :ivar hold_seconds: A process that says nothing for so long is not at work any more.
    """

    _ledger: Movable
    _mover: Mover
    _singleton: Singleton
    _pace: Pace
    _balance: Callable[[Mapping[str, Fill]], Balance]
    _batch_size: int
    _hold_seconds: float
    _strategy: str
    _now: Callable[[], float]
    _events: PoolEvents = field(factory=Unheard)
    _log = Logger()

    async def round(self) -> Moved | str:
        """Plan and move, until there is nothing left to move; and tell of it."""
        if not await self._singleton.take(NAME, self._hold_seconds):
            return "another process is at it"
        began, done, is_good = self._now(), Moved(), False
        try:
            try:
                await self._work(done)
                is_good = True
            finally:
                await self._singleton.leave(NAME)
        finally:
            self._events.rebalanced(
                RebalanceRound(
                    self._now() - began,
                    is_good,
                    self._strategy,
                    done.copies,
                    done.bytes_count,
                    done.failed,
                    done.skipped,
                )
            )
        return done

    async def _work(self, done: Moved) -> None:
        after: dict[str, str] = {}
        passed_over: set[str] = set()
        for number in range(ROUND_PLANS):
            balance = self._balance(await self._ledger.fills())
            sources = balance.sources()
            moves = await self._plan(balance, sources, after, passed_over)
            if not moves:
                if not number:
                    done.skipped = "empty_plan" if sources else "threshold"
                return
            for move in moves:
                # Said again with each, since one may take long.
                if not await self._singleton.take(NAME, self._hold_seconds):
                    return
                await self._move(move, done, passed_over)

    async def _plan(
        self,
        balance: Balance,
        sources: Sequence[str],
        after: dict[str, str],
        passed_over: set[str],
    ) -> Sequence[Move]:
        """
        The next moves, or none.

        :param after: How far each backend's copies have been looked through.
        """
        for source in sources:
            while page := await self._ledger.candidates(
                source, after.get(source, ""), PAGE
            ):
                moves = balance.plan(
                    [each for each in page if each.copy_id not in passed_over],
                    self._batch_size,
                )
                if moves:
                    return moves
                after[source] = page[-1].copy_id
        return []

    async def _move(self, move: Move, done: Moved, passed_over: set[str]) -> None:
        copy = move.copy
        # Whatever comes of it, it is not tried twice in a round.
        passed_over.add(copy.copy_id)
        try:
            moved = await self._mover.move(
                copy.part_id, copy.copy_id, move.target, self._pace
            )
        except S3Error as why:
            done.failed += 1
            self._log.warn(
                "copy {copy} on {source} not moved to {target}: {why}",
                copy=copy.copy_id,
                source=copy.backend,
                target=move.target,
                why=why,
            )
            return
        except (CancelledError, StoreError):
            raise
        except Exception:
            # One copy must not hold up the others.
            done.failed += 1
            self._log.failure("copy {copy} not moved", copy=copy.copy_id)
            return
        if moved:
            done.copies += 1
            done.bytes_count += copy.size_bytes
