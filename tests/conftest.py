"""Fixtures that all rooms share: real servers, and hypothesis profiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.servers import PostgresServer, S3Server

# For the daemons that tests start: they would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Deadlines measure the machine, not the code: two busy cores break any of them.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("big", settings.get_profile("default"), max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session; do not stop it, take ``own_postgres``."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[DatabaseConfig]:
    """A fresh, empty database, dropped at the end."""
    config = postgres.create_database()
    yield config
    postgres.drop_database(config)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop, kill and freeze."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3server() -> Iterator[S3Server]:
    """One S3 server for the session; do not stop it, take ``own_s3server``."""
    with S3Server() as server:
        yield server


@pytest.fixture
def own_s3server() -> Iterator[S3Server]:
    """An S3 server that the test may stop, kill and freeze."""
    with S3Server() as server:
        yield server


@pytest.fixture
def backend_config(s3server: S3Server) -> Iterator[Callable[..., BackendConfig]]:
    """
    ``backend_config(name=None, *, quota_bytes=0)``: a backend over a fresh bucket,
    removed at the end of the test.
    """
    made: list[BackendConfig] = []

    def make(name: str | None = None, *, quota_bytes: int = 0) -> BackendConfig:
        made.append(s3server.create_bucket(name, quota_bytes=quota_bytes))
        return made[-1]

    yield make
    for config in made:
        s3server.remove_bucket(config)
