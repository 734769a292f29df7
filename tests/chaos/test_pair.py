"""A failover loses nothing that was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos.pair import Pair

pytestmark = pytest.mark.system


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary, still alone."""
    pair = Pair()
    pair.start()
    yield pair
    pair.close()


def test_two_failovers(pair: Pair) -> None:
    """And a restart of the primary in between, which the standby survives."""
    name = pair.primary.create_database().database
    pair.primary.execute("CREATE TABLE t (n integer)", name)
    pair.follow()
    pair.primary.execute("INSERT INTO t VALUES (1)", name)
    pair.fail_over()
    pair.primary.execute("INSERT INTO t VALUES (2)", name)
    pair.follow()
    pair.primary.kill()
    pair.primary.start()
    pair.primary.execute("INSERT INTO t VALUES (3)", name)
    pair.fail_over()
    connection = pair.primary.connect(name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT n FROM t ORDER BY n")
        assert cursor.fetchall() == [(1,), (2,), (3,)]
    connection.close()
