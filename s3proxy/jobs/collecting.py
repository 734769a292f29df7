"""
Recovery: reap leases that ran out, delete what is garbage (protocol, rules 20 to 22).

Safe in several processes at once: the ledger hands each piece of garbage to one worker
for a while, and two deletes of a key that is used once do no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic

from attrs import define
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from s3proxy.errors import BackendError
from s3proxy.jobs.ports import D, Janitor
from s3proxy.manager.ports import Backend
from s3proxy.plan.sweeping import ADVICE

#: Rows of one backend in one round, and how many deletes of it are under way at once.
BATCH = 200
PARALLEL = 16


@define(eq=False)
class Collector(Generic[D]):
    """
    :ivar quiet: Whether the database was away within the last lease: then writers and
        readers get one lease to extend their claims and pins before anything is done
        (rule 23).
    """

    _janitor: Janitor[D]
    _backends: Mapping[str, Backend]
    quiet: Callable[[], bool]
    _told: str | None = None
    _log = Logger()

    async def round(self) -> int:
        """Reap, and collect on every backend; returns how many rows were forgotten."""
        await self.reap()
        rounds = [Deferred.fromCoroutine(self.collect(name)) for name in self._backends]
        outcomes = await DeferredList(rounds, consumeErrors=True)
        return sum(each for each in _results(outcomes) if isinstance(each, int))

    async def reap(self) -> None:
        """Abandon claims whose lease is over; forget pins that nobody renewed."""
        if self.quiet():
            return
        while await self._janitor.reap(BATCH) == BATCH:
            pass
        await self._janitor.unpin_expired()

    async def collect(self, name: str) -> int | str:
        """
        Delete what is due on one backend; returns how many rows are done with, or in
        words why nothing is deleted (rule 24; the ledger hands nothing out then).

        To be a job of its own for each: one that stalls must hold up no other.
        """
        if self.quiet():
            return 0
        held = await self._janitor.held()
        self._tell_held(held)
        if held is not None:
            return f"NOTHING IS DELETED: {held}; see s3proxy sweep"
        backend, janitor = self._backends[name], self._janitor
        return await self._collect(
            backend, janitor.collect, self._delete
        ) + await self._collect(backend, janitor.collect_adopted, self._delete_adopted)

    def _tell_held(self, why: str | None) -> None:
        """Log it when it begins and ends, not at every round."""
        if why == self._told:
            return
        self._told = why
        if why is None:
            self._log.info("garbage is deleted again")
            return
        self._log.error(
            "nothing is deleted on any backend: {why}. {advice}",
            why=why,
            advice=ADVICE,
        )

    async def _collect(
        self,
        backend: Backend,
        take: Callable[[str, int], Awaitable[list[D]]],
        delete: Callable[[Backend, D], Awaitable[bool]],
    ) -> int:
        """
        :param take: Hands out what is due.
        :param delete: Whether it is gone from the backend.
        """
        done_with = 0
        while True:
            due = await take(backend.name, BATCH)
            gone = await self._batch(backend, due, delete) if due else 0
            done_with += gone
            # Where nothing can be deleted, the next round is soon enough.
            if len(due) < BATCH or not gone:
                return done_with

    async def _batch(
        self,
        backend: Backend,
        due: list[D],
        delete: Callable[[Backend, D], Awaitable[bool]],
    ) -> int:
        """How many rows are done with."""
        gate = DeferredSemaphore(PARALLEL)

        async def try_one(each: D) -> D | None:
            try:
                return each if await delete(backend, each) else None
            except BackendError as why:
                self._log.warn("not deleted, tried again later: {why}", why=why)
                return None

        outcomes = await DeferredList(
            [gate.run(try_one, each) for each in due], consumeErrors=True
        )
        # What is gone is recorded even where another delete met a bug.
        done = [each for good, each in outcomes if good and each is not None]
        count = await self._janitor.collected(done) if done else 0
        _results(outcomes)
        return count

    async def _delete(self, backend: Backend, due: D) -> bool:
        await backend.delete(due.backend_key, due.version_id)
        return True

    async def _delete_adopted(self, backend: Backend, due: D) -> bool:
        """Its key is not ours alone: only the bytes that were taken in may go."""
        if await backend.delete_unchanged(
            due.backend_key, due.version_id, due.size_bytes, due.backend_etag
        ):
            return True
        self._log.warn(
            "{backend}: {key!r} was taken in by sync and is deleted here, but has "
            "changed there since: it is left alone, and counts no more",
            backend=backend.name,
            key=due.backend_key,
        )
        await self._janitor.let_go([due])
        return False


def _results(outcomes: list[tuple[bool, Any]]) -> list[Any]:
    """What a DeferredList gave, all of which has ended; or the first failure of it."""
    for good, outcome in outcomes:
        if not good:
            outcome.raiseException()
    return [outcome for _, outcome in outcomes]
