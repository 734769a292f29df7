"""The first page: backends, traffic, jobs, uploads, buckets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlencode

from attrs import define, field
from twisted.web.template import Tag, tags

from s3proxy.plan.overview import LATE, BackendFill, JobRow
from s3proxy.ui.charts import quota_bar, traffic_chart
from s3proxy.ui.layout import legend, name, page, section, table
from s3proxy.ui.ports import Minute, OpenUpload, Overview, Status, Traffic
from s3proxy.web.answer import Answer
from s3proxy.wording import size, span, usage

#: Uploads that are shown: the oldest.
UPLOADS = 20


@define(eq=False)
class OverviewPage:
    """
    :ivar configured: The backends of the configuration.
    :ivar factor: ``replication.factor``.
    :ivar limits: Of usage, by backend and kind.
    """

    _status: Status
    _overview: Overview
    _traffic: Traffic
    _configured: Collection[str]
    _factor: int
    _limits: Mapping[str, Mapping[str, int]] = field(factory=dict)

    async def answer(self) -> Answer:
        """The page; StoreUnavailable."""
        fills = await self._status.backends()
        jobs = await self._status.jobs()
        few, lost = await self._status.under_replicated(self._factor)
        used: dict[tuple[str, str], int] = {}
        if self._limits:
            for each in await self._status.usage():
                used[each.backend, each.kind] = each.amount
        minutes = await self._traffic.last_hour()
        total, uploads = await self._overview.uploads(UPLOADS)
        buckets = await self._overview.buckets()
        return await page(
            "Overview",
            _worries(fills, jobs, few - lost, lost, self._factor),
            section(
                "Backends",
                *[self._backend(fill, used) for fill in fills],
                legend(live="live", claimed="claimed", leaving="to be deleted"),
            ),
            section("Last hour", *_hour(minutes)),
            section("Jobs", _jobs(jobs)),
            section("Uploads in progress", *_uploads(total, uploads)),
            section("Buckets", tags.ul(*[tags.li(_bucket(each)) for each in buckets])),
            refresh=True,
        )

    def _backend(self, fill: BackendFill, used: Mapping[tuple[str, str], int]) -> Tag:
        words = [_used(fill)]
        if fill.claimed_bytes:
            words.append(f"{size(fill.claimed_bytes)} claimed by writes under way")
        if fill.leaving_bytes:
            words.append(f"{size(fill.leaving_bytes)} to be deleted")
        if fill.is_draining:
            words.append("being drained")
        if fill.name not in self._configured:
            words.append("not in the configuration")
        return tags.div(
            tags.h3(name(fill.name)),
            quota_bar(fill),
            tags.p("; ".join(words)),
            *[
                tags.p(_budget(kind, used.get((fill.name, kind), 0), limit))
                for kind, limit in self._limits.get(fill.name, {}).items()
            ],
            class_="backend",
        )


def _budget(kind: str, used: int, limit: int) -> Tag:
    words = f"this month: {usage(kind, used, limit)} ({used / limit:.0%})"
    return tags.strong(f"{words}, used up") if used >= limit else tags.span(words)


def _used(fill: BackendFill) -> str:
    if not fill.limit_bytes:
        return f"{size(fill.used_bytes)}, no limit"
    share = fill.used_bytes / fill.limit_bytes
    return f"{size(fill.used_bytes)} of {size(fill.limit_bytes)} ({share:.0%})"


def _worries(
    fills: Sequence[BackendFill],
    jobs: Sequence[JobRow],
    few: int,
    lost: int,
    factor: int,
) -> Tag:
    """What wants somebody's attention, worst first; or that nothing does."""
    worries = []
    if lost:
        worries.append(f"{lost} parts of objects have no copy: run s3proxy check")
    for job in jobs:
        if job.is_good is False:
            worries.append(f"the job “{job.name}” failed: {job.result}")
        elif _is_overdue(job):
            worries.append(f"the job “{job.name}” is overdue: is a daemon running?")
    for fill in fills:
        if fill.limit_bytes and fill.used_bytes > fill.limit_bytes:
            worries.append(f"{fill.name} is above its limit: nothing is placed there")
    if few:
        worries.append(f"{few} parts of objects have fewer than {factor} copies")
    if not worries:
        return tags.p("Nothing wants attention.", class_="well")
    return tags.ul(*[tags.li(name(each)) for each in worries], class_="worries")


def _hour(minutes: Sequence[Minute]) -> list[Tag]:
    requests = sum(minute.requests for minute in minutes)
    client = sum(minute.client_errors for minute in minutes)
    server = sum(minute.server_errors for minute in minutes)
    words = f"{requests} requests, {client} answered 4xx, {server} answered 5xx"
    key = legend(good="answered", client="4xx", server="5xx")
    return [traffic_chart(minutes), tags.p(words), key]


def _is_overdue(job: JobRow) -> bool:
    return (
        job.next_run_at is not None
        and job.taken_by is None
        and job.now - job.next_run_at > LATE
    )


def _jobs(jobs: Sequence[JobRow]) -> Tag:
    if not jobs:
        return tags.p("No job has run yet.")
    return table(
        ["job", "last run", "took", "next run", "result"], [_job(job) for job in jobs]
    )


def _job(job: JobRow) -> list[Tag | str]:
    if job.started_at is None or job.seconds is None:
        at_work = f"at work: {job.taken_by}" if job.taken_by else ""
        return [name(job.name), "never", "", "", at_work]
    result = name(job.result or "")
    if job.is_good is False:
        result = tags.strong("failed: ", result)
    elif _is_overdue(job):
        result = tags.strong("overdue; ", result)
    ago = max((job.now - job.started_at).total_seconds(), 0.0)
    return [name(job.name), f"{span(ago)} ago", span(job.seconds), _next(job), result]


def _next(job: JobRow) -> str:
    if job.next_run_at is None:
        return ""
    left = (job.next_run_at - job.now).total_seconds()
    return f"in {span(left)}" if left > 0 else "now"


def _uploads(total: int, uploads: Sequence[OpenUpload]) -> list[Tag]:
    if not uploads:
        return [tags.p("None.")]
    rows: list[list[Tag | str]] = [
        [
            name(each.bucket),
            name(each.key),
            f"{span(each.seconds)} ago",
            str(each.parts),
            size(each.size_bytes),
        ]
        for each in uploads
    ]
    shown = table(["bucket", "key", "begun", "parts", "size"], rows)
    if total > len(uploads):
        return [shown, tags.p(f"The oldest {len(uploads)} of {total}.")]
    return [shown]


def _bucket(bucket: str) -> Tag:
    return tags.a(name(bucket), href=f"/ui/browse?{urlencode({'bucket': bucket})}")
