"""Backends and buckets, brought in line at start."""

from __future__ import annotations

from datetime import timedelta

import psycopg2
import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.model import WriteConditions
from s3proxy.plan.placement import Fill
from s3proxy.store.ledger import PostgresLedger
from s3proxy.store.pool import Pool
from s3proxy.store.quotas import PostgresQuotas
from s3proxy.store.registry import BackendEntry, BackendMoved, Registry
from tests.store.conftest import Database
from tests.store.test_ledger import BrokenPool

ONE = BackendEntry("one", "http://one/bucket", 100)
TWO = BackendEntry("two", "http://two/bucket", 0)

ROWS = "SELECT backend_name, location, bytes_limit FROM backend_quotas ORDER BY 1"


@pytest.fixture
def registry(pool: Pool) -> Registry:
    """Over an empty ledger."""
    return Registry(pool)


async def use(pool: Pool, name: str) -> None:
    """Give a backend a row."""
    ledger = PostgresLedger(pool, 600, 60)
    await ledger.claim([name], "b", "k", 7, WriteConditions())


@ensureDeferred
async def test_first_use(db: Database, registry: Registry) -> None:
    """Names, places and limits are recorded, again without harm."""
    for _ in range(2):
        await registry.register([ONE, TWO], ())
        assert db.sql(ROWS) == [
            ("one", "http://one/bucket", 100),
            ("two", "http://two/bucket", 0),
        ]


@ensureDeferred
async def test_a_new_limit(db: Database, registry: Registry, pool: Pool) -> None:
    """It takes the old one's place; the counter stays."""
    await registry.register([ONE], ())
    await use(pool, "one")
    await registry.register([BackendEntry("one", ONE.location, 5)], ())
    assert db.sql("SELECT bytes_limit, bytes_used FROM backend_quotas") == [(5, 7)]


@ensureDeferred
async def test_a_moved_backend_is_refused(
    db: Database, registry: Registry, pool: Pool
) -> None:
    """Its bytes are elsewhere: nothing is changed until the operator vouches."""
    await registry.register([ONE, TWO], ())
    await use(pool, "one")
    moved = BackendEntry("one", "http://elsewhere/bucket", 5)
    for accepted in ((), ("two",)):
        with pytest.raises(BackendMoved, match="--accept-moved one") as caught:
            await registry.register([moved, TWO], accepted)
        assert "http://one/bucket" in str(caught.value)
        assert "http://elsewhere/bucket" in str(caught.value)
        assert db.sql(ROWS)[0] == ("one", "http://one/bucket", 100)
    await registry.register([moved, TWO], ["one"])
    assert db.sql(ROWS)[0] == ("one", "http://elsewhere/bucket", 5)
    await registry.register([moved, TWO], ())


@ensureDeferred
async def test_an_empty_backend_may_move(db: Database, registry: Registry) -> None:
    """Nothing of ours is there."""
    await registry.register([ONE], ())
    await registry.register([BackendEntry("one", "http://elsewhere/b", 0)], ())
    assert db.sql(ROWS) == [("one", "http://elsewhere/b", 0)]


@ensureDeferred
async def test_a_missing_backend_is_refused(
    db: Database, registry: Registry, pool: Pool
) -> None:
    """While it has rows, in any state; all problems are told at once."""
    await registry.register([ONE, TWO], ())
    await registry.register([TWO], ())
    await use(pool, "one")
    await use(pool, "two")
    with pytest.raises(BackendMoved) as caught:
        await registry.register([], ())
    for name in ("one", "two"):
        assert f"--accept-moved {name}" in str(caught.value)
    with pytest.raises(BackendMoved, match="backend two"):
        await registry.register([ONE], ())
    await registry.register([ONE], ["two"])
    # Its rows stay, and are still counted.
    assert db.value("SELECT sum(bytes_used) FROM backend_quotas") == 14


@ensureDeferred
async def test_buckets(db: Database, registry: Registry) -> None:
    """The configured one is made once; others that hold objects are told."""
    assert await registry.register_bucket("unified") == []
    db.fill("unified", ["a", "b"])
    db.fill("older", ["a"])
    db.fill("zoo", ["a", "b"])
    assert await registry.register_bucket("unified") == ["older", "zoo"]
    ((name, made),) = await registry.buckets()
    assert (name, made.utcoffset()) == ("unified", timedelta(0))


@ensureDeferred
async def test_the_installation(db: Database, registry: Registry) -> None:
    """It is the database's."""
    found = await registry.installation_id()
    assert found == db.value("SELECT installation_id FROM installation")


@pytest.mark.parametrize(
    "why",
    [StoreUnavailable("away"), OutcomeUnknown("broke"), psycopg2.Error("refused")],
)
@ensureDeferred
async def test_failures(why: Exception) -> None:
    """The start fails with one kind of error, and its reason."""
    with pytest.raises(StoreUnavailable, match=str(why)):
        await Registry(BrokenPool(why)).register([ONE], ())


@ensureDeferred
async def test_how_full_they_are(db: Database, registry: Registry, pool: Pool) -> None:
    """What is charged, and the limit."""
    await registry.register([ONE, TWO], ())
    await use(pool, "two")
    fills = await PostgresQuotas(pool).fills()
    assert fills == {"one": Fill(0, 100), "two": Fill(7, 0)}
