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
        """Reap and collect once; returns how many rows were forgotten."""
        if self.quiet():
            return 0
        while await self._janitor.reap(BATCH) == BATCH:
            pass
        await self._janitor.unpin_expired()
        # One backend that is down must not hold up the others.
        rounds = [
            Deferred.fromCoroutine(self._collect(backend))
            for backend in self._backends.values()
        ]
        outcomes = await DeferredList(rounds, consumeErrors=True)
        return sum(_results(outcomes))

    async def _collect(self, backend: Backend) -> int:
        due = await self._janitor.collect(backend.name, BATCH)
        if not due:
            return 0
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
        return count


def _results(outcomes: list[tuple[bool, Any]]) -> list[Any]:
    """What a DeferredList gave, all of which has ended; or the first failure of it."""
    for good, outcome in outcomes:
        if not good:
            outcome.raiseException()
    return [outcome for _, outcome in outcomes]
