"""A PostgreSQL as distributions build it, with OpenSSL; a second kind of backend."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg2
from attrs import evolve, frozen

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.embedded import binaries
from s3proxy.embedded.ports import free_ports
from tests.servers import PostgresServer, _Server, new_cluster

#: Not a superuser: what an administrator would give.
USER, PASSWORD, DATABASE = "ledger", "pass word'${x}", "s3proxy"


@frozen
class Authority:
    """A certificate authority in a directory of its own."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """What clients trust."""
        return self.directory / "ca.crt"

    @classmethod
    def make(cls, directory: Path) -> Authority:
        """A new one; two have nothing in common but their name."""
        directory.mkdir()
        made = cls(directory)
        made._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"),
        )
        return made

    def issue(self, name: str) -> tuple[Path, Path]:
        """A server's certificate for the DNS name *name* alone, and its key."""
        extensions = self.directory / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{name}\n")
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server"),
            *("-keyout", "server.key", "-out", "server.csr"),
        )
        self._openssl(
            *("x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.crt"),
            *("-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions"),
            *("-out", "server.crt"),
        )
        return self.directory / "server.crt", self.directory / "server.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments],
            cwd=self.directory,
            check=True,
            capture_output=True,
        )


class DebianPostgres(PostgresServer):
    """
    On a TCP port of loopback, where it wants a password; with TLS nothing else.

    :param authority: Who vouches for "localhost"; None is a server without TLS.
    """

    def __init__(self, authority: Authority | None) -> None:
        super().__init__()
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        assert found, "no PostgreSQL of Debian's here: run tools/system-packages.sh"
        self.bin = found[-1].parent
        self.port = free_ports(1)[0]
        self.settings |= {"listen_addresses": "127.0.0.1", "port": str(self.port)}
        self._authority = authority
        if authority is not None:
            for source, name in zip(
                authority.issue("localhost"), ("server.crt", "server.key"), strict=True
            ):
                target = self.directory / name
                shutil.copyfile(source, target)
                target.chmod(0o600)
                who = binaries.account()
                if who is not None:
                    os.chown(target, who.uid, who.gid)
            self.settings |= {
                "ssl": "on",
                "ssl_cert_file": str(self.directory / "server.crt"),
                "ssl_key_file": str(self.directory / "server.key"),
            }

    def _new_cluster(self) -> Path:
        return new_cluster(self.bin)

    def start(self) -> None:
        super().start()
        kind = "host" if self._authority is None else "hostssl"
        (self.cluster / "pg_hba.conf").write_text(
            f"local all s3proxy trust\n{kind} all all 127.0.0.1/32 scram-sha-256\n"
        )
        self.execute("SELECT pg_reload_conf()")
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {USER} LOGIN PASSWORD %s", [PASSWORD])

    def empty(self) -> None:
        """Make the daemon's database anew; whoever is in it is thrown out."""
        self.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {DATABASE} OWNER {USER} TEMPLATE template0")

    def config(self, database: str = "postgres") -> DatabaseConfig:
        return evolve(super().config(database), port=self.port)

    def connect(self, database: str = "postgres") -> Any:
        config = self.config(database)
        connection = psycopg2.connect(
            host=config.host, port=config.port, dbname=database, user=config.user
        )
        connection.autocommit = True
        return connection

    def sessions(self) -> list[bool]:
        """Of every session of the daemon's: whether it is encrypted."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                "WHERE application_name = 's3proxy'"
            )
            return [encrypted for (encrypted,) in cursor.fetchall()]


class RcloneServer(_Server):
    """``rclone serve s3`` over a directory: another kind of S3 than SeaweedFS."""

    access_key_id, secret_access_key = "RCLONEKEY", "rclone/secret+key"

    def __init__(self, bucket: str) -> None:
        super().__init__()
        self.bucket = bucket
        self.port = free_ports(1)[0]
        # Unlike PostgreSQL it may run as root, from wherever the wheel put it.
        self.prefix = ["setpriv", "--pdeathsig", self.death_signal, "--"]
        self._data = self.directory / "data"
        (self._data / bucket).mkdir(parents=True)

    def start(self) -> None:
        keys = f"{self.access_key_id},{self.secret_access_key}"
        self._spawn(
            [
                str(Path(sys.executable).with_name("rclone")),
                *("serve", "s3", "--config="),
                *("--addr", f"127.0.0.1:{self.port}", "--auth-key", keys),
                *("--vfs-cache-mode", "off", str(self._data)),
            ],
            {"HOME": str(self.directory)},
        )
        assert self._wait_ready(self._is_ready), self.log_tail()

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2):
                return True
        except OSError:
            return False

    def backend(self, name: str) -> BackendConfig:
        """Its bucket as a backend without a limit."""
        return BackendConfig(
            name=name,
            endpoint=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            bucket=self.bucket,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            force_path_style=True,
            quota_bytes=0,
        )
