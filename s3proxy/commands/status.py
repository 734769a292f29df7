"""
``status``: how full the backends are, and what the jobs did last.

All of it is the ledger's word; no backend is asked, so it answers while they do not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TextIO

from s3proxy.plan.overview import LATE, BackendFill, JobRow
from s3proxy.plan.usage import Used
from s3proxy.wording import size, span, usage

_BAR = 20


class Status(Protocol):
    """``store.status.Status``. Every method may raise StoreUnavailable."""

    async def backends(self) -> Sequence[BackendFill]:
        """Every backend that the ledger knows."""
        ...

    async def jobs(self) -> Sequence[JobRow]:
        """What each kind of work did last, by name."""
        ...

    async def under_replicated(self, factor: int) -> tuple[int, int]:
        """Parts with fewer live copies than that, and those of them without any."""
        ...

    async def quarantined(self) -> int:
        """Copies that are known to be bad."""
        ...

    async def usage(self) -> Sequence[Used]:
        """What was used of this month's budgets."""
        ...

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        ...


async def run(
    status: Status,
    *,
    configured: Collection[str],
    factor: int,
    out: TextIO,
    limits: Mapping[str, Mapping[str, int]] | None = None,
) -> int:
    """
    Print it.

    :param configured: The backends of the configuration.
    :param factor: ``replication.factor``.
    :param limits: Of usage, by backend and kind.
    :returns: 0.
    :raises StoreUnavailable: The ledger cannot be read.
    """
    backends = await status.backends()
    width = max((len(each.name) for each in backends), default=0)
    for each in backends:
        note = "" if each.name in configured else "; not configured"
        out.write(f"{each.name.ljust(width)}  {describe(each)}{note}\n")
    if limits:
        used: dict[tuple[str, str], int] = {}
        for row in await status.usage():
            used[row.backend, row.kind] = row.amount
        for name, kinds in limits.items():
            words = "; ".join(
                describe_usage(kind, used.get((name, kind), 0), limit)
                for kind, limit in kinds.items()
            )
            out.write(f"{name.ljust(width)}  this month: {words}\n")
    few, lost = await status.under_replicated(factor)
    if few > lost:
        out.write(f"{few - lost} parts of objects have fewer than {factor} copies\n")
    if lost:
        out.write(f"{lost} parts of objects have NO COPY: see s3proxy check\n")
    if bad := await status.quarantined():
        out.write(f"{bad} copies are known to be BAD: see s3proxy check\n")
    if (held := await status.held()) is not None:
        out.write(f"NOTHING IS DELETED on any backend: {held}; see s3proxy sweep\n")
    out.write("\n")
    _print_jobs(await status.jobs(), out)
    return 0


def describe(fill: BackendFill) -> str:
    """A backend in one line."""
    used, limit = fill.used_bytes, fill.limit_bytes
    parts = [size(used)]
    if limit:
        share = used / limit
        bar = "#" * min(round(share * _BAR), _BAR)
        parts = [f"[{bar.ljust(_BAR, '.')}] {size(used)} of {size(limit)}, {share:.0%}"]
    if fill.leaving_bytes:
        parts.append(f"{size(fill.leaving_bytes)} to be deleted")
    if fill.claimed_bytes:
        parts.append(f"{size(fill.claimed_bytes)} claimed")
    if fill.is_draining:
        parts.append("being drained")
    if limit and used > limit:
        parts.append(
            f"ABOVE ITS LIMIT by {size(used - limit)}: nothing is placed there"
        )
    return "; ".join(parts)


def describe_usage(kind: str, used: int, limit: int) -> str:
    """A budget in a few words."""
    spent = ", USED UP" if used >= limit else ""
    return f"{usage(kind, used, limit)}, {used / limit:.0%}{spent}"


def _print_jobs(rows: Sequence[JobRow], out: TextIO) -> None:
    if not rows:
        out.write("no job has run yet\n")
        return
    lines = [("job", "last run", "took", "next run", "result")]
    lines += [_job(row) for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(4)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        out.write("  ".join([*cells, line[4]]).rstrip() + "\n")


def _job(row: JobRow) -> tuple[str, str, str, str, str]:
    at_work = f"at work: {row.taken_by}" if row.taken_by else ""
    if row.started_at is None or row.seconds is None:
        return row.name, "never", "", "", at_work
    result = " ".join(f"{row.result or ''}".split())
    if not row.is_good:
        result = f"FAILED: {result}"
    parts = [result, f"by {row.process}", at_work]
    return (
        row.name,
        f"{span((row.now - row.started_at).total_seconds())} ago",
        span(row.seconds),
        _next(row),
        "; ".join(part for part in parts if part),
    )


def _next(row: JobRow) -> str:
    if row.next_run_at is None:
        return ""
    left = row.next_run_at - row.now
    if left >= timedelta(0):
        return f"in {span(left.total_seconds())}"
    if row.taken_by or -left < LATE:
        return "now"
    return f"OVERDUE by {span(-left.total_seconds())}"
