"""
``check``: does the ledger say what the backends hold?

Clean means: every counter is the sum of its rows (I3); every live row's bytes are there
with their size and ETag (I1); every key of ours on a backend has a row in some state
(I4). A running daemon changes both sides meanwhile, so the listing comes first, rows
are looked up after it, and every difference is looked at a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from attrs import define, field

from s3proxy.commands.context import BackendSums, Context, CopyRow
from s3proxy.errors import BackendError, BackendMissing
from s3proxy.manager.ports import Backend, BackendKey
from s3proxy.plan.naming import looks_ours

_PAGE = 1000


@define
class _Report:
    """What one backend's listing showed."""

    foreign: int = 0
    problems: list[str] = field(factory=list)


async def run(context: Context, *, settled: bool, out: TextIO) -> int:
    """
    Check, and print a table and every difference to *out*.

    :param settled: Garbage, claims and manifests to be written are differences, too.
    :returns: 0 clean, 1 not.
    :raises StoreUnavailable: The ledger cannot be read.
    """
    reports: dict[str, _Report] = {}
    for name, backend in context.backends.items():
        try:
            reports[name] = await _Backend(context, backend).check()
        except BackendError as why:
            reports[name] = _Report(problems=[f"could not be read: {why}"])
    sums = await context.checks.sums()
    problems = [
        f"{name}: {problem}"
        for name, report in reports.items()
        for problem in report.problems
    ]
    problems += _unequal_sums(sums)
    problems += await context.checks.broken_objects()
    for each in sums:
        if each.name not in context.backends and each.live:
            problems.append(f"{each.name}: has {each.live} copies, is not configured")
        if settled and (each.claimed or each.garbage or each.abandoned):
            problems.append(
                f"{each.name}: not settled: {each.claimed} claimed, "
                f"{each.garbage} garbage, {each.abandoned} abandoned"
            )
    if settled and (wanted := await context.checks.wanted_manifests()):
        problems.append(f"not settled: {wanted} manifest copies to be written")
    _print_table(out, sums, reports)
    for problem in problems:
        out.write(f"{problem}\n")
    out.write(f"{len(problems)} differences\n" if problems else "clean\n")
    return 1 if problems else 0


def _unequal_sums(sums: Sequence[BackendSums]) -> list[str]:
    """The counters are triggers' work, and one statement reads them and the rows."""
    return [
        f"{each.name}: bytes_used is {each.bytes_used}, its rows sum to "
        f"{each.bytes_summed}"
        for each in sums
        if each.bytes_used != each.bytes_summed
    ]


@define(eq=False)
class _Backend:
    """The check of one backend."""

    _context: Context
    _backend: Backend
    _report: _Report = field(factory=_Report)
    # Copies whose listing agreed with their row; their ids' hashes, to save memory.
    _agreed: set[int] = field(factory=set)

    async def check(self) -> _Report:
        token: str | None = None
        while True:
            page, token = await self._backend.list_page("", token)
            await self._check_page(page)
            if token is None:
                break
        after = ""
        while rows := await self._context.checks.live_page(
            self._backend.name, after, _PAGE
        ):
            for row in rows:
                if hash(row.copy_id) not in self._agreed:
                    await self._look_again(row)
            after = rows[-1].copy_id
        return self._report

    async def _check_page(self, page: Sequence[BackendKey]) -> None:
        rows = {
            row.backend_key: row
            for row in await self._context.checks.rows_of_keys(
                self._backend.name, [each.key for each in page]
            )
        }
        for listed in page:
            row = rows.get(listed.key)
            if row is None:
                await self._unknown(listed.key)
            elif row.state == "live" and _agrees(row, listed):
                self._agreed.add(hash(row.copy_id))

    async def _unknown(self, key: str) -> None:
        """Without a row: another's, or an orphan of ours."""
        if looks_ours(key):
            try:
                _, metadata = await self._backend.head(key)
            except BackendMissing:
                return
            if metadata.get("s3proxy-installation") == self._context.installation_id:
                name = self._backend.name
                if not await self._context.checks.rows_of_keys(name, [key]):
                    self._report.problems.append(f"orphan: {key!r} has no row")
                return
        self._report.foreign += 1

    async def _look_again(self, row: CopyRow) -> None:
        """A live row that the listing did not show as it should be."""
        problem = None
        try:
            found, _ = await self._backend.head(row.backend_key)
            if not _agrees(row, found):
                problem = (
                    f"differs: {row.backend_key!r} has {found.size_bytes} bytes and "
                    f"ETag {found.etag}, its row says {row.size_bytes} and "
                    f"{row.backend_etag}"
                )
        except BackendMissing:
            problem = f"missing: {row.backend_key!r} ({row.size_bytes} bytes)"
        if problem is None:
            return
        now = await self._context.checks.rows_of_keys(
            self._backend.name, [row.backend_key]
        )
        if now and now[0].state == "live":
            self._report.problems.append(problem)


def _agrees(row: CopyRow, found: BackendKey) -> bool:
    return row.size_bytes == found.size_bytes and (
        row.backend_etag is None or found.etag is None or row.backend_etag == found.etag
    )


def _print_table(
    out: TextIO, sums: Sequence[BackendSums], reports: dict[str, _Report]
) -> None:
    titles = ["backend", "used", "limit", "live"]
    titles += ["claimed", "garbage", "abandoned", "foreign"]
    lines = [titles]
    for each in sums:
        report = reports.get(each.name)
        lines.append(
            [
                each.name,
                str(each.bytes_used),
                str(each.bytes_limit) if each.bytes_limit else "none",
                str(each.live),
                str(each.claimed),
                str(each.garbage),
                str(each.abandoned),
                str(report.foreign) if report else "?",
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        out.write("  ".join(cells) + "\n")
