"""One daemon for all, and the line that a test is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.servers import PostgresServer, S3Server

MIB = 1024**2


@pytest.fixture(scope="package")
def daemon(postgres: PostgresServer, s3server: S3Server) -> Iterator[Daemon]:
    """
    Two backends, the first of them soon full: objects are on both.

    In the end the ledger agrees with the backends, and no garbage is left.
    """
    database = postgres.create_database()
    backends = [
        s3server.create_bucket(name, quota_bytes=quota)
        for name, quota in (("a", 40), ("b", 2048 * MIB))
    ]
    with Daemon(database, backends) as daemon:
        yield daemon
        daemon.wait_clean()
        assert "Traceback" not in daemon.log.read_text()
    for backend in backends:
        s3server.remove_bucket(backend)
    postgres.drop_database(database)


@pytest.fixture
def s3(daemon: Daemon) -> Any:
    """A client that tries once."""
    return daemon.client(max_pool_connections=50)


@pytest.fixture(autouse=True)
def line(request: pytest.FixtureRequest) -> str | None:
    """The line that a test is for; see :func:`tests.interop.lines.interop`."""
    return getattr(request, "param", None)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A corner of the bucket for each test."""
    return f"{request.node.originalname}/"
