"""
The jobs that keep the pool of backends as it should be: a part of the composition root.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from twisted.internet.interfaces import IReactorTime

from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.config import Config, ReplicationConfig
from s3proxy.foundation import Foundation, backups
from s3proxy.jobs.backing_up import NAME as BACKUP
from s3proxy.jobs.backing_up import ScheduledBackup
from s3proxy.jobs.draining import NAME as DRAIN
from s3proxy.jobs.draining import Drainer
from s3proxy.jobs.events import PoolEvents, Unheard
from s3proxy.jobs.pacing import Pace
from s3proxy.jobs.rebalancing import NAME, Rebalancer
from s3proxy.jobs.replicating import Replicator
from s3proxy.jobs.runner import Job
from s3proxy.jobs.scrubbing import NAME as SCRUB
from s3proxy.jobs.scrubbing import Scrub
from s3proxy.jobs.sweeping import NAME as SWEEP
from s3proxy.jobs.sweeping import ScheduledSweep
from s3proxy.manager.replicating import Replicas
from s3proxy.manager.routing import Router
from s3proxy.manager.scrubbing import Scrubber
from s3proxy.manager.sweeping import Sweeper
from s3proxy.manager.writing import Writer
from s3proxy.plan.placement import Fill, Standing, Target
from s3proxy.plan.rebalance import Balance
from s3proxy.store.catalogue import Catalogues
from s3proxy.store.draining import PostgresDraining
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.moving import PostgresMoving
from s3proxy.store.quotas import PostgresQuotas
from s3proxy.store.replicas import PostgresReplicas
from s3proxy.store.scrubbing import PostgresScrubbing
from s3proxy.store.sweeping import PostgresSweeping

#: Between two looks at how full the backends are; claims of this process are added.
FILLS_SECONDS = 5.0

#: Between two looks whether a backend is to be drained.
DRAIN_SECONDS = 5.0

#: A drain whose process is gone is another one's after this.
DRAIN_HOLD_SECONDS = 60.0

#: Between two looks whether a sweep is due, at the most; and after this a sweep whose
#: process is gone is another one's.
SWEEP_SECONDS, SWEEP_HOLD_SECONDS = 600.0, 600.0

#: A scrub whose process is gone is another one's after this; one copy may take long.
SCRUB_HOLD_SECONDS = 600.0

#: Between two looks whether a backup is due, at the most; and after this a backup whose
#: process is gone is another one's.
BACKUP_SECONDS, BACKUP_HOLD_SECONDS = 600.0, 600.0

#: A part whose copy could not be made is tried again after this, at the soonest.
HOLD_SECONDS = 60.0


def process_name() -> str:
    """Names this process to people who look at the table of jobs."""
    return f"{socket.gethostname()}:{os.getpid()}"


def pool_jobs(
    config: Config,
    foundation: Foundation,
    backends: Mapping[str, GuardedBackend],
    health: Health,
    router: Router,
    writer: Writer,
    clock: IReactorTime,
    monotonic: Callable[[], float],
    events: PoolEvents | None = None,
) -> list[Job]:
    """
    Drains; and replication, rebalancing, looks at quotas, as configured.

    :param events: Is told of each round.
    """
    heard: PoolEvents = Unheard() if events is None else events
    pool = foundation.pool
    parts = PostgresReplicas(
        pool,
        config.ledger.lease_seconds,
        config.ledger.grace_seconds,
        HOLD_SECONDS,
    )
    replicas = Replicas(
        parts,
        backends,
        writer,
        foundation.installation_id,
        health,
    )
    pace = Pace(clock, monotonic, config.rebalance.max_bytes_per_second)
    factor = 1 if config.replication is None else config.replication.factor
    drainer = Drainer(
        PostgresDraining(pool, config.ledger.grace_seconds),
        replicas,
        PostgresJobs(pool, process_name()),
        pace,
        lambda size_bytes, without: router.place(size_bytes, without).order,
        factor,
        DRAIN_HOLD_SECONDS,
    )
    jobs = [Job(DRAIN, DRAIN_SECONDS, drainer.round, clock)]
    if config.routing_strategy == "spread":
        refresh = partial(router.refresh, PostgresQuotas(pool))
        jobs.append(Job("read quotas", FILLS_SECONDS, refresh, clock, at_start=True))
    if config.replication is not None:
        names = [each.name for each in foundation.configs]
        jobs.append(
            _replicate(
                config.replication, replicas, names, health, clock, monotonic, heard
            )
        )
    if config.scrub.enabled:
        laps = PostgresScrubbing(
            pool,
            parts,
            config.ledger.grace_seconds,
            config.scrub.bytes_per_day,
            config.scrub.interval_seconds,
        )
        scrub = Scrub(
            laps,
            Scrubber(laps, backends, replicas, factor),
            tuple(backends),
            PostgresJobs(pool, process_name()),
            SCRUB_HOLD_SECONDS,
            heard,
        )
        every = config.scrub.interval_seconds
        jobs.append(Job(SCRUB, every, scrub.round, clock, at_start=True))
    if config.sweep.interval_seconds is not None:
        jobs.append(
            _sweep(config.sweep.interval_seconds, config, foundation, clock, heard)
        )
    if config.backup.enabled:
        jobs.append(_backup(config, foundation, writer, clock))
    if config.rebalance.enabled:
        jobs.append(
            _rebalance(
                config,
                foundation,
                replicas,
                router.targets,
                health,
                clock,
                pace,
                monotonic,
                heard,
            )
        )
    return jobs


def _replicate(
    config: ReplicationConfig,
    replicas: Replicas,
    names: Sequence[str],
    health: Health,
    clock: IReactorTime,
    monotonic: Callable[[], float],
    events: PoolEvents,
) -> Job:
    def keep() -> Sequence[str]:
        # Where one has to go, not the one on a backend that answers.
        return sorted(
            names, key=lambda name: health.of_reads(name)[0] is Standing.RESTING
        )

    replicator = Replicator(
        replicas, config.factor, config.batch_size, keep, monotonic, events
    )
    return Job(
        "replicate",
        config.worker_interval_seconds,
        replicator.round,
        clock,
        at_start=True,
    )


def _sweep(
    interval_seconds: float,
    config: Config,
    foundation: Foundation,
    clock: IReactorTime,
    events: PoolEvents,
) -> Job:
    ledger = PostgresSweeping(foundation.pool, config.ledger.grace_seconds)
    sweep = ScheduledSweep(
        ledger,
        Sweeper(ledger, foundation.backends, foundation.installation_id),
        tuple(foundation.backends),
        PostgresJobs(foundation.pool, process_name()),
        interval_seconds,
        SWEEP_HOLD_SECONDS,
        events,
    )
    every = min(interval_seconds, SWEEP_SECONDS)
    return Job(SWEEP, every, sweep.round, clock, at_start=True)


def _backup(
    config: Config, foundation: Foundation, writer: Writer, clock: IReactorTime
) -> Job:
    pool, wanted = foundation.pool, config.backup
    backup = ScheduledBackup(
        Catalogues(pool),
        backups(config, pool, writer, foundation.configs),
        PostgresJobs(pool, process_name()),
        wanted.interval_seconds,
        BACKUP_HOLD_SECONDS,
    )
    every = min(wanted.interval_seconds, BACKUP_SECONDS)
    return Job(BACKUP, every, backup.round, clock, at_start=True)


def _rebalance(
    config: Config,
    foundation: Foundation,
    replicas: Replicas,
    targets: Sequence[Target],
    health: Health,
    clock: IReactorTime,
    pace: Pace,
    monotonic: Callable[[], float],
    events: PoolEvents,
) -> Job:
    wanted = config.rebalance

    def balance(fills: Mapping[str, Fill]) -> Balance:
        taking = [t for t in targets if not fills.get(t.name, Fill()).is_draining]
        return Balance(
            taking, fills, wanted.strategy, wanted.threshold, health.of_writes
        )

    rebalancer = Rebalancer(
        PostgresMoving(foundation.pool),
        replicas,
        PostgresJobs(foundation.pool, process_name()),
        pace,
        balance,
        wanted.batch_size,
        config.ledger.lease_seconds,
        wanted.strategy,
        monotonic,
        events,
    )
    return Job(NAME, wanted.interval_seconds, rebalancer.round, clock)
