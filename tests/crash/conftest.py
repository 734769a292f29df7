"""Fixtures of the crash tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer, S3Server

# Their assertions are to say what they compared, as those of test modules do.
pytest.register_assert_rewrite("tests.crash.ground", "tests.crash.history")

from tests.crash.ground import Ground, Grounds, RelayedGround  # noqa: E402


@pytest.fixture(scope="session")
def grounds(postgres: PostgresServer, s3server: S3Server) -> Iterator[Grounds]:
    """Makes the ones below; daemons are kept from test to test, to save their start."""
    grounds = Grounds(postgres, s3server)
    yield grounds
    grounds.close()


@pytest.fixture
def ground(grounds: Grounds) -> Ground:
    """A daemon that runs, with one backend."""
    taken: Ground = grounds.take(relayed=False)
    return taken


@pytest.fixture
def relayed(grounds: Grounds) -> RelayedGround:
    """The same, with a relay before its database and one before its backend."""
    taken: RelayedGround = grounds.take(relayed=True)
    return taken
