"""
Backups on a schedule (protocol, rule 52).

When the last one was made is in the ledger, and one process is at it at a time: neither
restarts nor more daemons make more of them.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from twisted.logger import Logger

from s3proxy.errors import S3Error
from s3proxy.jobs.rebalancing import Singleton
from s3proxy.manager.backing_up import Backups
from s3proxy.plan.catalogue import CatalogueError

NAME = "backup"


class Calendar(Protocol):
    """``store.catalogue.Catalogues``."""

    async def last(self, interval_seconds: float) -> tuple[bool, str | None]:
        """Whether a backup is due, and the key of the last one."""
        ...


@define(eq=False)
class ScheduledBackup:
    """
    :ivar hold_seconds: A process that says nothing for so long is not at work any more.
    """

    _calendar: Calendar
    _backups: Backups
    _singleton: Singleton
    _interval_seconds: float
    _hold_seconds: float
    _log = Logger()

    async def round(self) -> str:
        """
        Make one, if it is time; what came of it.

        :raises CatalogueError: It could not be stored: it is tried again.
        """
        is_due, last = await self._calendar.last(self._interval_seconds)
        if not is_due:
            return f"the last one is {last}"
        reason = await self._backups.held()
        if reason is not None:
            return f"none is made: {reason}; see docs/sweeping.md"
        if not await self._take():
            return "another process is at it"
        try:
            # Another one may have ended between the two looks.
            is_due, last = await self._calendar.last(self._interval_seconds)
            if not is_due:
                return f"the last one is {last}"
            made = await self._backups.make(self._take)
        except S3Error as why:
            raise CatalogueError(f"no backup was made: {why}") from why
        finally:
            await self._singleton.leave(NAME)
        self._log.info("backup: {made}", made=made)
        return str(made)

    async def _take(self) -> bool:
        return await self._singleton.take(NAME, self._hold_seconds)
