"""
What is broken, and looked at afterwards: daemons, a database, backends, and proxies.

Blocking work on child processes is done in threads that live as long as the world does:
a child dies with the thread that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from attrs import define, field, fields_dict

from chaos.http_faults import BackendProxy
from chaos.judge import Violation
from chaos.mutations import ROOT
from chaos.pair import Pair
from chaos.postgres_faults import DatabaseProxy
from s3proxy.config import BackendConfig
from s3proxy.config_model import ServerConfig
from tests.crash.ground import BreakableDaemon
from tests.servers import S3Server

T = TypeVar("T")

LEASE_SECONDS, LATE_SECONDS = 3.0, 8.0
LEDGER = {
    "lease": f"{LEASE_SECONDS:g}s",
    "grace": "500ms",
    # Longer than any request is kept back by the proxies, on a busy machine, too.
    "late": f"{LATE_SECONDS:g}s",
    "collect_interval": "200ms",
}
MULTIPART = {"max_age": "20s", "cleanup_interval": "5s"}
#: The first backends are full now and then, so that all of them are written to.
QUOTAS = (500_000, 3_000_000, 0)
TRACEBACK = "Traceback (most recent call last)"
SETTLE_SECONDS = 120.0
#: Generous, since a busy machine is no fault of the daemon's.
START_SECONDS, START_ATTEMPTS = 180.0, 5

#: Worker processes of a daemon, where the configuration knows of such.
WORKERS = 2 if "workers" in fields_dict(ServerConfig) else 1


@define(eq=False)
class World:
    """
    Two daemons over one PostgreSQL and some buckets, with proxies in between.

    :ivar postgres: A primary and its synchronous standby.
    :ivar proxies: Before the backends.
    :ivar database: The proxy before PostgreSQL.
    :ivar counts: Ends of daemons by SIGKILL, and whatever else was done, by name.
    """

    seed: int
    root: Path = ROOT
    workers: int = WORKERS
    daemon_count: int = 2
    counts: Counter[str] = field(factory=Counter)
    postgres: Pair = field(factory=Pair)
    s3server: S3Server = field(init=False)
    proxies: list[BackendProxy] = field(factory=list)
    database: DatabaseProxy = field(init=False)
    daemons: list[BreakableDaemon] = field(factory=list)
    _serving: list[BreakableDaemon] = field(factory=list)
    _read: dict[int, int] = field(factory=dict)
    _buckets: list[BackendConfig] = field(factory=list)
    _stack: AsyncExitStack = field(factory=AsyncExitStack)
    _threads: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(8))

    async def __aenter__(self) -> World:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        stack = self._stack
        stack.callback(self._threads.shutdown, wait=False)
        self.s3server = S3Server()
        stack.callback(self.s3server.close)
        stack.callback(self.postgres.close)
        await asyncio.gather(
            self.threaded(self.postgres.start), self.threaded(self.s3server.start)
        )
        for number in range(len(QUOTAS)):
            bucket = self.s3server.create_bucket(
                f"b{number + 1}", quota_bytes=QUOTAS[number]
            )
            self._buckets.append(bucket)
            proxy = BackendProxy(bucket, Random(f"{self.seed}/proxy/{number}"))
            self.proxies.append(await stack.enter_async_context(proxy))
        ledger = self.postgres.primary.create_database()
        await self.threaded(self.postgres.follow)
        self.database = await stack.enter_async_context(DatabaseProxy(ledger))
        for _ in range(self.daemon_count):
            daemon = BreakableDaemon(
                self.database.config,
                [proxy.config for proxy in self.proxies],
                ledger=LEDGER,
                server={"workers": self.workers} if self.workers > 1 else None,
                root=self.root,
                multipart=MULTIPART,
            )
            daemon.start_seconds = START_SECONDS
            stack.callback(daemon.__exit__, None, None, None)
            self.daemons.append(daemon)
            await self.start(daemon)

    async def threaded(self, call: Callable[..., T], *args: Any) -> T:
        """Make a call that blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *args)

    def ports(self) -> list[int]:
        """Where daemons listen that serve, or seem to."""
        return [each.port for each in self._serving if is_running(each)]

    # What goes wrong.

    async def restart(self, daemon: BreakableDaemon) -> None:
        """SIGKILL, to all of its processes, and a new start."""
        if daemon in self._serving:
            self._serving.remove(daemon)
        await self.threaded(kill_all, daemon)
        self.counts["kill -9"] += 1
        await self.start(daemon)

    def kill_worker(self, daemon: BreakableDaemon, number: int) -> bool:
        """SIGKILL to one of its workers, if there are such; returns whether."""
        workers = list(family(daemon.pid))[1:] if self.workers > 1 else []
        if not workers:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(workers[number % len(workers)], signal.SIGKILL)
        self.counts["kill -9"] += 1
        return True

    async def start(self, daemon: BreakableDaemon) -> None:
        """Start it, as whoever looks after it would: again where it fails at once."""
        for attempt in range(START_ATTEMPTS):
            try:
                await self.threaded(daemon.start)
                if daemon not in self._serving:
                    self._serving.append(daemon)
                return
            except AssertionError:
                # It may fail for want of a database, but not for ever.
                self.counts["failed starts"] += 1
                await self.threaded(kill_all, daemon)
                if attempt + 1 == START_ATTEMPTS:
                    raise
                await asyncio.sleep(1)

    async def fail_over(self) -> None:
        """The database's standby takes over, at an address that clients are led to."""
        await self.threaded(self.postgres.fail_over)
        name = self.database.database.database
        self.database.database = self.postgres.primary.config(name)
        # Nothing is lost with a synchronous standby, and somebody has to say so.
        await self.threaded(
            self.postgres.primary.execute, "SELECT ledger_accept_restore()", name
        )

    # What is there afterwards.

    async def heal(self) -> None:
        """Nothing goes wrong any more."""
        for proxy in self.proxies:
            proxy.rules.clear()
        self.database.orders.clear()
        for daemon in self.daemons:
            daemon.disarm()
        for proxy in self.proxies:
            await proxy.settle()

    async def settle(self) -> tuple[float, list[Violation]]:
        """Until recovery is through; how many seconds that took, and whether it was."""
        began = time.monotonic()
        while left := await self.threaded(self._unsettled):
            if time.monotonic() - began > SETTLE_SECONDS:
                words = f"not settled in {SETTLE_SECONDS:g} s: {left}"
                return SETTLE_SECONDS, [Violation("unsettled", "", words)]
            await asyncio.sleep(0.2)
        return time.monotonic() - began, []

    async def differences(self) -> list[Violation]:
        """Between the ledger and the backends, past the product."""
        found = await self.threaded(self._differences)
        if found:
            # An upload may have come of age between the two looks: what is wrong stays.
            _, unsettled = await self.settle()
            again = await self.threaded(self._differences)
            found = unsettled + [each for each in found if each in again]
        return found

    def tracebacks(self) -> list[Violation]:
        """What daemons did not expect, since the last look at their logs."""
        found = []
        for number, daemon in enumerate(self.daemons):
            text = daemon.log.read_text(errors="replace")
            for part in text[self._read.get(number, 0) :].split(TRACEBACK)[1:]:
                words = f"daemon {number}: {TRACEBACK}{part[:1500]}"
                found.append(Violation("traceback", "", words))
            self._read[number] = len(text)
        return found

    async def check(self, *, settled: bool = True) -> str:
        """What the product's own ``check`` finds; "" for nothing."""
        done = await self.threaded(lambda: self.daemons[0].check(settled=settled))
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _unsettled(self) -> str:
        rows = self._query(
            "SELECT state, count(*)::text FROM object_locations"
            " WHERE state <> 'live' GROUP BY state UNION ALL "
            "SELECT 'manifests wanted', count(*)::text FROM objects"
            " WHERE manifest_wanted_at IS NOT NULL HAVING count(*) > 0"
        )
        return ", ".join(f"{number} {state}" for state, number in rows)

    def _differences(self) -> list[Violation]:
        found = []
        rows: dict[str, dict[str, int]] = {each.name: {} for each in self._buckets}
        sql = "SELECT backend_name, backend_key, size_bytes FROM object_locations"
        for name, key, size in self._query(sql):
            rows[name][key] = size
        for bucket in self._buckets:
            stored, known = self.s3server.keys(bucket), rows[bucket.name]
            for key in sorted(stored.keys() - known.keys()):
                found.append(Violation("orphan", "", f"{bucket.name}: {key}"))
            for key in sorted(known.keys() - stored.keys()):
                found.append(Violation("missing", "", f"{bucket.name}: {key}"))
            for key in sorted(known.keys() & stored.keys()):
                if known[key] != stored[key]:
                    words = f"{bucket.name}: {key}: {stored[key]}, not {known[key]}"
                    found.append(Violation("size", "", words))
        for name, used, summed in self._query(
            "SELECT q.backend_name, q.bytes_used,"
            "       coalesce(sum(l.size_bytes), 0)::bigint"
            "  FROM backend_quotas q LEFT JOIN object_locations l USING (backend_name)"
            " GROUP BY q.backend_name"
        ):
            if used != summed:
                found.append(Violation("counter", "", f"{name}: {used}, not {summed}"))
        return found

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = self.postgres.primary.connect(self.database.database.database)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def is_running(daemon: BreakableDaemon) -> bool:
    """Whether it has not ended."""
    return daemon.process is not None and daemon.process.poll() is None


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def signal_all(daemon: BreakableDaemon, number: signal.Signals) -> None:
    """To all of a daemon's processes."""
    if is_running(daemon):
        for pid in list(family(daemon.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def kill_all(daemon: BreakableDaemon) -> None:
    """SIGKILL to all of a daemon's processes, and wait for the end of the first."""
    signal_all(daemon, signal.SIGKILL)
    if daemon.process is not None:
        daemon.process.wait()
