"""What the ledger makes of the pool's failures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import OutcomeUnknown, StoreError, StoreUnavailable
from s3proxy.manager.ports import NewObject
from s3proxy.model import Claim, Copy, WriteConditions
from s3proxy.store.janitor import Due, Janitor
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database

ANY = WriteConditions()
CLAIM = Claim(Copy("copy", "part", "one", "k~copy", 10), 600.0)
NEW = NewObject("b", "k", 10, "m", None)


class BrokenPool(Pool):
    """Every call fails."""

    def __init__(self, why: Exception) -> None:
        super().__init__({}, None)
        self.why = why

    async def query(self, *_: Any, **__: Any) -> Any:
        raise self.why

    async def fresh(self, *_: Any, **__: Any) -> Any:
        raise self.why


Call = Callable[[PostgresLedger, Janitor], Awaitable[object]]

CALLS: dict[str, Call] = {
    "claim": lambda ledger, _: ledger.claim(["one"], "b", "k", 10, ANY),
    "commit": lambda ledger, _: ledger.commit(CLAIM, NEW, ANY, None, None),
    "settle": lambda ledger, _: ledger.settle(CLAIM),
    "extend": lambda ledger, _: ledger.extend(["copy"]),
    "release": lambda ledger, _: ledger.release(CLAIM),
    "abandon": lambda ledger, _: ledger.abandon(CLAIM, landed=True),
    "delete": lambda ledger, _: ledger.delete("b", "k"),
    "head": lambda ledger, _: ledger.head("b", "k"),
    "find": lambda ledger, _: ledger.find("b", "k"),
    "parts": lambda ledger, _: ledger.parts("object", 0, 10),
    "part_range": lambda ledger, _: ledger.part_range("b", "k", 1),
    "list": lambda ledger, _: ledger.list_objects("b", "", "", "", 10),
    "pin": lambda ledger, _: ledger.pin("object"),
    "reap": lambda _, janitor: janitor.reap(10),
    "collect": lambda _, janitor: janitor.collect("one", 10),
    "collected": lambda _, janitor: janitor.collected([Due("copy", 1, "k", None)]),
    "unpin": lambda _, janitor: janitor.unpin_expired(),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "why",
    [StoreUnavailable("away"), OutcomeUnknown("broke"), psycopg2.Error("refused")],
    ids=["unavailable", "unknown", "refused"],
)
@ensureDeferred
async def test_failures(name: str, why: Exception) -> None:
    """StoreUnavailable, all of them; only a commit says that it does not know."""
    pool = BrokenPool(why)
    ledger, janitor = PostgresLedger(pool, 600, 60), Janitor(pool, 600, 3600)
    with pytest.raises(StoreError) as caught:
        await CALLS[name](ledger, janitor)
    unknown = name == "commit" and isinstance(why, OutcomeUnknown)
    assert type(caught.value) is (OutcomeUnknown if unknown else StoreUnavailable)
    assert str(why) in str(caught.value)


@ensureDeferred
async def test_the_calls_are_right(db: Database, pool: Pool) -> None:
    """Without failures none of them fails, but for the claim that is not there."""
    db.add_backend("one")
    ledger, janitor = PostgresLedger(pool, 600, 60), Janitor(pool, 600, 3600)
    for name, call in CALLS.items():
        if name != "commit":
            await call(ledger, janitor)


@pytest.mark.parametrize(
    "seconds", [0.0, 1e-6, 0.25, 60.0, 3600.0, 86400.0 * 365 * 100]
)
def test_interval(db: Database, seconds: float) -> None:
    """Any number of seconds, in words that PostgreSQL reads back."""
    found = db.value("SELECT extract(epoch FROM %s::interval)", interval(seconds))
    assert float(found) == seconds
