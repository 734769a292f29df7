"""Counts are handed over once, and kept where that fails."""

from __future__ import annotations

import pytest
import pytest_twisted

from s3proxy.errors import StoreUnavailable
from s3proxy.telemetry.traffic import Tally


@pytest_twisted.ensureDeferred
async def test_what_was_counted_is_written_down_once() -> None:
    written: list[tuple[int, int, int]] = []
    away = True

    async def add(requests: int, client_errors: int, server_errors: int) -> None:
        if away:
            tally.note(200)  # Counted while it is under way.
            raise StoreUnavailable("away")
        written.append((requests, client_errors, server_errors))

    tally = Tally(add)
    for status in (200, 206, 404, 403, 499, 500, 503):
        tally.note(status)
    with pytest.raises(StoreUnavailable):
        await tally.write_down()
    away = False
    assert await tally.write_down() == "8 requests"
    assert await tally.write_down() == "no requests"
    assert written == [(8, 3, 2)]
