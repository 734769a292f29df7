"""What ``status`` shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.commands import status
from s3proxy.plan.usage import Used
from s3proxy.store.jobs import JobRow
from s3proxy.store.status import BackendFill

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
KIB = 1024


class Told:
    """What the ledger says."""

    def __init__(
        self,
        backends: Sequence[BackendFill] = (),
        jobs: Sequence[JobRow] = (),
        few: tuple[int, int] = (0, 0),
    ) -> None:
        self._backends, self._jobs, self._few = backends, jobs, few

    async def backends(self) -> Sequence[BackendFill]:
        return self._backends

    async def jobs(self) -> Sequence[JobRow]:
        return self._jobs

    async def under_replicated(self, factor: int) -> tuple[int, int]:
        return self._few

    async def quarantined(self) -> int:
        return 0

    async def usage(self) -> Sequence[Used]:
        return [Used("b", "class_a", 100), Used("b", "class_b", 3)]

    async def held(self) -> str | None:
        return None


async def shown(told: Told, *configured: str, factor: int = 1) -> list[str]:
    """Its lines."""
    out = io.StringIO()
    assert await status.run(told, configured=configured, factor=factor, out=out) == 0
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("fill", "line"),
    [
        (BackendFill("b", 0, 0, 0, 0), "0 bytes"),
        (BackendFill("b", 5 * KIB, 0, 0, 0), "5.0 KiB"),
        (
            BackendFill("b", 5 * KIB, 10 * KIB, 0, 0),
            "[##########..........] 5.0 KiB of 10.0 KiB, 50%",
        ),
        (
            BackendFill("b", 10 * KIB, 10 * KIB, KIB, 2 * KIB),
            "[####################] 10.0 KiB of 10.0 KiB, 100%; 1.0 KiB to be deleted; "
            "2.0 KiB claimed",
        ),
        (
            BackendFill("b", 30 * KIB, 10 * KIB, 0, 0),
            "[####################] 30.0 KiB of 10.0 KiB, 300%; ABOVE ITS LIMIT by "
            "20.0 KiB: nothing is placed there",
        ),
    ],
)
def test_a_backend(fill: BackendFill, line: str) -> None:
    """A bar where there is a limit; above it is said loudly."""
    assert status.describe(fill) == line


@ensureDeferred
async def test_backends() -> None:
    """One that is in the ledger alone is told so."""
    told = Told([BackendFill("a", 0, 0, 0, 0), BackendFill("long", 1, 0, 0, 0)])
    assert await shown(told, "a") == [
        "a     0 bytes",
        "long  1 bytes; not configured",
        "",
        "no job has run yet",
    ]


@ensureDeferred
async def test_copies() -> None:
    """Those that are missing, and those that are lost."""
    assert await shown(Told(few=(7, 2)), factor=3) == [
        "5 parts of objects have fewer than 3 copies",
        "2 parts of objects have NO COPY: see s3proxy check",
        "",
        "no job has run yet",
    ]


def job(
    name: str,
    *,
    ago: float = 3.0,
    next_in: float = 7.0,
    good: bool = True,
    result: str = "done",
    taken_by: str | None = None,
) -> JobRow:
    """One that ran."""
    return JobRow(
        name,
        "host:1",
        NOW - timedelta(seconds=ago),
        0.25,
        good,
        result,
        NOW + timedelta(seconds=next_in),
        taken_by,
        NOW,
    )


@ensureDeferred
async def test_jobs() -> None:
    """When they ran, for how long, what came of it, and when they run again."""
    told = Told(
        jobs=[
            job("collect"),
            job("expire", ago=7300, next_in=-60, good=False, result="away:\n no"),
            job("old", ago=3 * 86400, next_in=-2 * 86400),
            job("rebalance", next_in=-4000, taken_by="h:2"),
            JobRow("begun", None, None, None, None, None, None, "h:3", NOW),
        ]
    )
    assert (await shown(told))[1:] == [
        "job        last run   took   next run        result",
        "collect    3.0 s ago  0.2 s  in 7.0 s        done; by host:1",
        "expire     2 h ago    0.2 s  now             FAILED: away: no; by host:1",
        "old        3 d ago    0.2 s  OVERDUE by 2 d  done; by host:1",
        "rebalance  3.0 s ago  0.2 s  now             done; by host:1; at work: h:2",
        "begun      never                             at work: h:3",
    ]


@ensureDeferred
async def test_usage() -> None:
    """What has a limit is shown, by backend; used up is said loudly."""
    out = io.StringIO()
    limits = {"b": {"class_a": 100, "egress_bytes": 4 * KIB}}
    told = Told([BackendFill("b", 0, 0, 0, 0)])
    await status.run(told, configured=["b"], factor=1, out=out, limits=limits)
    assert out.getvalue().splitlines()[1] == (
        "b  this month: class_a 100 of 100 calls, 100%, USED UP; "
        "egress 0 bytes of 4.0 KiB, 0%"
    )
