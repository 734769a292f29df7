"""
The composition root: configuration in, a running daemon out.

Only this module and :mod:`s3proxy.foundation` know all the rooms.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from attrs import evolve
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.admission import Admission, open_admission
from s3proxy.backend.budget import SETTLE_SECONDS, settle_all
from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.background import pool_jobs, process_name
from s3proxy.banner import banner
from s3proxy.config import Config, ReplicationConfig
from s3proxy.embedded.keys import client_keys
from s3proxy.foundation import (
    Foundation,
    monotonic,
    open_foundation,
    register,
    targets,
    usage_limits,
)
from s3proxy.front import Front
from s3proxy.jobs.collecting import Collector
from s3proxy.jobs.expiring import Expirer
from s3proxy.jobs.manifesting import Manifester
from s3proxy.jobs.runner import Job, Jobs
from s3proxy.lifecycle import Lifecycle
from s3proxy.manager.copying import Copies
from s3proxy.manager.leases import Leases
from s3proxy.manager.manifesting import Manifests
from s3proxy.manager.objects import Objects
from s3proxy.manager.routing import Router
from s3proxy.manager.uploads import Uploads
from s3proxy.manager.writing import Writer
from s3proxy.metering import (
    breaker_watch,
    count_rounds,
    metered,
    pool_events,
    show_breakers,
    stale_reads,
)
from s3proxy.pages import TALLY_SECONDS, make_pages
from s3proxy.reload import Applier, Reloader
from s3proxy.store.bucket_tags import BucketTags
from s3proxy.store.buckets import PostgresBuckets
from s3proxy.store.cors import PostgresCors
from s3proxy.store.janitor import Janitor
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.ledger import PostgresLedger
from s3proxy.store.manifests import PostgresManifests
from s3proxy.store.traffic import Traffic
from s3proxy.store.uploads import PostgresUploads
from s3proxy.telemetry.sinks import LevelGate
from s3proxy.telemetry.traffic import Tally
from s3proxy.web.assembly import Rooms, make_site
from s3proxy.web.degraded import Degraded
from s3proxy.web.readiness import Readiness
from s3proxy.web.site import StreamingSite
from s3proxy.web.watch import Watch

if TYPE_CHECKING:
    from s3proxy.traced import Traced

#: How long requests under way may take after SIGTERM before they are broken off.
DRAIN_SECONDS = 30.0


def make_service(
    config: Config,
    *,
    reactor: Any,
    accept_moved: Collection[str] = (),
    first_try: bool = False,
    out: TextIO | None = None,
    reread: Callable[[], Config] | None = None,
    log_gate: LevelGate | None = None,
) -> IService:
    """
    The daemon, not yet started.

    :param accept_moved: Backends whose new place or absence the operator vouches for.
    :param first_try: There is no configuration: generate client keys and show them.
    :param out: Where they are shown; standard output by default.
    :param reread: Reads the configuration again at SIGHUP; None where there is none.
    :param log_gate: Follows ``logging.level``; None where the log is not ours.
    """
    shown = sys.stdout if out is None else out
    if config.server.workers > 1:
        from s3proxy.master import Master  # It knows this module.

        return Master(config, reactor, accept_moved, reread, log_gate)
    daemon = Daemon(config, reactor, accept_moved, first_try, shown, reread)
    daemon.log_gate = log_gate
    return daemon


class Daemon(Lifecycle):
    """
    One process that serves.

    :ivar warns: Whether it warns of what the configuration leaves open.
    """

    warns = True

    log = Logger()
    log_gate: LevelGate | None = None

    def __init__(
        self,
        config: Config,
        reactor: Any,
        accept_moved: Collection[str],
        first_try: bool,
        out: TextIO,
        reread: Callable[[], Config] | None,
    ) -> None:
        super().__init__(reactor)
        self.config = config
        self.accept_moved = accept_moved
        self.first_try = first_try
        self._out = out
        self._reread = reread
        self._foundation: Foundation | None = None
        self._site: StreamingSite | None = None
        self._front: Front | None = None
        self._jobs = Jobs()
        self._traced: Traced | None = None
        self._readiness: Readiness | None = None

    async def _start(self) -> None:
        config = self.config
        front = self._front = self._make_front(config)
        if config.telemetry.tracing.enabled:
            # Imported here: who does not trace does not pay for it.
            from s3proxy.traced import Traced

            self._traced = Traced(config.telemetry.tracing, self.reactor)
        seams = self._traced.seams if self._traced is not None else {}
        foundation = await open_foundation(config, reactor=self.reactor, **seams)
        foundation = metered(foundation, front.metrics, front.throttle)
        self._foundation = foundation
        await register(foundation, self.accept_moved)
        if self.first_try:
            config = evolve(config, auth=client_keys(config.data_dir))
        made = PostgresBuckets(foundation.pool, config.ledger.late_seconds)
        admission = await open_admission(
            config, foundation.registry, made, now, warns=self.warns
        )
        standbys = foundation.standbys
        self._readiness = Readiness(
            foundation.registry.installation_id,
            lambda: foundation.pool.heard_seconds,
            lambda: {name: b.is_failing for name, b in foundation.backends.items()},
            lambda: {job.name: job.is_failing for job in self._jobs.jobs},
            self.reactor,
            None if standbys is None else standbys.is_readable,
        )
        self._site = self._make_site(foundation, admission)
        front.readiness = self._readiness
        address: Any = front.open(self._site).getHost()
        pool = foundation.pool
        replication = config.replication
        factor = None if replication is None else replication.factor
        show = count_rounds(
            self._jobs,
            pool,
            front.metrics,
            self.reactor,
            factor,
            usage_limits(foundation.configs),
        )
        self._jobs.start(PostgresJobs(pool, process_name()))
        show()
        self._announce(address, foundation, config)
        # Admission last: its preparation registers buckets, and the front may refuse.
        appliers = [front.applier, admission.applier]
        if self.log_gate is not None:
            appliers.append(follow_level(self.log_gate))
        self._follow(config, appliers)
        # What there is now stays, and what requests leave is mostly free of cycles: to
        # look for cycles less often saves a tenth of a small request's CPU time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)

    def _make_front(self, config: Config) -> Front:
        return Front(config, reactor=self.reactor, now=now)

    def _announce(self, address: Any, foundation: Foundation, config: Config) -> None:
        """It serves: say so."""
        tell_serving(config, address, foundation.backends, self.log)
        if self.first_try:
            show_banner(config, address, self._out)
        for each in foundation.backends.values():
            Deferred.fromCoroutine(warn_if_versioned(each, self.log))

    def _follow(self, config: Config, appliers: Sequence[Applier]) -> None:
        """Have *appliers* follow changes of the configuration."""
        self.reload_with(Reloader(config, self._reread, appliers))

    def _make_site(self, foundation: Foundation, admission: Admission) -> StreamingSite:
        settings = self.config.ledger
        ledger = PostgresLedger(
            foundation.pool, settings.lease_seconds, settings.grace_seconds
        )
        leases = Leases(ledger, monotonic)
        pool = foundation.pool

        def quiet() -> bool:
            last = pool.last_failure_seconds
            now = self.reactor.seconds()
            return last is not None and now - last < settings.lease_seconds

        hold_seconds = max(3 * settings.collect_interval_seconds, 5.0)
        assert self._front is not None
        metrics = self._front.metrics
        watched = {
            name: GuardedBackend(
                each, self.reactor, monotonic, watch=breaker_watch(metrics)
            )
            for name, each in foundation.backends.items()
        }
        show_breakers(metrics, watched)
        health = Health(watched, foundation.budgets)
        router = Router(
            targets(foundation.configs), self.config.routing_strategy, health
        )
        collector = Collector(
            Janitor(pool, settings.lease_seconds, settings.late_seconds, hold_seconds),
            foundation.backends,
            quiet,
        )
        every = settings.collect_interval_seconds
        reap = Job("reap claims", every, collector.reap, self.reactor)
        collect = {
            name: Job(
                f"collect garbage on {name}",
                every,
                partial(collector.collect, name),
                self.reactor,
            )
            for name in foundation.backends
        }
        extend = Job(
            "extend leases", settings.lease_seconds / 3, leases.extend, self.reactor
        )
        standbys = foundation.standbys
        trim_all = pool.trim if standbys is None else standbys.trim
        trim = Job("trim connections", 30.0, trim_all, self.reactor)
        self._jobs = Jobs([extend, reap, *collect.values(), trim])
        if foundation.budgets:
            settle = partial(settle_all, foundation.budgets, everything=False)
            self._jobs.jobs.append(
                Job("settle usage", SETTLE_SECONDS, settle, self.reactor)
            )
        writer = Writer(
            ledger,
            leases,
            watched,
            router,
            foundation.installation_id,
            monotonic,
            lambda backend: collect[backend].soon(),
            (self.config.replication or ReplicationConfig()).count,
        )
        objects = Objects(
            ledger, watched, writer, self.reactor, settings.grace_seconds, health
        )
        upload_ledger = PostgresUploads(
            pool, settings.lease_seconds, settings.grace_seconds
        )
        uploads = Uploads(upload_ledger, writer, foundation.installation_id)
        copies = Copies(
            objects, ledger, upload_ledger, writer, foundation.installation_id
        )
        multipart = self.config.multipart
        manifests = Manifests(
            PostgresManifests(pool, settings.lease_seconds, hold_seconds),
            writer,
            foundation.installation_id,
        )
        self._jobs.jobs += [
            Job(
                "write manifests",
                settings.collect_interval_seconds,
                Manifester(manifests).round,
                self.reactor,
            ),
            Job(
                "expire uploads",
                multipart.cleanup_interval_seconds,
                Expirer(upload_ledger, multipart.max_age_seconds).round,
                self.reactor,
            ),
        ]
        self._jobs.jobs += pool_jobs(
            self.config,
            foundation,
            watched,
            health,
            router,
            writer,
            self.reactor,
            monotonic,
            pool_events(metrics),
        )
        rooms = Rooms(
            objects,
            uploads,
            copies,
            BucketTags(pool),
            PostgresCors(pool),
            admission.directory,
        )
        pages, tally = None, None
        if self.config.ui.enabled:
            pages = make_pages(self.config, foundation, objects)
            tally = Tally(Traffic(pool).add)
            count = Job("count requests", TALLY_SECONDS, tally.write_down, self.reactor)
            self._jobs.jobs.append(count)
        access = Watch()
        if self._traced is not None:
            rooms, access = self._traced.rooms(rooms), Watch(self._traced.tracing)
            for job in self._jobs.jobs:
                job.around = partial(self._traced.tracing.apart, f"job {job.name}")
        return make_site(
            rooms,
            admission.authenticator,
            server=self.config.server,
            clock=self.reactor,
            now=now,
            metrics_path=self._front.metrics_path,
            registry=self._front.registry,
            throttle=self._front.throttle,
            pages=pages.answer if pages is not None else None,
            tally=tally.note if tally is not None else None,
            meter=self._front.requests,
            access=access,
            readiness=self._readiness,
            degraded=Degraded(standbys, stale_reads(metrics, standbys)),
        )

    async def _close(self) -> None:
        try:
            if self._front is not None:
                await self._front.close()
            if self._site is not None:
                await self._site.drain.drain(DRAIN_SECONDS)
            await self._jobs.stop()
        finally:
            if self._foundation is not None:
                await self._foundation.close()
            if self._traced is not None:
                await self._traced.tracing.close()


def follow_level(gate: LevelGate) -> Applier:
    """Have a reload change what is logged."""
    return Applier.of(("logging.level",), lambda new: gate.set(new.logging.level))


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def tell_serving(
    config: Config, address: Any, backends: Collection[str], log: Logger
) -> None:
    """Log what is served, and where."""
    log.info(
        "serving bucket {bucket} on {scheme}{host}:{port} from {backends}",
        bucket=config.server.virtual_bucket,
        scheme="https://" if config.server.tls is not None else "",
        host=address.host,
        port=address.port,
        backends=", ".join(backends),
    )


def show_banner(config: Config, address: Any, out: TextIO) -> None:
    """Show generated keys, and what to do with them."""
    bucket = config.server.virtual_bucket
    out.write(banner(f"http://127.0.0.1:{address.port}", bucket, config.auth))
    out.flush()


async def warn_if_versioned(backend: Any, log: Logger) -> None:
    """Warn where deleted bytes may stay."""
    if await backend.versioned():
        log.warn(
            "backend {name}: its bucket is versioned, so deleted bytes are kept "
            "there where a write's answer was lost; turn versioning off",
            name=backend.name,
        )
