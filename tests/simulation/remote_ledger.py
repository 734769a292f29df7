"""The ledger over the network: calls that the schedule lets through, or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.model import Copy, Part, StoredObject
from tests.simulation.faults import Fate
from tests.simulation.owner import Owner
from tests.simulation.scheduler import Scheduler, at_once

#: Statements whose unknown outcome their callers look after; see store/running.py.
LOOKED_AFTER = frozenset({"commit_copies", "commit_part_copies", "commit", "complete"})


@define(eq=False)
class Promises:
    """
    What whoever has seen a live copy may rely on: its bytes stay for ``ledger.grace``.

    :ivar violations: What was not kept.
    """

    now: Callable[[], float]
    grace_seconds: float
    violations: list[str] = field(factory=list)
    _until: dict[str, float] = field(factory=dict)
    _copies: dict[str, set[str]] = field(factory=dict)

    def seen(self, object_id: str, parts: tuple[Part, ...]) -> None:
        """These copies were live just now."""
        for copy in (copy for part in parts for copy in part.copies):
            self._until[copy.copy_id] = self.now() + self.grace_seconds
            self._copies.setdefault(object_id, set()).add(copy.copy_id)

    def pinned(self, object_id: str) -> None:
        """What is promised yet is so for another grace."""
        for copy_id in self._copies.get(object_id, ()):
            if self._until[copy_id] > self.now():
                self._until[copy_id] = self.now() + self.grace_seconds

    def missing(self, copy: Copy) -> None:
        """A backend has not got it."""
        if self._until.get(copy.copy_id, self.now()) > self.now():
            self.violations.append(
                f"taken away: {copy.backend_key} is gone from {copy.backend_name}, "
                "within the grace of somebody who has seen it live, or pinned it"
            )


@define(eq=False)
class Remote:
    """
    A class of the ledger's, at the other end of a connection.

    :ivar note_failure: Called where the ledger could not be reached.
    """

    _inner: Any
    _owner: Owner
    _scheduler: Scheduler
    _note_failure: Callable[[], None]
    _promises: Promises

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    async def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        scheduler = self._scheduler
        is_commit = name in LOOKED_AFTER
        fate = scheduler.weather.of_ledger(scheduler.random, is_commit=is_commit)

        def do() -> Any:
            result = at_once(getattr(self._inner, name)(*args, **kwargs))
            if isinstance(result, StoredObject):
                self._promises.seen(result.info.object_id, result.parts)
            elif name == "parts" and result and isinstance(result[0], Part):
                self._promises.seen(args[0], result)
            elif name == "pin":
                self._promises.pinned(args[0])
            return result

        def error(fate: Fate) -> Exception:
            self._note_failure()
            if fate is not Fate.REFUSED and is_commit:
                return OutcomeUnknown(f"{name}: {fate.value}")
            return StoreUnavailable(f"{name}: {fate.value}")

        return await scheduler.call(self._owner, f"ledger {name}", do, fate, error)


class RemoteUploads(Remote):
    """Completes once more where it does not know, as ``store.uploads`` does."""

    async def complete(self, *args: Any, **kwargs: Any) -> Any:
        """See :class:`~s3proxy.manager.upload_ports.UploadLedger`."""
        try:
            return await self._call("complete", *args, **kwargs)
        except OutcomeUnknown:
            try:
                return await self._call("complete", *args, **kwargs)
            except OutcomeUnknown as why:
                raise StoreUnavailable(str(why)) from why
