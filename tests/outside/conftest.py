"""Authorities, servers with and without TLS, a daemon with every key of the spec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3proxy.config import BackendConfig
from tests.daemon import KEY_ID, SECRET, SHORT_LEDGER, TOKEN, Daemon
from tests.outside.servers import (
    DATABASE,
    PASSWORD,
    USER,
    Authority,
    DebianPostgres,
    RcloneServer,
)
from tests.servers import S3Server

#: The example of the specification, as it stands there.
EXAMPLE = """
server:
  listen_addr: "0.0.0.0:9000"
  virtual_bucket: "unified"

auth:
  access_key_id: "YOUR_ACCESS_KEY"
  secret_access_key: "YOUR_SECRET_KEY"
  token: "optional-legacy-token"

database:
  host: "localhost"
  port: 5432
  database: "s3proxy"
  user: "s3proxy"
  password: "secret"
  ssl_mode: "require"    # require for production

backends:
  - name: "oci"
    endpoint: "https://namespace.compat.objectstorage.region.oraclecloud.com"
    region: "us-phoenix-1"
    bucket: "my-bucket"
    access_key_id: "backend-access-key"
    secret_access_key: "backend-secret-key"
    force_path_style: true    # required for OCI, MinIO, B2
    quota_bytes: 21474836480  # 20 GB

telemetry:
  metrics:
    enabled: true
    path: "/metrics"
  tracing:
    enabled: true
    endpoint: "tempo.service.consul:4317"
    insecure: true
    sample_rate: 1.0
"""


class Example(Daemon):
    """
    A daemon with the specification's example, every key of it in its place; only
    where servers are, and who may ask them, is this machine's.

    :param database: Keys of the ``database`` section that differ.
    """

    def __init__(
        self,
        server: DebianPostgres,
        backends: list[BackendConfig],
        **database: object,
    ) -> None:
        server.empty()
        # The tests' own looks go by the socket, where nobody is asked for anything.
        super().__init__(server.config(DATABASE), backends)
        document: dict[str, Any] = yaml.safe_load(EXAMPLE)
        document["server"]["listen_addr"] = "127.0.0.1:0"
        document["auth"] = {
            "access_key_id": KEY_ID,
            "secret_access_key": "${CLIENTS_SECRET}",
            "token": TOKEN,
        }
        document["database"] |= {
            "host": "localhost",
            "port": server.config().port,
            "database": DATABASE,
            "user": USER,
            "password": "${DATABASE_PASSWORD}",
            **database,
        }
        [section] = document["backends"]
        document["backends"] = [
            section | {name: getattr(each, name) for name in section}
            for each in backends
        ]
        # What the example has not: clocks that tests can wait for.
        document["ledger"] = SHORT_LEDGER
        self.config.write_text(yaml.safe_dump(document))

    def _command(self, arguments: list[str], module: str | None = None) -> list[str]:
        secrets = {"CLIENTS_SECRET": SECRET, "DATABASE_PASSWORD": PASSWORD}
        given = [f"{name}={value}" for name, value in secrets.items()]
        return ["env", *given, *super()._command(arguments, module)]


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the server."""
    return Authority.make(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="package")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for nobody here."""
    return Authority.make(tmp_path_factory.mktemp("stranger") / "ca")


@pytest.fixture(scope="package")
def tls(authority: Authority) -> Iterator[DebianPostgres]:
    """A server that speaks nothing but TLS to the network."""
    with DebianPostgres(authority) as server:
        yield server


@pytest.fixture(scope="package")
def plain() -> Iterator[DebianPostgres]:
    """A server without TLS."""
    with DebianPostgres(None) as server:
        yield server


@pytest.fixture
def backends(s3server: S3Server, tmp_path: Path) -> Iterator[list[BackendConfig]]:
    """A SeaweedFS with room for 1 MiB, and an rclone."""
    first = s3server.create_bucket("oci", quota_bytes=2**20)
    with RcloneServer("second-bucket") as rclone:
        yield [first, rclone.backend("box")]
    s3server.remove_bucket(first)
