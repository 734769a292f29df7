"""Backends and buckets, brought in line at start."""

from __future__ import annotations

from datetime import timedelta

import psycopg2
import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import BucketAlreadyExists, OutcomeUnknown, StoreUnavailable
from s3proxy.model import WriteConditions
from s3proxy.plan.placement import Fill
from s3proxy.store.buckets import PostgresBuckets
from s3proxy.store.pool import Pool
from s3proxy.store.quotas import PostgresQuotas
from s3proxy.store.registry import (
    BackendEntry,
    BackendMoved,
    BucketTaken,
    Registry,
)
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database
from tests.store.test_ledger import BrokenPool

ONE = BackendEntry("one", "http://one/bucket", 100)
TWO = BackendEntry("two", "http://two/bucket", 0)

ROWS = "SELECT backend_name, location, bytes_limit FROM backend_quotas ORDER BY 1"


def refuse(bucket: str, owner: str) -> bool:
    """Nothing is taken over."""
    return False


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
async def test_configured_buckets(db: Database, registry: Registry) -> None:
    """They are made once; whatever holds objects is told."""
    names = ("unified", "photos")
    made = await registry.register_buckets(names, refuse)
    assert set(made.created) == set(names)
    assert {each.utcoffset() for each in made.created.values()} == {timedelta(0)}
    assert await registry.held_buckets() == []
    for name in ("unified", "older"):
        db.fill(name, ["a", "b"])
    assert await registry.register_buckets(names, refuse) == made
    assert await registry.held_buckets() == [("older", None), ("unified", None)]
    fewer = await registry.register_buckets(["photos"], refuse)
    assert fewer.created == {"photos": made.created["photos"]}


@ensureDeferred
async def test_a_bucket_that_a_client_made(
    db: Database, registry: Registry, pool: Pool
) -> None:
    """It is taken over only where that is meant; then the client has it no more."""
    made = PostgresBuckets(pool, 3600.0)
    for name in ("mine", "kept"):
        await made.create(name, "alice")
        db.fill(name, ["a"])
    assert await registry.held_buckets() == [("kept", "alice"), ("mine", "alice")]
    with pytest.raises(BucketTaken, match="mine was made at run time by access key al"):
        await registry.register_buckets(["mine", "new"], refuse)
    assert db.sql("SELECT bucket FROM buckets ORDER BY 1") == [("kept",), ("mine",)]

    asked = []

    def allow(bucket: str, owner: str) -> bool:
        asked.append((bucket, owner))
        return True

    taken = await registry.register_buckets(["mine", "new"], allow)
    assert (asked, taken.taken) == ([("mine", "alice")], [("mine", "alice")])
    assert await made.find("mine") is None
    assert await registry.held_buckets() == [("kept", "alice"), ("mine", None)]
    with pytest.raises(BucketAlreadyExists):
        await made.create("mine", "alice")
    again = await registry.register_buckets(["mine", "new"], refuse)
    assert (again.created, again.taken) == (taken.created, [])


@ensureDeferred
async def test_a_name_that_was_deleted_is_free(
    db: Database, registry: Registry, pool: Pool
) -> None:
    made = PostgresBuckets(pool, 3600.0)
    await made.create("mine", "alice")
    await made.delete("mine", "alice")
    registered = await registry.register_buckets(["mine"], refuse)
    assert (list(registered.created), registered.taken) == (["mine"], [])
    assert db.sql("SELECT owner, deleted_at FROM buckets") == [(None, None)]


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
