"""
Recovery: reap leases that ran out, delete what is garbage (protocol, rules 20 to 22).

Safe in several processes at once: the ledger hands each piece of garbage to one worker
for a while, and two deletes of a key that is used once do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic

from attrs import define
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from s3proxy.errors import BackendError
from s3proxy.jobs.ports import D, Janitor
from s3proxy.manager.ports import Backend

#: Rows of one backend in one round, and how many deletes of it are under way at once.
BATCH = 200
PARALLEL = 16


@define(eq=False)
class Collector(Generic[D]):
    """
    :ivar quiet: Whether the database was away within the last lease: then writers and
        readers get one lease to extend their claims and pins before anything is done.
    """

    _janitor: Janitor[D]
    _backends: Mapping[str, Backend]
    quiet: Callable[[], bool]
    _log = Logger()

    async def round(self) -> int:
        """Reap, and collect on every backend; returns how many rows were forgotten."""
        await self.reap()
        rounds = [Deferred.fromCoroutine(self.collect(name)) for name in self._backends]
        outcomes = await DeferredList(rounds, consumeErrors=True)
        return sum(_results(outcomes))

    async def reap(self) -> None:
        """Abandon claims whose lease is over; forget pins that nobody renewed."""
        if self.quiet():
            return
        while await self._janitor.reap(BATCH) == BATCH:
            pass
        await self._janitor.unpin_expired()

    async def collect(self, name: str) -> int:
        """
        Delete what is due on one backend; returns how many rows were forgotten.

        To be a job of its own for each: one that stalls must hold up no other.
        """
        if self.quiet():
            return 0
        forgotten = 0
        while True:
            taken, gone = await self._batch(self._backends[name])
            forgotten += gone
            # Where nothing can be deleted, the next round is soon enough.
            if taken < BATCH or not gone:
                return forgotten

    async def _batch(self, backend: Backend) -> tuple[int, int]:
        """How many rows were taken, and how many of them forgotten."""
        due = await self._janitor.collect(backend.name, BATCH)
        if not due:
            return 0, 0
        gate = DeferredSemaphore(PARALLEL)

        async def delete(each: D) -> D | None:
            try:
                await backend.delete(each.backend_key, each.version_id)
            except BackendError as why:
                self._log.warn("not deleted, tried again later: {why}", why=why)
                return None
            return each

        outcomes = await DeferredList(
            [gate.run(delete, each) for each in due], consumeErrors=True
        )
        # What is gone is recorded even where another delete met a bug.
        done = [each for good, each in outcomes if good and each is not None]
        count = await self._janitor.collected(done) if done else 0
        _results(outcomes)
        return len(due), count


def _results(outcomes: list[tuple[bool, Any]]) -> list[Any]:
    """What a DeferredList gave, all of which has ended; or the first failure of it."""
    for good, outcome in outcomes:
        if not good:
            outcome.raiseException()
    return [outcome for _, outcome in outcomes]
