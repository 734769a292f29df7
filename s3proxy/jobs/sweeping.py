"""
A scheduled sweep: it looks and reports, and never deletes (protocol, rules 24 and 46).

When all backends were swept last is in the ledger, and one process is at it at a time:
neither restarts nor more daemons make more sweeps.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.logger import Logger

from s3proxy.errors import BackendError
from s3proxy.jobs.events import PoolEvents, SweepRound, Unheard
from s3proxy.jobs.rebalancing import Singleton
from s3proxy.manager.sweeping import Sweeper
from s3proxy.plan.sweeping import Swept, suspicion

NAME = "sweep"


class Calendar(Protocol):
    """``store.sweeping.PostgresSweeping``."""

    async def last(self, interval_seconds: float) -> tuple[bool, str | None]:
        """Whether all backends are to be swept now, and what was found last."""
        ...

    async def note(self, result: str) -> None:
        """All backends have been swept."""
        ...

    async def suspect(self, word: str) -> None:
        """From now on nothing may be deleted, for this reason."""
        ...


@define(eq=False)
class ScheduledSweep:
    """
    :ivar backends: Their names.
    :ivar hold_seconds: A process that says nothing for so long is not at work any more.
    """

    _calendar: Calendar
    _sweeper: Sweeper
    _backends: tuple[str, ...]
    _singleton: Singleton
    _interval_seconds: float
    _hold_seconds: float
    _events: PoolEvents = field(factory=Unheard)
    _log = Logger()

    async def round(self) -> str:
        """Sweep, if it is time; what was found, now or the last time."""
        is_due, last = await self._calendar.last(self._interval_seconds)
        if not is_due:
            return last or "nothing yet"
        if not await self._take():
            return "another process is at it"
        self._sweeper.said = self._say
        try:
            result = await self._sweep()
            await self._calendar.note(result)
        finally:
            await self._singleton.leave(NAME)
        return result

    async def _take(self) -> bool:
        return await self._singleton.take(NAME, self._hold_seconds)

    async def _say(self, swept: Swept) -> None:
        # Said again with each page, since a sweep may take long.
        await self._take()

    async def _sweep(self) -> str:
        found, words = [], []
        for name in self._backends:
            try:
                swept = await self._sweeper.look(name)
            except BackendError as why:
                words.append(f"{name}: could not be read")
                self._log.warn("{backend} not swept: {why}", backend=name, why=why)
                continue
            found.append(swept)
            words.append(str(swept))
            self._events.swept(
                SweepRound(
                    name,
                    swept.orphan_count,
                    swept.missing_count,
                    swept.changed_count,
                    swept.foreign_count,
                )
            )
            if swept.orphan_count or swept.missing_count or swept.changed_count:
                self._log.warn("{swept}; see s3proxy sweep", swept=swept)
        doubt = suspicion(found)
        if doubt is not None:
            await self._calendar.suspect(doubt)
        return "; ".join(words)
