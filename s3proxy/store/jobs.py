"""The table of jobs: ``jobs.runner.Record``, and who is at work."""

from __future__ import annotations

from datetime import datetime

from attrs import define, frozen

from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@frozen
class JobRow:
    """
    What a kind of work did last.

    :ivar process: Who did it; None, like all of it, where it was only begun.
    :ivar is_good: Whether it came to its end.
    :ivar taken_by: Who is at it, where only one is to be.
    :ivar now: The database's time of this look.
    """

    name: str
    process: str | None
    started_at: datetime | None
    seconds: float | None
    is_good: bool | None
    result: str | None
    next_run_at: datetime | None
    taken_by: str | None
    now: datetime


@define(eq=False)
class PostgresJobs:
    """
    :ivar process: Names this one, for people.
    """

    pool: Pool
    process: str

    async def record(
        self, name: str, seconds: float, result: str, next_seconds: float, *, good: bool
    ) -> None:
        """See :class:`~s3proxy.jobs.runner.Record`."""
        await run_decided(
            self.pool,
            "put_job",
            name=name,
            process=self.process,
            seconds=seconds,
            is_good=good,
            result=result,
            next_seconds=next_seconds,
        )

    async def take(self, name: str, hold_seconds: float) -> bool:
        """Whether this process is the one at work, for so long; to be said again."""
        return bool(
            await run_decided(
                self.pool,
                "take_job",
                name=name,
                process=self.process,
                hold=interval(hold_seconds),
            )
        )

    async def leave(self, name: str) -> None:
        """It is done; anybody may."""
        await run_decided(self.pool, "leave_job", name=name, process=self.process)


async def job_rows(pool: Pool) -> list[JobRow]:
    """All, by name."""
    return [JobRow(*row) for row in await run_decided(pool, "job_rows")]
