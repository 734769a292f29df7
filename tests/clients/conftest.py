"""One daemon for every client, and files to send."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.daemon import Daemon
from tests.servers import PostgresServer, S3Server

BIG_BYTES = 100 * 1024**2


@pytest.fixture(scope="package")
def daemon(postgres: PostgresServer, s3server: S3Server) -> Iterator[Daemon]:
    """
    Two backends, each with room for one big file and no more: the second goes on.

    In the end the ledger agrees with the backends, and no garbage is left.
    """
    database = postgres.create_database()
    backends = [
        s3server.create_bucket(name, quota_bytes=quota)
        for name, quota in (("a", BIG_BYTES + 2**20), ("b", 20 * BIG_BYTES))
    ]
    with Daemon(database, backends, server={"domain": "localhost"}) as daemon:
        yield daemon
        daemon.wait_clean()
        assert "Traceback" not in daemon.log.read_text()
    for backend in backends:
        s3server.remove_bucket(backend)
    postgres.drop_database(database)


@pytest.fixture(scope="package")
def https_daemon(
    postgres: PostgresServer,
    s3server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Daemon]:
    """One that speaks TLS, with a certificate by an authority of the tests' own."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    issued = authority.issue()
    database = postgres.create_database()
    backend = s3server.create_bucket("a")
    tls = {"cert_file": str(issued.cert_file), "key_file": str(issued.key_file)}
    with Daemon(
        database, [backend], server={"tls": tls}, ca_file=authority.ca_file
    ) as daemon:
        yield daemon
        daemon.wait_clean()
        log = daemon.log.read_text()
        assert "Traceback" not in log and "Unhandled" not in log
    s3server.remove_bucket(backend)
    postgres.drop_database(database)


@pytest.fixture(scope="package")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few bytes."""
    path = tmp_path_factory.mktemp("small") / "small"
    path.write_bytes(b"a few bytes\r\n\0")
    return path


@pytest.fixture(scope="package")
def rather_big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 MiB that do not compress."""
    path = tmp_path_factory.mktemp("rather-big") / "rather-big"
    path.write_bytes(random.Random(2).randbytes(20 * 1024**2))
    return path


@pytest.fixture(scope="package")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 MiB that do not compress."""
    path = tmp_path_factory.mktemp("big") / "big"
    path.write_bytes(random.Random(1).randbytes(BIG_BYTES))
    return path
