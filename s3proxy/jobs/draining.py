"""
Moving everything off a backend (protocol, rules 41 and 45).

Which backends are being drained is in the ledger, so any process goes on with it, after
a restart too; claims pass them over from the moment it is said. A move counts only if
the copy that it was made of is still live, so two at work do no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from s3proxy.errors import InsufficientStorage, S3Error, StoreError
from s3proxy.jobs.pacing import Pace
from s3proxy.jobs.rebalancing import Mover, Singleton
from s3proxy.plan.rebalance import Candidate

#: Copies that are looked at at once, and manifests that are wanted anew at once.
PAGE = 1000

NAME = "drain"


class Drainable(Protocol):
    """``store.draining.PostgresDraining``."""

    async def draining(self) -> Sequence[str]:
        """Backends that are being drained."""
        ...

    async def note(self, backend: str, word: str | None) -> None:
        """What holds it up, for people; None: nothing."""
        ...

    async def candidates(
        self, backend: str, after: str, limit: int
    ) -> Sequence[Candidate]:
        """Live copies of objects' parts there, in order of copy id."""
        ...

    async def drop(self, copy_id: str, part_id: str, factor: int) -> bool:
        """A copy goes where its part has *factor* others; whether it did."""
        ...

    async def rewrite_manifests(self, backend: str, limit: int) -> int:
        """Want other copies of manifests that are there; of how many."""
        ...


@define
class Drained:
    """What a round did."""

    moved: int = 0
    bytes_count: int = 0
    dropped: int = 0
    stuck: Counter[str] = field(factory=Counter)

    def __str__(self) -> str:
        text = f"{self.moved} copies moved, {self.bytes_count} bytes"
        if self.dropped:
            text += f"; {self.dropped} removed that were beyond the factor"
        for why, count in self.stuck.items():
            text += f"; {count} stay: {why}"
        return text


@define(eq=False)
class Drainer:
    """
    :ivar place: Backends to ask for room for so many bytes, without some.
    :ivar factor: So many copies are enough.
    :ivar hold_seconds: A process that says nothing for so long is not at work any more.
    """

    _ledger: Drainable
    _mover: Mover
    _singleton: Singleton
    _pace: Pace
    _place: Callable[[int, Collection[str]], Sequence[str]]
    _factor: int
    _hold_seconds: float
    _log = Logger()

    async def round(self) -> Drained | str:
        """Move off what can be, and say what holds up the rest."""
        backends = await self._ledger.draining()
        if not backends:
            return "no backend is being drained"
        if not await self._singleton.take(NAME, self._hold_seconds):
            return "another process is at it"
        done = Drained()
        try:
            for backend in backends:
                await self._drain(backend, backends, done)
        finally:
            await self._singleton.leave(NAME)
        return done

    async def _drain(
        self, backend: str, draining: Collection[str], done: Drained
    ) -> None:
        before = Counter(done.stuck)
        await self._ledger.rewrite_manifests(backend, PAGE)
        after = ""
        while page := await self._ledger.candidates(backend, after, PAGE):
            for copy in page:
                # Said again with each, since one may take long.
                if not await self._singleton.take(NAME, self._hold_seconds):
                    return
                await self._clear(copy, draining, done)
            after = page[-1].copy_id
        stuck = [f"{n} copies: {why}" for why, n in (done.stuck - before).items()]
        await self._ledger.note(backend, "; ".join(stuck) or None)

    async def _clear(
        self, copy: Candidate, draining: Collection[str], done: Drained
    ) -> None:
        others = len(copy.holders - {copy.backend})
        if others >= self._factor and await self._ledger.drop(
            copy.copy_id, copy.part_id, self._factor
        ):
            done.dropped += 1
            return
        without = copy.holders | set(draining)
        targets = self._place(copy.size_bytes, without)
        if not targets:
            done.stuck["no other backend takes them now"] += 1
            return
        for target in targets:
            try:
                moved = await self._mover.move(
                    copy.part_id, copy.copy_id, target, self._pace
                )
            except InsufficientStorage:
                continue
            except S3Error as why:
                done.stuck[why.message] += 1
                self._log.warn(
                    "copy {copy} on {source} not moved to {target}: {why}",
                    copy=copy.copy_id,
                    source=copy.backend,
                    target=target,
                    why=why,
                )
                return
            except (CancelledError, StoreError):
                raise
            except Exception:
                # One copy must not hold up the others.
                done.stuck["failed, see the log"] += 1
                self._log.failure("copy {copy} not moved", copy=copy.copy_id)
                return
            if moved:
                done.moved += 1
                done.bytes_count += copy.size_bytes
            return
        done.stuck["no other backend has room"] += 1
