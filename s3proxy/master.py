"""
The master: opens the sockets, starts what is embedded, and keeps the workers running.

A composition root, beside :mod:`s3proxy.service`. It prepares once what all workers
share (the schema, the ledger's backends and buckets, generated files), and then has no
part in a request. The workers die with it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from attrs import evolve
from prometheus_client.multiprocess import mark_process_dead
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from s3proxy import __version__
from s3proxy.admission import open_admission
from s3proxy.config import Config
from s3proxy.foundation import Foundation, open_foundation, register
from s3proxy.front import Front, tcp_ports
from s3proxy.lifecycle import Lifecycle
from s3proxy.reload import Act, Applier, Reloader, in_force
from s3proxy.service import (
    DRAIN_SECONDS,
    follow_level,
    now,
    tell_serving,
    warn_if_versioned,
)
from s3proxy.store.buckets import PostgresBuckets
from s3proxy.telemetry.sinks import LevelGate
from s3proxy.web.shared_rates import make_table
from s3proxy.workers.crew import Crew
from s3proxy.workers.messages import FIRST_SOCKET, RATES, Socket, Start
from s3proxy.workers.process import Listener, WorkerProcess, spawn
from s3proxy.workers.shares import share_of

#: For a worker to clean up once its requests have been broken off.
_CLEAN_UP_SECONDS = 15.0

#: What a worker's interpreter runs. Its modules come from where this process's do, and
#: its reactor is of the same kind: the first one that is imported stays.
_BOOTSTRAP = (
    "import os, sys; sys.path[:] = os.environ.pop('S3PROXY_PATH').split(os.pathsep); "
    "from importlib import import_module; "
    "import_module(os.environ.pop('S3PROXY_REACTOR')).install(); "
    "from s3proxy.worker import main; main()"
)


class Master(Lifecycle):
    """
    ``server.workers`` processes in place of one.

    :param accept_moved: Backends whose new place or absence the operator vouches for.
    :param reread: Reads the configuration again at SIGHUP; None where there is none.
    :param log_gate: Follows ``logging.level``; None where the log is not ours.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        accept_moved: Collection[str],
        reread: Callable[[], Config] | None,
        log_gate: LevelGate | None,
    ) -> None:
        super().__init__(reactor)
        self._log_gate = log_gate
        self.config = config
        self._accept_moved = frozenset(accept_moved)
        self._reread = reread
        self._foundation: Foundation | None = None
        self._ports: dict[str, IListeningPort] = {}
        self._metrics_dir: str | None = None
        self._rates: int | None = None
        self._crew = Crew(config.server.workers, self._spawn, self._bury, self.reactor)

    async def _start(self) -> None:
        config = self.config
        # For its look at the certificate, before anything is started.
        Front(config, reactor=self.reactor, now=now)
        foundation = await open_foundation(config, reactor=self.reactor)
        self._foundation = foundation
        await register(foundation, self._accept_moved)
        made = PostgresBuckets(foundation.pool, config.ledger.late_seconds)
        await open_admission(config, foundation.registry, made, now)
        self._listen(config)
        self._rates = make_table()
        if config.telemetry.metrics.enabled:
            self._metrics_dir = tempfile.mkdtemp(prefix="s3proxy-metrics-")
        self.config = evolve(
            config, database=foundation.database, backends=foundation.configs
        )
        await self._crew.start()
        address = self._ports["server.listen_addr"].getHost()
        tell_serving(config, address, foundation.backends, self.log)
        applier = Applier(self._crew.settings, self._prepare)
        appliers = [applier]
        if self._log_gate is not None:
            # What workers log is written here.
            appliers.append(follow_level(self._log_gate))
        self.reload_with(Reloader(config, self._reread, appliers))
        Deferred.fromCoroutine(self._look_at_backends(foundation))

    async def _look_at_backends(self, foundation: Foundation) -> None:
        """The last that this process has to ask anybody."""
        try:
            for each in foundation.backends.values():
                await warn_if_versioned(each, self.log)
        finally:
            await foundation.disconnect()

    async def _close(self) -> None:
        try:
            # First the sockets: nobody must wait in a queue that nobody reads.
            for port in self._ports.values():
                stopped = port.stopListening()
                if stopped is not None:
                    await stopped
            await self._crew.stop(DRAIN_SECONDS + _CLEAN_UP_SECONDS)
            if self._rates is not None:
                os.close(self._rates)
            if self._metrics_dir is not None:
                shutil.rmtree(self._metrics_dir, ignore_errors=True)
        finally:
            if self._foundation is not None:
                await self._foundation.close()

    def _listen(self, config: Config) -> None:
        """
        Open the sockets that workers inherit.

        :raises CannotListenError: An address is taken, or not ours.
        """
        addresses = {"server.listen_addr": config.server.listen_addr}
        metrics = config.telemetry.metrics
        if metrics.enabled and metrics.listen_addr is not None:
            addresses["telemetry.metrics.listen_addr"] = metrics.listen_addr
        listen = tcp_ports(self.reactor)
        for key, address in addresses.items():
            port: Any = listen(key, address, Factory())
            # Accepting is the workers' alone.
            port.stopReading()
            self._ports[key] = port

    # Workers.

    def _spawn(self, number: int, listener: Listener) -> WorkerProcess:
        assert self._rates is not None
        sockets, inherited = {}, {RATES: self._rates}
        for at, (key, port) in enumerate(self._ports.items(), FIRST_SOCKET):
            opened: Any = port
            sockets[key] = Socket(at, int(opened.addressFamily))
            inherited[at] = int(opened.fileno())
        config = share_of(self.config, self.config.server.workers)
        environment = {
            **os.environ,
            "S3PROXY_PATH": os.pathsep.join(sys.path),
            "S3PROXY_REACTOR": type(self.reactor).__module__,
            "S3PROXY_VERSION": __version__,
        }
        if self._metrics_dir is not None:
            environment["PROMETHEUS_MULTIPROC_DIR"] = self._metrics_dir
        return spawn(
            self.reactor,
            Start(number, config, self._accept_moved, sockets, RATES),
            listener,
            command=_command,
            environment=environment,
            inherited=inherited,
        )

    def _bury(self, pid: int) -> None:
        """A worker has ended: its gauges count no more."""
        if self._metrics_dir is not None and Path(self._metrics_dir).is_dir():
            mark_process_dead(pid, self._metrics_dir)  # type: ignore[no-untyped-call]

    async def _prepare(self, config: Config) -> Act:
        workers = self.config.server.workers
        act_all = await self._crew.prepare(share_of(config, workers))

        def act() -> Awaitable[None] | None:
            # Whoever is started from now on goes by it, too.
            self.config = in_force(self.config, config, self._crew.settings)
            return act_all()

        return act


def _command(number: int) -> list[str]:
    return [sys.executable, "-c", _BOOTSTRAP, f"s3proxy-worker-{number}"]
