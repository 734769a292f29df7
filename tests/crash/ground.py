"""What the crash tests stand on: a breakable daemon, and the ledger's rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from attrs import define, field

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.crash.breaking import ENVIRONMENT, PAGE_ENVIRONMENT, POINTS
from tests.crash.history import History
from tests.crash.relays import BackendRelay, DatabaseRelay
from tests.daemon import Daemon
from tests.servers import PostgresServer, S3Server

PATIENCE_SECONDS = 30.0

#: Below and above what the daemon reads whole before it calls a backend.
SMALL, LARGE = 10_000, 3 * 1024 * 1024

#: What is to be waited for in hours passes when a test says so (Ground.pass_time).
LEDGER = {"lease": "2s", "grace": "1h", "late": "1h", "collect_interval": "50ms"}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll for what only a server's own working can bring about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


class BreakableDaemon(Daemon):
    """A daemon that dies or stops at a point of :mod:`tests.crash.breaking`."""

    def __init__(
        self,
        database: DatabaseConfig,
        backends: Sequence[BackendConfig],
        *,
        ledger: Mapping[str, str] | None = None,
        server: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            database,
            backends,
            ledger={**LEDGER, **(ledger or {})},
            server=server,
            module="tests.crash.breaking",
            **more,
        )
        self._order = self.directory / "trip-wire"
        self._client: Any = None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start with nothing armed."""
        self._order.unlink(missing_ok=True)
        super().start({ENVIRONMENT: str(self._order), **(environment or {})})

    def client(self, **options: Any) -> Any:
        """As :meth:`Daemon.client`; without options, the same one until it restarts."""
        if options:
            return super().client(**options)
        made = self._client
        if made is None or made.meta.endpoint_url != self.endpoint:
            made = self._client = super().client()
        return made

    def disarm(self) -> bool:
        """Arm nothing; returns whether the trip wire had not gone off."""
        was_armed = self.is_armed
        self._order.unlink(missing_ok=True)
        return was_armed

    def arm(self, point: str, action: str = "kill") -> None:
        """From now on, the next time it gets to *point* is the last."""
        assert point in POINTS
        draft = self._order.with_suffix(".draft")
        draft.write_text(f"{point} {action}")
        draft.replace(self._order)

    def sync(
        self, *options: str, point: str = "", page: int = 1000
    ) -> subprocess.CompletedProcess[str]:
        """As :meth:`command`."""
        return self.command("sync", *options, point=point, page=page)

    def command(
        self, *arguments: str, point: str = "", page: int = 1000
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command; it dies when it gets to *point*.

        :param page: How many keys a page of the listing has.
        """
        order = self.directory / "trip-wire-of-a-command"
        order.unlink(missing_ok=True)
        if point:
            assert point in POINTS
            order.write_text(f"{point} kill")
        environment = {ENVIRONMENT: str(order), PAGE_ENVIRONMENT: str(page)}
        done = self.run(*arguments, environment=environment)
        assert bool(point) == (done.returncode == -signal.SIGKILL), done.stderr
        return done

    @property
    def is_armed(self) -> bool:
        """Whether the trip wire has not gone off."""
        return self._order.exists()

    def wait_killed(self) -> None:
        """It died of the trip wire, and of nothing else."""
        assert self.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert not self._order.exists()

    def wait_stopped(self) -> None:
        """It stands still at the trip wire."""

        def has_stopped() -> bool:
            options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, options) is not None

        wait_until(has_stopped, "the daemon stops")

    def go_on(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)


@define(eq=False)
class Ground:
    """
    A database, its backends, and a daemon that runs at the beginning of each test.

    :ivar database: Past the relay, like *backends*.
    :ivar prefix: Of this test's keys; what earlier tests left there stays.
    :ivar is_clean: Whether the test has come to the end of :meth:`verify`.
    """

    postgres: PostgresServer
    s3server: S3Server
    database: DatabaseConfig
    backends: list[BackendConfig]
    daemon: BreakableDaemon
    prefix: str = ""
    history: History = field(factory=History)
    is_clean: bool = True
    _executor: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(16))
    _connection: Any = None

    @property
    def key(self) -> str:
        """This test's own."""
        return f"{self.prefix}key"

    @property
    def client(self) -> Any:
        """A client of the daemon."""
        return self.daemon.client()

    def begin(self, number: int) -> None:
        """Another test."""
        self.prefix = f"test-{number}/"
        self.history = History()
        self.is_clean = False

    def put(self, data: bytes, **more: Any) -> int | None:
        """PUT this test's key; the status, or None where there was no answer."""
        return self.history.put(self.client, self.key, data, **more)

    def delete(self) -> int | None:
        """DELETE this test's key; as :meth:`put`."""
        return self.history.delete(self.client, self.key)

    def later(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        """Make a call that blocks, in a thread."""
        return self._executor.submit(call, *args)

    def restart(self) -> None:
        """SIGKILL, if it still lives, and a new start."""
        assert self.daemon.process is not None
        if self.daemon.process.poll() is None:
            self.daemon.kill()
        self.history.over()
        self.daemon.start()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """One statement, past everything."""
        if self._connection is None:
            self._connection = self.postgres.connect(self.database.database)
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def lose_database(self) -> None:
        """Drop it, and make an empty one of its name."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.postgres.drop_database(self.database)
        self.postgres.execute(
            f"CREATE DATABASE {self.database.database} TEMPLATE template0"
        )

    def states(self) -> dict[str, int]:
        """How many copies of this test's keys, manifest copies apart, by state."""
        rows = self.query(
            "SELECT state FROM object_locations WHERE NOT is_manifest "
            f"AND starts_with(object_key, '{self.prefix}')"
        )
        return dict(Counter(state for (state,) in rows))

    def rows(self) -> dict[str, dict[str, int]]:
        """Every copy in whatever state: by backend, its key and size."""
        found: dict[str, dict[str, int]] = {each.name: {} for each in self.backends}
        for name, key, size in self.query(
            "SELECT backend_name, backend_key, size_bytes FROM object_locations"
        ):
            found[name][key] = size
        return found

    def used(self) -> dict[str, int]:
        """The counters."""
        return dict(self.query("SELECT backend_name, bytes_used FROM backend_quotas"))

    def stored(self, backend: int = 0) -> list[int]:
        """Sizes of the S3 server's copies of this test's keys, manifests apart."""
        keys = self.s3server.keys(self.backends[backend])
        return sorted(
            size
            for key, size in keys.items()
            if key.startswith(self.prefix) and not key.endswith(".manifest")
        )

    def check_counters(self) -> None:
        """I3, which holds at every instant."""
        # One statement, one moment: the daemon's jobs go on meanwhile.
        for name, used, summed in self.query(
            "SELECT q.backend_name, q.bytes_used,"
            "       coalesce(sum(l.size_bytes), 0)::bigint"
            "  FROM backend_quotas q LEFT JOIN object_locations l USING (backend_name)"
            " GROUP BY q.backend_name"
        ):
            assert used == summed, name

    def pass_time(self) -> None:
        """Every lease and every wait in the ledger is over."""
        self.query(
            "UPDATE object_locations SET due_at = clock_timestamp() "
            "WHERE state <> 'live' AND due_at > clock_timestamp()"
        )
        self.query(
            "UPDATE objects SET manifest_due_at = clock_timestamp() "
            "WHERE manifest_due_at > clock_timestamp()"
        )

    def wait_deleted_once(self) -> None:
        """Until an abandoned copy was deleted, and waits for the second time."""
        sql = "SELECT 1 FROM object_locations WHERE state = 'abandoned'"
        sql += " AND NOT delete_twice AND attempts > 0"
        wait_until(lambda: bool(self.query(sql)), "the first delete")

    def settle(self) -> None:
        """Let time pass until recovery has nothing left to do."""

        def is_settled() -> bool:
            self.pass_time()
            return not self.query(
                "(SELECT 1 FROM object_locations WHERE state <> 'live' LIMIT 1) UNION "
                "(SELECT 1 FROM objects WHERE manifest_due_at IS NOT NULL LIMIT 1)"
            )

        wait_until(is_settled, "recovery ends")

    def verify(self, *others: Daemon) -> None:
        """
        After recovery: the S3 server holds the live copies and nothing else, the
        counters say how much that is, and every object is there.

        This looks past the product. ``check --settled``, which takes a process of its
        own, has to agree when the ground's last test is over: nothing mends a
        difference in between.

        :param others: More daemons to be asked.
        """
        self.settle()
        for each in (self.daemon, *others):
            self.history.check(each.client(), self.prefix)
        stored = {each.name: self.s3server.keys(each) for each in self.backends}
        assert stored == self.rows()
        self.check_counters()
        self.is_clean = True

    def close(self) -> None:
        """Let go of the database."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()


@define(eq=False)
class RelayedGround(Ground):
    """
    Relays stand before the database and the first backend.

    :ivar to_database: Before PostgreSQL.
    :ivar to_backend: Before the first backend.
    """

    to_database: Any = None
    to_backend: Any = None


@define(eq=False)
class Grounds:
    """Makes them; one whose test did not come to its end is not used again."""

    postgres: PostgresServer
    s3server: S3Server
    _kept: dict[bool, tuple[Ground, ExitStack]] = field(factory=dict)
    _count: int = 0

    def take(self, *, relayed: bool) -> Any:
        """A ground whose daemon runs, and that nothing is known against."""
        kept = self._kept.get(relayed)
        if kept is not None and not kept[0].is_clean:
            self.give_up(relayed)
            kept = None
        ground = kept[0] if kept else self._keep(relayed)
        self._count += 1
        ground.begin(self._count)
        return ground

    def make(
        self,
        stack: ExitStack,
        quotas: Mapping[str, int],
        *,
        relayed: bool = False,
        ledger: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Any:
        """
        A ground of its own; *stack* ends it.

        :param more: Sections of the configuration.
        """
        postgres, s3server = self.postgres, self.s3server
        database = postgres.create_database()
        stack.callback(postgres.drop_database, database)
        backends = []
        for name, quota_bytes in quotas.items():
            backend = s3server.create_bucket(name, quota_bytes=quota_bytes)
            stack.callback(s3server.remove_bucket, backend)
            backends.append(backend)
        if not relayed:
            daemon = stack.enter_context(
                BreakableDaemon(database, backends, ledger=ledger, **more)
            )
            ground = Ground(postgres, s3server, database, backends, daemon)
        else:
            to_database = stack.enter_context(DatabaseRelay(database))
            to_backend = stack.enter_context(BackendRelay(backends[0]))
            daemon = stack.enter_context(
                BreakableDaemon(
                    to_database.config,
                    [to_backend.config, *backends[1:]],
                    ledger=ledger,
                    **more,
                )
            )
            ground = RelayedGround(
                postgres,
                s3server,
                database,
                backends,
                daemon,
                to_database=to_database,
                to_backend=to_backend,
            )
        stack.callback(ground.close)
        stack.callback(_end, ground)
        ground.begin(0)
        return ground

    def give_up(self, relayed: bool) -> None:
        """End one."""
        _, stack = self._kept.pop(relayed)
        stack.close()

    def close(self) -> None:
        """End all."""
        for relayed in list(self._kept):
            self.give_up(relayed)

    def _keep(self, relayed: bool) -> Ground:
        stack = ExitStack()
        with ExitStack() as failing:
            failing.callback(stack.close)
            ground: Ground = self.make(stack, {"a": 0}, relayed=relayed)
            failing.pop_all()
        self._kept[relayed] = ground, stack
        return ground


def _end(ground: Ground) -> None:
    """The product's own word on what is left, where the tests said that it is clean."""
    if ground.is_clean:
        ground.daemon.wait_clean()
    else:
        log = ground.daemon.log.read_text()[-20000:]
        sys.stderr.write(f"--- the log of a test's daemon\n{log}\n")
