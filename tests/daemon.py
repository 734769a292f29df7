"""
The real daemon as a child process, for tests that kill it, stop it and start it again.

Everything is in one temporary directory: configuration, log, data. The process is ended
by its pid and dies with the test process.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2
import yaml
from botocore.config import Config as ClientConfig

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.boto import boto_client

ROOT = Path(__file__).parents[1]

#: Short enough for a test to see a claim run out and a late PUT swept.
SHORT_LEDGER = {
    "lease": "2s",
    "grace": "200ms",
    "late": "500ms",
    "collect_interval": "100ms",
}
#: What ``check --settled`` would name, or no row.
_UNSETTLED = """
    (SELECT 1 FROM object_locations WHERE state <> 'live' LIMIT 1) UNION ALL
    (SELECT 1 FROM objects WHERE manifest_due_at IS NOT NULL LIMIT 1)
"""
KEY_ID, SECRET, TOKEN = "AKIDTEST", "secret-of-the-tests", "token-of-the-tests"
BUCKET = "unified"


class Daemon:
    """
    ``with Daemon(database, backends) as daemon: daemon.client().put_object(…)``

    :param module: What runs it: ``s3proxy`` or a test's own that breaks something.
    :param ca_file: Of a daemon that speaks TLS: what clients trust.
    :param root: The checkout that is run.
    :param sections: More of the configuration.
    :ivar start_seconds: It is given so long to serve.
    """

    start_seconds = 30.0

    def __init__(
        self,
        database: DatabaseConfig,
        backends: Sequence[BackendConfig],
        *,
        ledger: Mapping[str, str] | None = None,
        server: Mapping[str, Any] | None = None,
        module: str = "s3proxy",
        ca_file: Path | None = None,
        root: Path = ROOT,
        **sections: Any,
    ) -> None:
        self.root = root
        self.directory = Path(tempfile.mkdtemp(prefix="s3p-daemon-", dir="/var/tmp"))
        self.module = module
        self.database = database
        self.ca_file = ca_file
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.directory / "log"
        self.config = self.directory / "config.yaml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "data_dir": str(self.directory / "data"),
                    "server": {"listen_addr": "127.0.0.1:0", **(server or {})},
                    "auth": {
                        "access_key_id": KEY_ID,
                        "secret_access_key": SECRET,
                        "token": TOKEN,
                    },
                    "database": {
                        "host": database.host,
                        "port": database.port,
                        "database": database.database,
                        "user": database.user,
                        "password": database.password or "none",
                    },
                    "backends": [
                        {
                            "name": each.name,
                            "endpoint": each.endpoint,
                            "region": each.region,
                            "bucket": each.bucket,
                            "access_key_id": each.access_key_id,
                            "secret_access_key": each.secret_access_key,
                            "force_path_style": each.force_path_style,
                            "quota_bytes": each.quota_bytes,
                        }
                        for each in backends
                    ],
                    "ledger": dict(SHORT_LEDGER if ledger is None else ledger),
                    **sections,
                }
            )
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if kind is not None:
            sys.stderr.write(f"--- the daemon's log\n{self.log.read_text()[-20000:]}\n")
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start, and wait until it serves."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command([]),
                cwd=self.root,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + self.start_seconds
        while True:
            text = self.log.read_bytes()[before:].decode(errors="replace")
            serving = re.search(r"serving bucket \S+ on \S+:(\d+) from", text)
            if serving:
                self.port = int(serving[1])
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the daemon does not serve:\n{text[-5000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for the end; returns the exit code (negative: the signal)."""
        assert self.process is not None
        return self.process.wait(seconds)

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        scheme = "http" if self.ca_file is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def configure(self, **sections: Any) -> None:
        """Change whole sections of the configuration file; None takes one out."""
        document = yaml.safe_load(self.config.read_text())
        document.update(sections)
        kept = {name: each for name, each in document.items() if each is not None}
        self.config.write_text(yaml.safe_dump(kept))

    def hang_up(self) -> str:
        """SIGHUP; what is logged up to whether the file is in force."""
        before = self.log.stat().st_size
        self.signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while True:
            text = self.log.read_bytes()[before:].decode(errors="replace")
            if re.search(r"(reloaded|stays in force|nothing to reload).*\n", text):
                return text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)

    def client(self, key: tuple[str, str] = (KEY_ID, SECRET), **options: Any) -> Any:
        """A boto3 client with default settings but no retries."""
        options = {"retries": {"total_max_attempts": 1}, **options}
        return boto_client(
            endpoint_url=self.endpoint,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            region_name="us-east-1",
            verify=None if self.ca_file is None else str(self.ca_file),
            config=ClientConfig(**options),
        )

    def check(self, *, settled: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the ``check`` subcommand once."""
        return self.run("check", *(["--settled"] if settled else []))

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a subcommand to its end, with the daemon's configuration.

        :param environment: Given, it runs as the daemon does, in its module.
        """
        return subprocess.run(
            self._command(
                list(arguments), module="s3proxy" if environment is None else None
            ),
            cwd=self.root,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def wait_clean(self, *, settled: bool = True, seconds: float = 60.0) -> None:
        """Run ``check`` until it is clean: recovery takes leases and waits."""
        deadline = time.monotonic() + seconds
        if settled:
            self._wait_settled(deadline)
        while True:
            result = self.check(settled=settled)
            if result.returncode == 0:
                return
            assert time.monotonic() < deadline, result.stdout + result.stderr
            time.sleep(0.1)

    def _wait_settled(self, deadline: float) -> None:
        """Wait past the product, whose ``check`` takes a process each time."""
        connection = psycopg2.connect(
            host=self.database.host,
            port=self.database.port,
            dbname=self.database.database,
            user=self.database.user,
            password=self.database.password or "none",
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                while True:
                    cursor.execute(_UNSETTLED)
                    if cursor.fetchone() is None or time.monotonic() > deadline:
                        return
                    time.sleep(0.02)
        finally:
            connection.close()

    def health(self) -> bool:
        """Whether ``/health`` answers."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except (urllib.error.URLError, OSError):
            return False

    def _command(self, arguments: list[str], module: str | None = None) -> list[str]:
        return [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(sys.executable, "-m", module or self.module),
            *("--config", str(self.config), *arguments),
        ]
