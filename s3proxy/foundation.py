"""
What daemon and subcommands stand on: embedded parts, database, backends.

With :mod:`s3proxy.service`, the composition root: nothing else builds a store or a
backend.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2
from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from s3proxy.backend.budget import Budget, settle_all
from s3proxy.backend.client import S3Backend
from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.backend.limits import Limits
from s3proxy.backend.measured import Account
from s3proxy.backend.probe_calls import ProbeCalls
from s3proxy.backend.probing import Probe, other_style
from s3proxy.backend.signing import SigningAgent
from s3proxy.commands import doctor, drain, explain, export, restore, sweep
from s3proxy.commands.context import Context
from s3proxy.config import BackendConfig, Config, DatabaseConfig
from s3proxy.embedded.runtime import Embedded
from s3proxy.errors import ConfigError, StoreError, StoreUnavailable
from s3proxy.jobs.runner import Job
from s3proxy.manager.backing_up import COPIES, Backups
from s3proxy.manager.leases import Leases
from s3proxy.manager.routing import Router
from s3proxy.manager.writing import Writer
from s3proxy.model import CopyCount
from s3proxy.plan.placement import Target
from s3proxy.store.adoption import Adoption
from s3proxy.store.catalogue import Catalogues
from s3proxy.store.checks import Checks
from s3proxy.store.draining import PostgresDraining
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.exporting import Exports
from s3proxy.store.hosts import connect_any
from s3proxy.store.ledger import PostgresLedger
from s3proxy.store.moving import PostgresMoving
from s3proxy.store.pool import Pool
from s3proxy.store.rebuild import Rebuild
from s3proxy.store.registry import BackendEntry, Registry
from s3proxy.store.schema import apply_schema
from s3proxy.store.standbys import ANSWER_SECONDS, Standbys, standby_arguments
from s3proxy.store.status import Status
from s3proxy.store.sweeping import PostgresSweeping
from s3proxy.store.usage import PostgresUsage
from s3proxy.store.whereabouts import Whereabouts

_CONNECT_TIMEOUT_SECONDS = 10.0

_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: How long an end waits to return what is reserved of usage budgets.
_RETURN_SECONDS = 5.0

_log = Logger()

#: Of the embedded PostgreSQL, beside those of the processes that serve: for the
#: start, for subcommands, and for whoever looks into it.
_EMBEDDED_CONNECTIONS = 40


@frozen
class Foundation:
    """
    Opened parts; :meth:`close` them in the end.

    :ivar database: The configured one, or the embedded one.
    :ivar configs: The backends' configurations, in order of preference.
    :ivar backends: By name, in that order.
    :ivar standbys: Where reads may go on; None: nowhere.
    :ivar budgets: Of the backends that have one, by name.
    """

    embedded: Embedded
    database: DatabaseConfig
    pool: Pool
    registry: Registry
    configs: tuple[BackendConfig, ...]
    backends: Mapping[str, Account]
    installation_id: str
    standbys: Standbys | None = None
    budgets: Mapping[str, Budget] = field(factory=dict)

    async def close(self) -> None:
        """Close connections, then stop the embedded servers."""
        try:
            await self.disconnect()
        finally:
            await self.embedded.stop()

    async def disconnect(self) -> None:
        """Close connections; the embedded servers go on. Again does no harm."""
        try:
            await Deferred.fromCoroutine(
                settle_all(self.budgets, everything=True)
            ).addTimeout(_RETURN_SECONDS, self.pool.reactor)
        except (StoreError, TimeoutError) as why:
            # Counted and not used, at the most a batch of each kind.
            _log.warn("usage budgets: not returned: {why}", why=why)
        self.pool.close()
        if self.standbys is not None:
            self.standbys.close()
        for backend in self.backends.values():
            await backend.close()


async def open_foundation(
    config: Config,
    *,
    reactor: Any,
    make_pool: Callable[..., Pool] = Pool,
    make_agent: Callable[..., SigningAgent] = SigningAgent,
) -> Foundation:
    """
    Start what is embedded, reach the database, bring its schema up to date.

    :param make_pool: As :class:`Pool`; tracing has others of these two.
    :raises StoreUnavailable: The database cannot be reached; says what was tried.
    :raises SchemaRefused: It cannot hold the ledger.
    :raises EmbeddedError: An embedded server did not start.
    """
    embedded = Embedded(
        config.data_dir,
        reactor,
        want_postgres=config.database is None,
        want_s3=not config.backends,
        connections=_EMBEDDED_CONNECTIONS
        + config.server.workers * DatabaseConfig("", 0, "", "", None).max_conns,
    )
    parts = await embedded.start()
    try:
        database = config.database or parts.database
        assert database is not None
        await _prepare(database, reactor)
    except BaseException:
        await embedded.stop()
        raise
    pool = make_pool(
        connection_arguments(database),
        reactor,
        max_connections=database.max_conns,
        min_connections=database.min_conns,
        max_lifetime_seconds=database.max_conn_lifetime_seconds,
        connect_timeout_seconds=_CONNECT_TIMEOUT_SECONDS,
    )
    try:
        registry = Registry(pool)
        installation_id = await registry.installation_id()
    except BaseException:
        pool.close()
        await embedded.stop()
        raise
    configs = tuple(config.backends or parts.backends)
    budgets = _budgets(configs, PostgresUsage(pool))
    backends = {
        each.name: S3Backend(
            each,
            reactor=reactor,
            now=_now,
            agent=make_agent,
            budget=budgets.get(each.name),
        )
        for each in configs
    }
    standbys = None
    if database.stale_reads:
        standbys = _standbys(database, pool, installation_id, make_pool)
    return Foundation(
        embedded,
        database,
        pool,
        registry,
        configs,
        backends,
        installation_id,
        standbys,
        budgets,
    )


def usage_limits(configs: Sequence[BackendConfig]) -> dict[str, dict[str, int]]:
    """Those of the backends that have any, by name."""
    return {each.name: each.usage.limits for each in configs if each.usage.limits}


def _budgets(
    configs: Sequence[BackendConfig], ledger: PostgresUsage
) -> dict[str, Budget]:
    return {
        name: Budget.of(name, limits, ledger, time.monotonic)
        for name, limits in usage_limits(configs).items()
    }


def _standbys(
    database: DatabaseConfig,
    primary: Pool,
    installation_id: str,
    make_pool: Callable[..., Pool],
) -> Standbys:
    pools = {
        host: make_pool(
            arguments,
            primary.reactor,
            max_connections=database.max_conns,
            max_lifetime_seconds=database.max_conn_lifetime_seconds,
            connect_timeout_seconds=ANSWER_SECONDS,
        )
        for host, arguments in standby_arguments(primary.arguments).items()
    }
    limit = database.stale_reads_limit_seconds
    return Standbys(primary, pools, installation_id, limit)


async def register(foundation: Foundation, accept_moved: Collection[str]) -> None:
    """
    Tell the ledger of the configured backends.

    :raises BackendMoved: One is not where the ledger has its bytes.
    """
    await foundation.registry.register(_entries(foundation), accept_moved)


def _entries(foundation: Foundation) -> list[BackendEntry]:
    return [
        BackendEntry(each.name, each.identity, each.quota_bytes)
        for each in foundation.configs
    ]


@asynccontextmanager
async def open_context(
    config: Config, *, reactor: Any, writes: bool | None = None
) -> AsyncIterator[Context]:
    """
    What a subcommand needs, closed after it.

    :param writes: Whether it writes rows, for which the ledger must know the backends;
        None for one that only compares, wherever the backends have gone.
    :raises BackendMoved: As of :func:`register`.
    """
    foundation = await open_foundation(config, reactor=reactor)
    try:
        if writes:
            await register(foundation, ())
        elif writes is not None:
            await foundation.registry.check(_entries(foundation), ())
        yield Context(
            Checks(foundation.pool),
            Adoption(foundation.pool),
            Rebuild(foundation.pool, config.ledger.grace_seconds),
            foundation.backends,
            foundation.installation_id,
            {*config.buckets, *await foundation.registry.names()},
            reactor,
        )
    finally:
        await foundation.close()


@asynccontextmanager
async def open_status(
    config: Config, *, reactor: Any
) -> AsyncIterator[tuple[Status, frozenset[str]]]:
    """What ``status`` needs, and the names of the backends; closed after it."""
    foundation = await open_foundation(config, reactor=reactor)
    try:
        yield Status(foundation.pool), frozenset(foundation.backends)
    finally:
        await foundation.close()


@asynccontextmanager
async def open_drain(
    config: Config, *, reactor: Any
) -> AsyncIterator[tuple[drain.Pool, frozenset[str]]]:
    """What ``drain`` and ``remove`` need, and the configured names; closed after it."""
    foundation = await open_foundation(config, reactor=reactor)
    try:
        pool = drain.Pool(
            PostgresDraining(foundation.pool, config.ledger.grace_seconds),
            PostgresMoving(foundation.pool),
            targets(foundation.configs),
            config.routing_strategy,
            1 if config.replication is None else config.replication.factor,
            reactor,
        )
        yield pool, frozenset(foundation.backends)
    finally:
        await foundation.close()


@asynccontextmanager
async def open_whereabouts(
    config: Config, *, reactor: Any
) -> AsyncIterator[explain.Pool]:
    """What ``explain`` and ``what-if`` need; closed after it."""
    foundation = await open_foundation(config, reactor=reactor)
    try:
        known = await Status(foundation.pool).backends()
        yield explain.Pool(
            Whereabouts(foundation.pool),
            tuple(foundation.backends),
            {each.name for each in known},
            {each.name for each in known if each.is_draining},
            {*config.buckets, *await foundation.registry.names()},
            1 if config.replication is None else config.replication.factor,
        )
    finally:
        await foundation.close()


@asynccontextmanager
async def open_export(config: Config, *, reactor: Any) -> AsyncIterator[export.Source]:
    """What ``export`` needs, wherever the backends have gone; closed after it."""
    foundation = await open_foundation(config, reactor=reactor)
    try:
        timing = config.ledger
        yield export.Source(
            PostgresLedger(foundation.pool, timing.lease_seconds, timing.grace_seconds),
            Exports(foundation.pool),
            foundation.backends,
            sorted({*config.buckets, *await foundation.registry.names()}),
            timing.grace_seconds,
            reactor,
        )
    finally:
        await foundation.close()


@asynccontextmanager
async def open_sweep(
    config: Config, *, reactor: Any, writes: bool
) -> AsyncIterator[sweep.Pool]:
    """
    What ``sweep`` needs, closed after it.

    :param writes: Whether rows are written, for which backends must be known.
    :raises BackendMoved: As of :func:`register`.
    """
    foundation = await open_foundation(config, reactor=reactor)
    try:
        if writes:
            await register(foundation, ())
        else:
            await foundation.registry.check(_entries(foundation), ())
        yield sweep.Pool(
            PostgresSweeping(foundation.pool, config.ledger.grace_seconds),
            foundation.backends,
            foundation.installation_id,
            reactor,
        )
    finally:
        await foundation.close()


def backups(
    config: Config, pool: Pool, writer: Writer, configs: Sequence[BackendConfig]
) -> Backups:
    """
    What makes backups.

    :param writer: Like the one that stores them, on more than one backend.
    :param configs: The backends.
    """
    factor = 1 if config.replication is None else config.replication.factor
    timing = config.ledger
    wanted = min(COPIES, sum(not each.read_only for each in configs))
    return Backups(
        Catalogues(pool),
        PostgresLedger(pool, timing.lease_seconds, timing.grace_seconds),
        # Fewer where others are down or full: better than none.
        writer.to(CopyCount(1, max(wanted, factor))),
        config.backup.keep,
        wanted,
    )


@asynccontextmanager
async def open_backup(
    config: Config, *, reactor: Any, writes: bool
) -> AsyncIterator[Backups]:
    """
    What ``backup`` needs; closed after it.

    :param writes: Whether it writes, for which backends must be known.
    :raises BackendMoved: As of :func:`register`.
    """
    foundation = await open_foundation(config, reactor=reactor)
    try:
        if writes:
            await register(foundation, ())
        else:
            await foundation.registry.check(_entries(foundation), ())
        timing = config.ledger
        ledger = PostgresLedger(
            foundation.pool, timing.lease_seconds, timing.grace_seconds
        )
        guarded = {
            name: GuardedBackend(each, reactor, monotonic)
            for name, each in foundation.backends.items()
        }
        leases = Leases(ledger, monotonic)
        extend = Job("extend leases", timing.lease_seconds / 3, leases.extend, reactor)
        writer = Writer(
            ledger,
            leases,
            guarded,
            Router(
                targets(foundation.configs), config.routing_strategy, Health(guarded)
            ),
            foundation.installation_id,
            monotonic,
            lambda backend: None,
        )
        extend.start()
        try:
            yield backups(config, foundation.pool, writer, foundation.configs)
        finally:
            await extend.stop()
    finally:
        await foundation.close()


@asynccontextmanager
async def open_restore(config: Config, *, reactor: Any) -> AsyncIterator[restore.Pool]:
    """What ``restore`` needs; closed after it."""
    foundation = await open_foundation(config, reactor=reactor)
    try:
        yield restore.Pool(Catalogues(foundation.pool), foundation.backends, reactor)
    finally:
        await foundation.close()


@asynccontextmanager
async def open_patient(
    config: Config, name: str, *, reactor: Any
) -> AsyncIterator[doctor.Patient]:
    """
    What ``doctor`` needs, which is no database; closed after it.

    :raises ConfigError: There is no such backend.
    """
    embedded = Embedded(
        config.data_dir, reactor, want_postgres=False, want_s3=not config.backends
    )
    parts = await embedded.start()
    opened: list[ProbeCalls] = []
    try:
        configs = {each.name: each for each in config.backends or parts.backends}
        if name not in configs:
            names = ", ".join(configs)
            raise ConfigError(f"doctor {name}: not configured, want one of {names}")
        yield _patient(configs[name], reactor, opened)
    finally:
        for calls in opened:
            await calls.close()
        await embedded.stop()


def _patient(
    config: BackendConfig, reactor: Any, opened: list[ProbeCalls]
) -> doctor.Patient:
    host = urlsplit(config.endpoint).hostname or ""

    def calls(config: BackendConfig) -> ProbeCalls:
        # Somebody waits.
        limits = Limits(headers_seconds=20.0, stall_seconds=20.0)
        made = ProbeCalls(config, reactor=reactor, now=_now, limits=limits)
        opened.append(made)
        return made

    other = None
    if other_style(host):
        other = calls(evolve(config, force_path_style=not config.force_path_style))
    probe = Probe(calls(config), other, f"s3proxy-doctor/{uuid4().hex}/", _now)
    place = f"bucket {config.bucket} at {config.endpoint}"
    return doctor.Patient(config.name, host, place, probe)


def targets(configs: Sequence[BackendConfig]) -> list[Target]:
    """The backends as places for bytes, in order of preference."""
    return [
        Target(each.name, each.weight, each.max_object_size, each.read_only)
        for each in configs
    ]


def monotonic() -> float:
    """Seconds that nobody sets, and that go on while the machine sleeps: leases do."""
    return time.clock_gettime(_STEADY_CLOCK)


def _now() -> datetime:
    return datetime.now(UTC)


async def _prepare(database: DatabaseConfig, reactor: Any) -> None:
    tried = (
        f"database {database.database!r} at {database.host}:{database.port} as user "
        f"{database.user!r}, ssl_mode {database.ssl_mode}"
    )
    try:
        connection = await connect_any(
            connection_arguments(database), reactor, _CONNECT_TIMEOUT_SECONDS
        )
    except (psycopg2.Error, OSError) as why:
        raise StoreUnavailable(
            f"cannot reach {tried}: {str(why).strip() or type(why).__name__}. Check "
            "the database section of the configuration, and that PostgreSQL runs."
        ) from why
    try:
        await apply_schema(connection)
    except StoreError:
        raise
    except Exception as why:
        raise StoreUnavailable(
            f"cannot apply the schema to {tried}: "
            f"{str(why).strip() or type(why).__name__}"
        ) from why
    finally:
        connection.close()
