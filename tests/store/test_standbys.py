"""
Which standby is read, and when none is.

That a real one can be read, and is not any more once it is promoted, is shown by
``tests/system/test_stale_reads.py``; here servers say what a test wants them to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, evolve, field
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.observe import reading
from s3proxy.store.buckets import PostgresBuckets
from s3proxy.store.cors import PostgresCors
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.ledger import PostgresLedger
from s3proxy.store.pool import Pool
from s3proxy.store.standbys import Standbys, standby_arguments
from s3proxy.store.statements import statements
from tests.store.conftest import Database, MakePool, pause

OURS, OTHERS = "our installation", "another's"


@define(eq=False)
class Server:
    """
    What a server says of itself, by way of a pool.

    :ivar says: Whether it is a standby, of which installation, how far it is behind,
        and how much it has replayed; or how it fails.
    """

    says: tuple[bool, str, int | None, int] | Exception
    asked: list[str] = field(factory=list)

    async def query(self, sql: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        self.asked.append(sql)
        if isinstance(self.says, Exception):
            raise self.says
        return [self.says]

    async def trim(self) -> None:
        """It has no connections."""


def standbys(
    primary: Pool, servers: Mapping[str, Any], limit: float | None = None
) -> Standbys:
    return Standbys(primary, servers, OURS, limit)


def away(make_pool: MakePool, db: Database) -> Pool:
    """A primary that is not there."""
    return make_pool(evolve(db.config, host="/var/empty/nobody"))


@ensureDeferred
async def test_the_primary_answers(pool: Pool) -> None:
    """No standby is even asked."""
    server = Server((True, OURS, 1, 1))
    found = standbys(pool, {"a": server})
    assert found.suspects
    assert await found.view() is None
    assert (server.asked, found.suspects) == ([], False)


@pytest.mark.parametrize("known", [True, False])
@ensureDeferred
async def test_a_primary_that_refuses_in_words_answers(
    db: Database, make_pool: MakePool, known: bool
) -> None:
    """It serves others, maybe; one that is not there does not."""
    primary = make_pool(evolve(db.config, database="nobodys"))
    if not known:
        primary = away(make_pool, db)
    found = standbys(primary, {"a": Server((True, OURS, 1, 1))})
    assert (await found.view() is None) == known
    assert found.suspects


@pytest.mark.parametrize(
    "says",
    [
        (False, OURS, None, 5),
        (True, OTHERS, 3, 5),
        (True, OURS, 61, 5),
        (True, OURS, None, 5),
        StoreUnavailable("no connection"),
        OutcomeUnknown("it broke"),
    ],
)
@ensureDeferred
async def test_what_is_not_read(
    db: Database, make_pool: MakePool, says: tuple[bool, str, int | None, int]
) -> None:
    """No standby, or promoted; another ledger; too old, or nobody knows; away."""
    primary = away(make_pool, db)
    assert await standbys(primary, {"a": Server(says)}, 60).view() is None
    fit = {"a": Server(says), "b": Server((True, OURS, 60, 1))}
    view = await standbys(primary, fit, 60).view()
    assert view is not None and view.behind == "60"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0"), (9, "9"), (-2, "0"), (None, "unknown")]
)
@ensureDeferred
async def test_how_far_it_is_behind(
    db: Database, make_pool: MakePool, seconds: int | None, told: str
) -> None:
    found = standbys(away(make_pool, db), {"a": Server((True, OURS, seconds, 1))})
    view = await found.view()
    assert view is not None and view.behind == told


@ensureDeferred
async def test_time_does_not_run_backwards(db: Database, make_pool: MakePool) -> None:
    """The one that has most is read, and stays so while it can be."""
    a, b, c = (Server((True, OURS, 5, lsn)) for lsn in (10, 30, 20))
    found = standbys(away(make_pool, db), {"a": a, "b": b, "c": c})

    async def read() -> str:
        view = await found.view()
        assert view is not None
        await view.query("SELECT")
        assert view.was_read
        (name,) = [n for n, s in (("a", a), ("b", b), ("c", c)) if "SELECT" in s.asked]
        for each in (a, b, c):
            each.asked.clear()
        return name

    assert await read() == "b"
    a.says = (True, OURS, 1, 99)
    assert await read() == "b"
    b.says = StoreUnavailable("gone")
    assert await read() == "a"


@ensureDeferred
async def test_what_is_told(pool: Pool, db: Database, make_pool: MakePool) -> None:
    """Once when it begins, once when it ends, whoever notices; and again next time."""
    primary = away(make_pool, db)
    found = standbys(primary, {"a": Server((True, OURS, 5, 1))})
    with capturedLogs() as log:
        assert await found.is_readable()
        assert log == []
        for _ in range(2):
            for _ in range(3):
                assert await found.view() is not None
            await found.trim()
            # Some job has heard of it.
            primary.note_answer()
            await found.trim()
            primary.heard_seconds = None
    told = [formatEvent(event) for event in log if "primary" in event["log_format"]]
    assert [" again" in each for each in told] == [False, True] * 2
    assert "standby a, behind by 5 s" in told[0]


@ensureDeferred
async def test_only_a_question_asked_since_counts(pool: Pool) -> None:
    """Who comes while one is under way shares the next, with all others who came."""
    answers: list[Deferred[bool]] = []

    class Asked(Standbys):
        async def _answers(self) -> bool:
            answers.append(Deferred())
            return await answers[-1]

    found = Asked(pool, {"a": Server((True, OURS, 1, 1))}, OURS)  # type: ignore[dict-item]
    first = Deferred.fromCoroutine(found.view())
    later = [Deferred.fromCoroutine(found.view()) for _ in range(3)]
    assert len(answers) == 1
    answers[0].callback(False)
    assert await first is not None
    assert [each.called for each in later] == [False] * 3
    assert len(answers) == 2
    # It has come back in between.
    answers[1].callback(True)
    assert [await each for each in later] == [None] * 3
    assert len(answers) == 2


@ensureDeferred
async def test_a_request_reads_one_server_only(
    db: Database, make_pool: MakePool
) -> None:
    """All of its statements go there, though the primary could answer them."""
    primary = make_pool(db.config)
    ledger = PostgresLedger(primary, 60, 60)
    other = Server(StoreUnavailable("no such row here"))
    view = await standbys(away(make_pool, db), {"a": Server((True, OURS, 1, 1))}).view()
    assert view is not None
    view._pool = other  # type: ignore[assignment]
    buckets, cors = PostgresBuckets(primary, 60), PostgresCors(primary)
    for read in (ledger.head("b", "k"), buckets.find("bucket"), cors.get("bucket")):
        with reading(view), pytest.raises(StoreUnavailable, match="no such row"):
            await read
    assert len(other.asked) == 3 and other.asked[0] == statements()["head"]
    assert await ledger.head("b", "k") is None


@ensureDeferred
async def test_a_real_server_says_what_it_is(db: Database, make_pool: MakePool) -> None:
    """The session's own is a primary, which is never read as a standby."""
    arguments = standby_arguments(connection_arguments(db.config))
    assert list(arguments) == [db.config.host]
    (pool,) = (Pool(each, away(make_pool, db).reactor) for each in arguments.values())
    try:
        found = Standbys(away(make_pool, db), {"a": pool}, OURS)
        assert await found.view() is None
        assert not await found.is_readable()
    finally:
        found.close()
        await pause()
