"""A PostgreSQL primary with a synchronous streaming standby, and its failover."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from attrs import define, field

from tests.servers import PostgresServer

STANDBY = "standby"
SETTINGS = {
    # What it acknowledged has to survive its own SIGKILL, and the standby's promotion.
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    # A standby does not wait for long before it looks for its primary again.
    "wal_retrieve_retry_interval": "500ms",
}
PATIENCE_SECONDS = 60.0
_IN_SYNC = (
    "SELECT 1 FROM pg_stat_replication"
    " WHERE sync_state = 'sync' AND state = 'streaming'"
)


class _Standby(PostgresServer):
    """A base backup of a primary, which follows it."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(SETTINGS)
        subprocess.run(
            [
                *self.prefix,
                str(self.bin / "pg_basebackup"),
                *("-D", str(self.cluster), "-h", str(primary.directory)),
                *("-U", primary.config().user, "-X", "stream", "-c", "fast"),
                "--no-sync",
            ],
            cwd=self.directory,
            check=True,
            capture_output=True,
        )
        (self.cluster / "standby.signal").touch()
        conninfo = (
            f"host={primary.directory} port={primary.config().port} "
            f"user={primary.config().user} application_name={STANDBY}"
        )
        with (self.cluster / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{conninfo}'\n")
            # Of the base backup, which has its primary's.
            file.write("synchronous_standby_names = ''\n")

    def _is_ready(self) -> bool:
        path: Path = self.cluster / "postmaster.pid"
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            return False
        # A standby that answers readers says "standby".
        return (
            len(lines) > 7
            and lines[0] == str(self.pid)
            and lines[7].strip() in ("ready", "standby")
        )


@define(eq=False)
class Pair:
    """
    :ivar primary: The one that takes writes; after a failover the former standby.
    :ivar standby: The other; None: there is none.
    """

    primary: PostgresServer = field(factory=lambda: PostgresServer(SETTINGS))
    standby: PostgresServer | None = None

    def start(self) -> None:
        """Start the primary alone."""
        self.primary.start()

    def follow(self) -> None:
        """Give the primary a standby, without which it acknowledges nothing more."""
        self.standby = _Standby(self.primary)
        self.standby.start()
        self._set_names(STANDBY)
        self._wait(self.primary, _IN_SYNC)

    def fail_over(self) -> None:
        """SIGKILL to the primary; the standby takes its place, alone."""
        assert self.standby is not None
        # As whatever looks after such a pair does: not to one that lags behind.
        self._wait(self.primary, _IN_SYNC)
        former, self.primary = self.primary, self.standby
        self.standby = None
        former.kill()
        former.close()
        self.primary.execute("SELECT pg_promote()")
        self._wait(self.primary, "SELECT 1 WHERE NOT pg_is_in_recovery()")

    def close(self) -> None:
        """End both."""
        for server in (self.standby, self.primary):
            if server is not None:
                server.close()

    def _set_names(self, names: str) -> None:
        self.primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.execute("SELECT pg_reload_conf()")

    def _wait(self, server: PostgresServer, sql: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            connection = server.connect()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    if cursor.fetchall():
                        return
            finally:
                connection.close()
            assert time.monotonic() < deadline, f"never: {sql}\n{server.log_tail()}"
            time.sleep(0.05)
