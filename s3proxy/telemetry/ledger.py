"""
Gauges of the ledger, read from PostgreSQL now and then: never in a scrape.

Where it cannot be read they keep what they were, and their time says how old that is.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping

from s3proxy.observe import Numbers
from s3proxy.telemetry.metrics import Metrics

#: Between two rounds.
REFRESH_SECONDS = 30.0

#: What has taken so long is not done again before this many times as long: a twentieth
#: of the time at the most.
COUNT_REST = 19.0

_UNSETTLED = ("claimed", "garbage", "abandoned")


class LedgerGauges:
    """
    :ivar pending: Counts parts that have too few copies; None where there is no
        replication.
    :ivar limits: Of usage, by backend and kind.
    """

    def __init__(
        self,
        metrics: Metrics,
        numbers: Numbers,
        pending: Callable[[], Awaitable[int]] | None = None,
        limits: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        gauge = metrics.gauge
        self._numbers = numbers
        self.pending = pending
        self._monotonic, self._now = metrics.monotonic, metrics.now
        self._used = gauge("s3proxy_quota_bytes_used")
        self._limit = gauge("s3proxy_quota_bytes_limit")
        self._available = gauge("s3proxy_quota_bytes_available")
        self._objects = gauge("s3proxy_objects_count")
        self._uploads = gauge("s3proxy_active_multipart_uploads")
        self._copies = gauge("s3proxy_ledger_copies")
        self._bytes = gauge("s3proxy_ledger_bytes")
        self._late = gauge("s3proxy_ledger_late_copies")
        self._manifests = gauge("s3proxy_ledger_wanted_manifests")
        self._pins = gauge("s3proxy_ledger_read_pins")
        self._held = gauge("s3proxy_ledger_held")
        self._quarantined = gauge("s3proxy_quarantined_copies")
        self._pending = gauge("s3proxy_replication_pending")
        self._refreshed = gauge("s3proxy_ledger_last_refresh_timestamp_seconds")
        self._counted = gauge("s3proxy_ledger_last_count_timestamp_seconds")
        self._failures = metrics.counter("s3proxy_ledger_refresh_failures_total")
        self._count_at = -math.inf
        self._usage = gauge("s3proxy_usage")
        usage_limit = gauge("s3proxy_usage_limit")
        self.limits = limits or {}
        for backend, kinds in self.limits.items():
            for kind, limit in kinds.items():
                usage_limit.labels(backend, kind).set(limit)
        self._backends: list[str] = []
        self._is_begun = False

    async def round(self) -> None:
        """
        Read, and set.

        :raises StoreUnavailable: Some of it could not be read; it is counted.
        """
        try:
            await self._refresh()
            began = self._monotonic()
            if began >= self._count_at:
                try:
                    await self._count()
                finally:
                    ended = self._monotonic()
                    self._count_at = ended + COUNT_REST * (ended - began)
        except BaseException:
            self._failures.inc()
            raise

    async def _refresh(self) -> None:
        at = self._now()
        quotas = await self._numbers.quotas()
        unsettled = await self._numbers.unsettled()
        manifests, pins = await self._numbers.waiting()
        held = await self._numbers.held()
        quarantined = await self._numbers.quarantined()
        used: dict[tuple[str, str], int] = {}
        if self.limits:
            for backend, kind, amount in await self._numbers.usage():
                used[backend, kind] = amount
        pending = None if self.pending is None else await self.pending()
        self._backends = [each.backend for each in quotas]
        for quota in quotas:
            left: float = max(quota.limit_bytes - quota.used_bytes, 0)
            limited = quota.limit_bytes > 0
            self._used.labels(quota.backend).set(quota.used_bytes)
            self._limit.labels(quota.backend).set(
                quota.limit_bytes if limited else math.inf
            )
            self._available.labels(quota.backend).set(left if limited else math.inf)
        for backend in self._backends:
            self._quarantined.labels(backend).set(quarantined.get(backend, 0))
        for backend, kinds in self.limits.items():
            for kind in kinds:
                self._usage.labels(backend, kind).set(used.get((backend, kind), 0))
        rows = {(each.backend, each.state): each for each in unsettled}
        for backend in self._backends:
            for state in _UNSETTLED:
                row = rows.get((backend, state))
                self._copies.labels(backend, state).set(row.count if row else 0)
                self._bytes.labels(backend, state).set(row.size_bytes if row else 0)
                self._late.labels(backend, state).set(row.late_count if row else 0)
        self._manifests.set(manifests)
        self._pins.set(pins)
        self._held.set(held is not None)
        if pending is not None or not self._is_begun:
            self._pending.set(pending or 0)
        self._is_begun = True
        self._refreshed.set(at)

    async def _count(self) -> None:
        at = self._now()
        counts = await self._numbers.counts()
        for backend in self._backends:
            self._objects.labels(backend).set(counts.objects.get(backend, 0))
            self._uploads.labels(backend).set(counts.uploads.get(backend, 0))
        self._counted.set(at)
