"""
Reading copies back within a budget of bytes a day (protocol, rules 48 and 49).

How far it has come, and what it has spent, is in the ledger: a restart goes on, and
more processes read no more. No copy's turn comes more than once a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from s3proxy.errors import S3Error, StoreError
from s3proxy.jobs.events import PoolEvents, ScrubRound, Unheard
from s3proxy.jobs.rebalancing import Singleton
from s3proxy.manager.scrubbing import Outcome, Scrubber
from s3proxy.model import Copy
from s3proxy.plan.scrubbing import ScrubCopy

NAME = "scrub"

#: Copies that are looked up at once.
PAGE = 100

#: A copy that cannot be read is passed over after so many rounds.
TRIES = 3


class Laps(Protocol):
    """``store.scrubbing.PostgresScrubbing``."""

    async def may_read(self) -> bool:
        """Whether the budget is not used up."""
        ...

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        ...

    async def page(self, backend: str, limit: int) -> Sequence[ScrubCopy] | None:
        """Whose turn it is; empty at the end of a lap, None where none is to begin."""
        ...

    async def note(self, copy: Copy, count_bytes: int) -> None:
        """It has been read, and so many bytes are paid."""
        ...

    async def spend(self, count_bytes: int) -> None:
        """So many bytes more have been read."""
        ...

    async def end_lap(self, backend: str) -> None:
        """All there have been read."""
        ...

    async def mendable(self, limit: int) -> Sequence[ScrubCopy]:
        """Copies that are known to be bad, of parts that have others."""
        ...


@define
class Scrubbed:
    """What a round did, by its outcomes."""

    read: int = 0
    bytes_count: int = 0
    bad: int = 0
    replaced: int = 0
    unread: int = 0

    def __str__(self) -> str:
        text = f"{self.read} copies read, {self.bytes_count} bytes"
        if self.bad:
            text += f"; {self.bad} are BAD and without a good copy: see s3proxy check"
        if self.replaced:
            text += f"; {self.replaced} were bad, and are replaced"
        if self.unread:
            text += f"; {self.unread} could not be read"
        return text

    def add(self, outcome: Outcome) -> None:
        """Another one."""
        self.bad += outcome is Outcome.BAD
        self.replaced += outcome is Outcome.REPLACED
        self.unread += outcome is Outcome.UNREAD


@define(eq=False)
class Scrub:
    """
    :ivar backends: Their names.
    :ivar hold_seconds: A process that says nothing for so long is not at work any more.
    """

    _laps: Laps
    _scrubber: Scrubber
    _backends: Sequence[str]
    _singleton: Singleton
    _hold_seconds: float
    _events: PoolEvents = field(factory=Unheard)
    # By backend: the copy that it stands still at, and how often it was tried.
    _tries: dict[str, tuple[str, int]] = field(factory=dict)
    _log = Logger()

    async def round(self) -> Scrubbed | str:
        """Read what the budget allows, and see to what is bad."""
        if not await self._singleton.take(NAME, self._hold_seconds):
            return "another process is at it"
        done = Scrubbed()
        try:
            await self._mend(done)
            waiting = list(self._backends)
            while waiting:
                # In turns, so that none waits for another's lap.
                for name in list(waiting):
                    if not await self._some(name, done):
                        waiting.remove(name)
        finally:
            await self._singleton.leave(NAME)
            self._events.scrubbed(
                ScrubRound(
                    done.read, done.bytes_count, done.bad, done.replaced, done.unread
                )
            )
        return done

    async def _mend(self, done: Scrubbed) -> None:
        """What could not be replaced when it was found to be bad."""
        if await self._laps.held() is not None:
            return
        for each in await self._laps.mendable(PAGE):
            if not await self._may_go_on():
                return
            outcome, count_bytes = await self._scrubber.mend(each)
            await self._laps.spend(count_bytes)
            done.bytes_count += count_bytes
            done.replaced += outcome is Outcome.REPLACED

    async def _may_go_on(self) -> bool:
        return await self._laps.may_read() and await self._singleton.take(
            NAME, self._hold_seconds
        )

    async def _some(self, name: str, done: Scrubbed) -> bool:
        """Read a page of one backend; whether there is more to be read now."""
        page = await self._laps.page(name, PAGE)
        if page is None:
            return False
        if not page:
            await self._laps.end_lap(name)
            return False
        for each in page:
            if not await self._may_go_on() or not await self._one(each, done):
                return False
        return True

    async def _one(self, scrubbed: ScrubCopy, done: Scrubbed) -> bool:
        """Whether to go on with this backend."""
        copy = scrubbed.copy
        try:
            outcome, count_bytes = await self._scrubber.check(scrubbed)
        except (CancelledError, StoreError):
            raise
        except S3Error as why:
            self._log.warn("copy {copy} not seen to: {why}", copy=copy.copy_id, why=why)
            outcome, count_bytes = Outcome.UNREAD, 0
        done.add(outcome)
        done.bytes_count += count_bytes
        if outcome is Outcome.UNREAD:
            last, tries = self._tries.get(copy.backend_name, ("", 0))
            tries = tries + 1 if last == copy.copy_id else 1
            self._tries[copy.backend_name] = copy.copy_id, tries
            if tries < TRIES:
                await self._laps.spend(count_bytes)
                return False
        else:
            done.read += 1
        await self._laps.note(copy, count_bytes)
        return True
