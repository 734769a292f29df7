"""Fixtures of the crash tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.crash.ground import Ground
from tests.servers import PostgresServer, S3Server


@pytest.fixture
def ground(
    postgres: PostgresServer,
    s3server: S3Server,
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
) -> Iterator[Ground]:
    """A fresh database and one backend, ``a``; a test may add more."""
    ground = Ground(postgres, s3server, database, [backend_config("a")])
    yield ground
    ground.close()
