"""
Who is listened to: a part of the composition root.

Backends, pool and jobs of a daemon are joined to the series that they feed. Where there
are no metrics, everything stays as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import evolve
from twisted.internet.interfaces import IReactorTime

from s3proxy.backend.breaker import State
from s3proxy.backend.guarded import GuardedBackend
from s3proxy.backend.measured import MeasuredBackend
from s3proxy.foundation import Foundation
from s3proxy.jobs.events import PoolEvents
from s3proxy.jobs.runner import Job, Jobs
from s3proxy.observe import NOBODY, BackendWatch
from s3proxy.store.numbers import PostgresNumbers
from s3proxy.store.pool import Pool
from s3proxy.store.standbys import Standbys
from s3proxy.store.status import Status
from s3proxy.telemetry.ledger import REFRESH_SECONDS, LedgerGauges
from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.pool_work import PoolWork
from s3proxy.telemetry.work import BackendCalls, Rounds, Statements
from s3proxy.web.degraded import READS
from s3proxy.web.throttle import Throttle

#: Between two looks at what is only there to be looked at, where the scrape may be
#: another process's.
SAMPLE_SECONDS = 5.0

_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


def metered(
    foundation: Foundation, metrics: Metrics | None, throttle: Throttle
) -> Foundation:
    """The same with backends, pool and connections counted."""
    if metrics is None:
        return foundation
    watch = foundation.pool.watch = Statements(metrics)
    if foundation.standbys is not None:
        for pool in foundation.standbys.pools.values():
            pool.watch = watch
    metrics.on_sample(_looks_at_pool(metrics, foundation.pool))
    metrics.on_sample(_looks_at_throttle(metrics, throttle))
    calls = BackendCalls(metrics, foundation.backends)
    backends = {
        name: MeasuredBackend(each, calls, metrics.monotonic)
        for name, each in foundation.backends.items()
    }
    return evolve(foundation, backends=backends)


def breaker_watch(metrics: Metrics | None) -> BackendWatch:
    """Who is told when a breaker opens."""
    return NOBODY if metrics is None else BackendCalls(metrics, ())


def pool_events(metrics: Metrics | None) -> PoolEvents | None:
    """Who is told of rounds of replication and rebalancing."""
    return None if metrics is None else PoolWork(metrics)


def stale_reads(
    metrics: Metrics | None, standbys: Standbys | None
) -> Callable[[str], None]:
    """Who is told of each answer from a standby."""
    if metrics is None or standbys is None:
        return lambda operation: None
    counter = metrics.counter("s3proxy_stale_reads_total")
    for kind in READS:
        # A rate sees no first one where nothing was shown before.
        counter.labels(kind.__name__)
    return lambda operation: counter.labels(operation).inc()


def show_breakers(
    metrics: Metrics | None, backends: Mapping[str, GuardedBackend]
) -> None:
    """Show how the breakers stand."""
    if metrics is None:
        return
    state = metrics.gauge("s3proxy_breaker_state")

    def look() -> None:
        for name, each in backends.items():
            state.labels(name, "write").set(_STATES[each.writes.state])
            state.labels(name, "read").set(_STATES[each.reads.state])

    metrics.on_sample(look)


def count_rounds(
    jobs: Jobs,
    pool: Pool,
    metrics: Metrics | None,
    clock: IReactorTime,
    factor: int | None,
    limits: Mapping[str, Mapping[str, int]],
) -> Callable[[], None]:
    """
    Count the rounds of all *jobs*, and add those that gauges are set by.

    :param factor: How many copies there are to be; None: there is no replication.
    :param limits: Of usage, by backend and kind.
    :returns: Sets them for the first time, once the jobs have been started.
    """
    if metrics is None:
        return lambda: None
    pending = None if factor is None else _pending(pool, factor)
    gauges = LedgerGauges(metrics, PostgresNumbers(pool), pending, limits)
    refresh = Job("refresh metrics", REFRESH_SECONDS, gauges.round, clock)
    jobs.jobs.append(refresh)
    if metrics.is_shared:
        jobs.jobs.append(
            Job("sample metrics", SAMPLE_SECONDS, _awaited(metrics.sample), clock)
        )
    rounds = Rounds(metrics)
    for job in jobs.jobs:
        job.watch = rounds
        rounds.expect(job.name)

    def begin() -> None:
        metrics.gauge("s3proxy_workers").set(1)
        refresh.soon()

    return begin


def _pending(pool: Pool, factor: int) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        few, _ = await Status(pool).under_replicated(factor)
        return few

    return count


def _awaited(look: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def looked() -> None:
        look()

    return looked


def _looks_at_pool(metrics: Metrics, pool: Pool) -> Callable[[], None]:
    connections = metrics.gauge("s3proxy_database_connections")
    limit = metrics.gauge("s3proxy_database_connections_limit")
    waiting = metrics.gauge("s3proxy_database_waiting")

    def look() -> None:
        idle, busy, waits = pool.usage
        connections.labels("idle").set(idle)
        connections.labels("busy").set(busy)
        limit.set(pool.max_connections)
        waiting.set(waits)

    return look


def _looks_at_throttle(metrics: Metrics, throttle: Throttle) -> Callable[[], None]:
    connections = metrics.gauge("s3proxy_client_connections")
    held = metrics.gauge("s3proxy_transfer_buffer_bytes")

    def look() -> None:
        connections.set(throttle.connections)
        held.set(throttle.held_bytes)

    return look
