"""Requests by the minute, of all processes together: ``/ui`` draws them."""

from __future__ import annotations

from datetime import datetime

from attrs import define, frozen

from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


@frozen
class Minute:
    """
    :ivar at: When it began.
    :ivar requests: All, those with errors among them.
    :ivar client_errors: Answered 4xx.
    :ivar server_errors: Answered 5xx.
    """

    at: datetime
    requests: int
    client_errors: int
    server_errors: int


@define(eq=False)
class Traffic:
    """Counts are charged to the minute in which they arrive; a day of them is kept."""

    pool: Pool

    async def add(self, requests: int, client_errors: int, server_errors: int) -> None:
        """Add to this minute; StoreUnavailable."""
        await run_decided(
            self.pool,
            "add_traffic",
            requests=requests,
            client_errors=client_errors,
            server_errors=server_errors,
        )

    async def last_hour(self) -> list[Minute]:
        """Sixty minutes, the oldest first; StoreUnavailable."""
        return [Minute(*row) for row in await run_decided(self.pool, "last_hour")]
