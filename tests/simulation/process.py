"""One process: what ``service.Daemon`` puts together, on what the simulation has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from attrs import define, field, frozen
from twisted.internet.task import Clock

from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.config_model import AuthConfig, RateLimitConfig, ServerConfig
from s3proxy.jobs.collecting import Collector
from s3proxy.jobs.draining import Drainer
from s3proxy.jobs.expiring import Expirer
from s3proxy.jobs.manifesting import Manifester
from s3proxy.jobs.pacing import Pace
from s3proxy.jobs.replicating import Replicator
from s3proxy.jobs.runner import Job, Jobs
from s3proxy.manager.copying import Copies
from s3proxy.manager.leases import Leases
from s3proxy.manager.manifesting import Manifests
from s3proxy.manager.objects import Objects
from s3proxy.manager.replicating import Replicas
from s3proxy.manager.routing import Router
from s3proxy.manager.uploads import Uploads
from s3proxy.manager.writing import Writer
from s3proxy.model import CopyCount
from s3proxy.plan.placement import Standing, Target
from s3proxy.web.assembly import Rooms, make_site
from s3proxy.web.auth import Authenticator
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.keyring import Keyring
from s3proxy.web.site import StreamingSite
from s3proxy.web.throttle import Throttle
from tests.fakes.backend import MemoryBackend
from tests.fakes.pool import (
    MemoryDraining,
    MemoryJobs,
    MemoryReplicas,
    WholeManifests,
)
from tests.fakes.uploads import MemoryUploads
from tests.fakes.whole import WholeLedger
from tests.simulation.owner import Owner, ProcessClock
from tests.simulation.remote_backend import RemoteBackend
from tests.simulation.remote_ledger import Promises, Remote, RemoteUploads
from tests.simulation.scheduler import Scheduler
from tests.web.fakes import FakeBuckets, FakeBucketTags, FakeCors

BUCKET = "unified"
EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

LEASE_SECONDS = 30.0
GRACE_SECONDS = 20.0
LATE_SECONDS = 60.0
HOLD_SECONDS = 15.0
COLLECT_SECONDS = 2.0
ROUND_SECONDS = 10.0
MAX_AGE_SECONDS = 300.0


@frozen
class Shared:
    """What processes share, and how they are configured."""

    scheduler: Scheduler
    ledger: WholeLedger
    uploads: MemoryUploads
    backends: Mapping[str, MemoryBackend]
    promises: Promises
    factor: int
    count: CopyCount
    clock: Clock


@define(eq=False)
class Process:
    """
    :ivar last_failure_seconds: Of the ledger, as this process met it.
    """

    shared: Shared
    owner: Owner
    leases: Leases = field(init=False)
    site: StreamingSite = field(init=False)
    jobs: Jobs = field(init=False)
    last_failure_seconds: float | None = None

    def __attrs_post_init__(self) -> None:
        shared, owner = self.shared, self.owner
        clock = ProcessClock(shared.clock, owner)
        now = clock.seconds

        def remote(inner: object, kind: type[Remote] = Remote) -> Remote:
            return kind(
                inner, owner, shared.scheduler, self._note_failure, shared.promises
            )

        ledger = remote(shared.ledger)
        upload_ledger = remote(shared.uploads, RemoteUploads)
        plain = {
            name: RemoteBackend(each, owner, shared.scheduler, shared.promises)
            for name, each in shared.backends.items()
        }
        watched = {
            name: GuardedBackend(each, clock, now) for name, each in plain.items()
        }
        health = Health(watched)
        router = Router([Target(name) for name in plain], "pack", health)
        self.leases = Leases(ledger, now)
        collector = Collector(ledger, plain, self._is_quiet)
        collect = {
            name: Job(
                f"collect on {name}",
                COLLECT_SECONDS,
                partial(collector.collect, name),
                clock,
            )
            for name in plain
        }
        writer = Writer(
            ledger,
            self.leases,
            watched,
            router,
            "installation",
            now,
            lambda backend: collect[backend].soon(),
            shared.count,
        )
        objects = Objects(ledger, watched, writer, clock, GRACE_SECONDS, health)
        uploads = Uploads(upload_ledger, writer, "installation")
        copies = Copies(objects, ledger, upload_ledger, writer, "installation")
        manifests = Manifests(
            remote(WholeManifests(shared.ledger, HOLD_SECONDS)), writer, "installation"
        )
        replicas = Replicas(
            remote(MemoryReplicas(shared.ledger, HOLD_SECONDS)),
            watched,
            writer,
            "installation",
            health,
        )
        drainer = Drainer(
            remote(MemoryDraining(shared.ledger)),
            replicas,
            remote(MemoryJobs(shared.ledger, owner.name)),
            Pace(clock, now),
            lambda size_bytes, without: router.place(size_bytes, without).order,
            shared.factor,
            LEASE_SECONDS,
        )

        def keep() -> list[str]:
            return sorted(
                plain, key=lambda name: health.of_reads(name)[0] is Standing.RESTING
            )

        replicator = Replicator(replicas, shared.factor, 10, keep, now)
        expirer = Expirer(upload_ledger, MAX_AGE_SECONDS)
        rounds = [
            ("extend", LEASE_SECONDS / 3, self.leases.extend),
            ("reap", ROUND_SECONDS, collector.reap),
            ("manifests", ROUND_SECONDS, Manifester(manifests).round),
            ("expire", ROUND_SECONDS, expirer.round),
            ("drain", ROUND_SECONDS, drainer.round),
            ("replicate", ROUND_SECONDS, replicator.round),
        ]
        self.jobs = Jobs(
            [
                *(Job(name, seconds, work, clock) for name, seconds, work in rounds),
                *collect.values(),
            ]
        )
        self.site = self._make_site(
            Rooms(
                objects,
                uploads,
                copies,
                FakeBucketTags(),
                FakeCors(),
                BucketDirectory({BUCKET: EPOCH}, FakeBuckets(), set()),
            ),
            clock,
        )
        self.jobs.start()

    def _make_site(self, rooms: Rooms, clock: ProcessClock) -> StreamingSite:
        server, ids = ServerConfig(), count(1)

        def now() -> datetime:
            return EPOCH + timedelta(seconds=clock.seconds())

        return make_site(
            rooms,
            Authenticator(Keyring.of(AuthConfig()), regions=("us-east-1",), now=now),
            server=server,
            clock=clock,
            now=now,
            request_ids=lambda: f"{next(ids):016X}",
            throttle=Throttle(server, RateLimitConfig(), clock),
        )

    def _note_failure(self) -> None:
        self.last_failure_seconds = self.shared.clock.seconds()

    def _is_quiet(self) -> bool:
        last = self.last_failure_seconds
        return last is not None and self.shared.clock.seconds() - last < LEASE_SECONDS
