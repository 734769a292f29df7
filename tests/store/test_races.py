"""Many at once on a real server: row locks decide, and the sums stay exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from attrs import frozen
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, DeferredList

from s3proxy.errors import (
    ClaimLost,
    InsufficientStorage,
    NoSuchKey,
    OutcomeUnknown,
    PreconditionFailed,
)
from s3proxy.manager.ports import CopyState, NewObject
from s3proxy.model import (
    Claim,
    CopyCount,
    Deleted,
    Doomed,
    ObjectInfo,
    WriteConditions,
)
from s3proxy.store.janitor import Janitor
from tests.one_copy import PostgresLedger
from tests.store.conftest import Database, MakePool, until

ANY = WriteConditions()
ABSENT = WriteConditions(if_none_match=("*",))
PATIENCE_SECONDS = 60.0

# What a commit of 10 bytes under key "k" sends.
COMMIT = (
    "SELECT outcome FROM ledger_commit(%s, 'b', 'k', 10, 'm', NULL, '{}', '{}', '{}',"
    " NULL, NULL, '{}', '{}', '60 s')"
)


@frozen
class Proxy:
    """One proxy process's view of the ledger."""

    ledger: PostgresLedger
    janitor: Janitor

    async def claim(
        self, size_bytes: int = 10, backends: tuple[str, ...] = ("one",), key: str = "k"
    ) -> Claim:
        """Claim without conditions."""
        return await self.ledger.claim(backends, "b", key, size_bytes, ANY)

    async def commit(
        self, claim: Claim, conditions: WriteConditions = ANY, key: str = "k"
    ) -> ObjectInfo:
        """Commit; the ETag is the copy's id."""
        copy = claim.copy
        new = NewObject("b", key, copy.size_bytes, copy.copy_id, None)
        return await self.ledger.commit(claim, new, conditions, copy.copy_id, None)


@pytest.fixture
def proxies(db: Database, make_pool: MakePool) -> tuple[Proxy, Proxy]:
    """Two processes, with 25 connections each."""
    db.add_backend("one")
    db.add_backend("two")
    pools = [
        make_pool(
            db.config, max_connections=25, statement_timeout_seconds=PATIENCE_SECONDS
        )
        for _ in range(2)
    ]
    first, second = (
        Proxy(PostgresLedger(each, 600.0, 60.0), Janitor(each, 0.0, 3600.0))
        for each in pools
    )
    return first, second


@pytest.fixture
def proxy(proxies: tuple[Proxy, Proxy]) -> Proxy:
    """One of them."""
    return proxies[0]


async def at_once(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run all; every result, or the exception itself."""
    deferreds = [Deferred.fromCoroutine(each) for each in work]
    done = await DeferredList(deferreds, consumeErrors=True)
    return [value if good else value.value for good, value in done]


def kinds(results: list[Any]) -> Counter[str]:
    """How often each kind of result came."""
    return Counter(type(each).__name__ for each in results)


@ensureDeferred
async def test_parallel_claims_over_the_last_bytes(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """50 for 20 + 15 places: not one over the limit, not one place left."""
    db.add_backend("one", 209)
    db.add_backend("two", 150)
    results = await at_once(
        *(proxies[number % 2].claim(10, ("one", "two")) for number in range(50))
    )
    assert kinds(results) == {"Claim": 35, "InsufficientStorage": 15}
    used = db.sql("SELECT bytes_used FROM backend_quotas ORDER BY backend_name")
    assert used == [(200,), (150,)]
    placed = Counter(
        each.copy.backend_name for each in results if isinstance(each, Claim)
    )
    assert placed == {"one": 20, "two": 15}


@ensureDeferred
async def test_claims_in_opposite_orders(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """Two proxies that prefer different backends hold nobody up for ever."""
    db.add_backend("one", 100)
    db.add_backend("two", 100)
    results = await at_once(
        *(
            proxies[number % 2].claim(
                10, ("one", "two") if number % 2 else ("two", "one")
            )
            for number in range(50)
        )
    )
    assert kinds(results) == {"Claim": 20, "InsufficientStorage": 30}


@ensureDeferred
async def test_parallel_creates_have_one_winner(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """50 commits with If-None-Match: * of one key; the losers' claims are abandoned."""
    claims = [await proxies[0].claim() for _ in range(50)]
    results = await at_once(
        *(
            proxies[number % 2].commit(claim, ABSENT)
            for number, claim in enumerate(claims)
        )
    )
    assert kinds(results) == {"ObjectInfo": 1, "PreconditionFailed": 49}
    (won,) = [each for each in results if isinstance(each, ObjectInfo)]
    assert await proxies[0].ledger.head("b", "k") == won
    states = dict(db.sql("SELECT copy_id, state FROM object_locations"))
    assert states.pop(won.etag) == "live"
    assert set(states.values()) == {"abandoned"}


@ensureDeferred
async def test_parallel_replacements_have_one_winner(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """Of many that replace the version they have read, one does."""
    first = await proxies[0].commit(await proxies[0].claim())
    same = WriteConditions(if_match=(first.etag,))
    claims = [await proxies[0].claim() for _ in range(20)]
    results = await at_once(
        *(
            proxies[number % 2].commit(claim, same)
            for number, claim in enumerate(claims)
        )
    )
    assert kinds(results) == {"ObjectInfo": 1, "PreconditionFailed": 19}


@ensureDeferred
async def test_parallel_writes_and_deletes_of_one_key(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """All succeed; what is left is one whole version, or none."""
    claims = [await proxies[0].claim() for _ in range(30)]
    work: list[Coroutine[Any, Any, Any]] = []
    for number, claim in enumerate(claims):
        proxy = proxies[number % 2]
        work.append(proxy.commit(claim))
        if number % 2:
            work.append(proxy.ledger.delete("b", "k"))
    results = await at_once(*work)
    assert kinds(results) == {"ObjectInfo": 30, "Deleted": 15}
    stored = await proxies[0].ledger.find("b", "k")
    live = [
        name
        for (name,) in db.sql(
            "SELECT copy_id FROM object_locations WHERE state = 'live'"
        )
    ]
    assert live == ([stored.info.etag] if stored else [])
    if stored:
        (part,) = stored.parts
        assert (part.md5, part.copies[0].backend_etag) == (live[0], live[0])
        # The winner is the last one: nobody was told of a later version.
        told = [each for each in results if isinstance(each, ObjectInfo)]
        assert stored.info in told
    assert db.value("SELECT count(*) FROM object_locations") == 30


@ensureDeferred
async def test_commits_against_settling(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """Whoever comes first, both learn the same."""
    claims = [await proxies[0].claim(key=f"k{number}") for number in range(20)]
    work: list[Coroutine[Any, Any, Any]] = []
    for number, claim in enumerate(claims):
        work.append(proxies[0].commit(claim, key=f"k{number}"))
        work.append(proxies[1].ledger.settle(claim))
    results = await at_once(*work)
    for committed, settled in zip(results[::2], results[1::2], strict=True):
        if isinstance(committed, ObjectInfo):
            assert settled is CopyState.LIVE
        else:
            assert isinstance(committed, ClaimLost)
            assert settled is CopyState.ABANDONED


@ensureDeferred
async def test_commits_against_reaping(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """P9: a claim whose lease is over is committed or reaped, never both."""
    claims = [await proxies[0].claim(key=f"k{number}") for number in range(30)]
    db.sql("UPDATE object_locations SET due_at = now() - interval '1 s'")
    results = await at_once(
        *(proxies[0].commit(claim, key=f"k{n}") for n, claim in enumerate(claims)),
        *(proxies[1].janitor.reap(5) for _ in range(6)),
    )
    commits = kinds(results[:30])
    assert commits["ObjectInfo"] + commits["ClaimLost"] == 30
    assert commits["ClaimLost"] == sum(results[30:])
    states = Counter(s for (s,) in db.sql("SELECT state FROM object_locations"))
    assert states["live"] == commits["ObjectInfo"]
    assert states["abandoned"] + states["claimed"] == commits["ClaimLost"]


# One statement held up by another session ---


class Session:
    """Another process's session, in the middle of a transaction."""

    def __init__(self, db: Database) -> None:
        self._connection = db.server.connect(db.config.database)
        self._cursor = self._connection.cursor()
        self._cursor.execute("BEGIN")

    def sql(self, text: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement of the transaction."""
        self._cursor.execute(text, parameters or None)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def end(self, how: str) -> None:
        """COMMIT or ROLLBACK."""
        self._cursor.execute(how)
        self._connection.close()


def waits(db: Database) -> bool:
    """Whether somebody waits for a row's lock."""
    return bool(
        db.sql(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
    )


@pytest.mark.parametrize(
    ("how", "state"),
    [("COMMIT", CopyState.LIVE), ("ROLLBACK", CopyState.ABANDONED)],
)
@ensureDeferred
async def test_settling_waits_for_the_old_session(
    db: Database, proxy: Proxy, how: str, state: CopyState
) -> None:
    """P7: the connection broke at the COMMIT, and the server still works on it."""
    claim = await proxy.claim()
    old = Session(db)
    assert old.sql(COMMIT, claim.copy.copy_id) == [("committed",)]
    settled = Deferred.fromCoroutine(proxy.ledger.settle(claim))
    await until(lambda: waits(db))
    assert not settled.called
    old.end(how)
    assert await settled is state
    head = await proxy.ledger.head("b", "k")
    assert (head is not None) == (state is CopyState.LIVE)


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
@ensureDeferred
async def test_a_create_waits_for_another(db: Database, proxy: Proxy, how: str) -> None:
    """Two writers of an absent key meet at its primary key."""
    mine, theirs = await proxy.claim(), await proxy.claim()
    other = Session(db)
    assert other.sql(COMMIT, theirs.copy.copy_id) == [("committed",)]
    commit = Deferred.fromCoroutine(proxy.commit(mine, ABSENT))
    await until(lambda: waits(db))
    other.end(how)
    (result,) = await at_once(_result(commit))
    assert isinstance(result, PreconditionFailed if how == "COMMIT" else ObjectInfo)


@ensureDeferred
async def test_a_commit_over_a_delete(db: Database, proxy: Proxy) -> None:
    """If-Match waits for a delete under way, and finds the object gone."""
    first = await proxy.commit(await proxy.claim())
    other = Session(db)
    assert other.sql("SELECT ledger_delete('b', 'k', '60 s')") == [(True,)]
    commit = Deferred.fromCoroutine(
        proxy.commit(await proxy.claim(), WriteConditions(if_match=(first.etag,)))
    )
    await until(lambda: waits(db))
    other.end("COMMIT")
    with pytest.raises(NoSuchKey):
        await commit
    assert await proxy.ledger.head("b", "k") is None


@ensureDeferred
async def test_a_claim_waits_for_another(db: Database, proxy: Proxy) -> None:
    """The last bytes are promised once; a claim undone frees them."""
    db.add_backend("one", 10)
    for how in ("ROLLBACK", "COMMIT"):
        other = Session(db)
        other.sql(
            "SELECT outcome FROM ledger_claim('{one}', 'b', 'k', false, 10, '60 s',"
            " '{}', '{}')"
        )
        claim = Deferred.fromCoroutine(proxy.claim())
        await until(lambda: waits(db))
        other.end(how)
        if how == "ROLLBACK":
            await proxy.ledger.release(await claim)
        else:
            with pytest.raises(InsufficientStorage):
                await claim


@ensureDeferred
async def test_a_commit_killed_half_way(db: Database, proxy: Proxy) -> None:
    """Its outcome is unknown, and settling says that it did not happen."""
    before = await proxy.commit(await proxy.claim())
    claim = await proxy.claim()
    other = Session(db)
    other.sql("SELECT 1 FROM objects FOR UPDATE")
    commit = Deferred.fromCoroutine(proxy.commit(claim))
    await until(lambda: waits(db))
    db.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with pytest.raises(OutcomeUnknown):
        await commit
    other.end("ROLLBACK")
    assert await proxy.ledger.settle(claim) is CopyState.ABANDONED
    assert await proxy.ledger.head("b", "k") == before
    with pytest.raises(ClaimLost):
        await proxy.commit(claim)


@ensureDeferred
async def test_workers_pass_over_what_another_has(db: Database, proxy: Proxy) -> None:
    """SKIP LOCKED: neither the reaper nor the collector waits for its like."""
    claims = [await proxy.claim() for _ in range(4)]
    for claim in claims[:2]:
        await proxy.ledger.abandon(claim, landed=False)
    db.sql("UPDATE object_locations SET due_at = now() - interval '1 s'")
    other = Session(db)
    locked = {claims[0].copy.copy_id, claims[2].copy.copy_id}
    other.sql(
        "SELECT 1 FROM object_locations WHERE copy_id = ANY (%s) FOR UPDATE",
        list(locked),
    )
    assert await proxy.janitor.reap(10) == 1
    (due, _) = sorted(
        await proxy.janitor.collect("one", 10),
        key=lambda each: each.copy_id != claims[1].copy.copy_id,
    )
    assert due.copy_id == claims[1].copy.copy_id
    other.end("ROLLBACK")
    assert await proxy.janitor.reap(10) == 1


@ensureDeferred
async def test_two_collectors_share_the_work(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """Each row goes to one of them; both report, and every byte is freed once."""
    for number in range(60):
        claim = await proxies[0].claim(number)
        await proxies[0].ledger.abandon(claim, landed=False)
    pages = await at_once(
        *(proxies[number % 2].janitor.collect("one", 10) for number in range(8))
    )
    # SKIP LOCKED may leave some of a moment's overlap to the next round.
    pages.append(await proxies[0].janitor.collect("one", 60))
    taken = Counter(due.copy_id for page in pages for due in page)
    assert len(taken) == 60
    assert set(taken.values()) == {1}
    forgotten = await at_once(
        *(
            proxies[number % 2].janitor.collected(page)
            for number, page in enumerate(pages)
        )
    )
    assert sum(forgotten) == 60
    assert db.value("SELECT bytes_used FROM backend_quotas LIMIT 1") == 0


async def _result(work: Deferred[Any]) -> Any:
    return await work


@ensureDeferred
async def test_many_deletions_of_the_same_keys(
    proxies: tuple[Proxy, Proxy], db: Database
) -> None:
    """Lists in opposite orders wait for each other and never deadlock (rule 26)."""
    keys = [f"k{number:02}" for number in range(40)]
    total: Counter[str] = Counter()
    for _ in range(5):
        for key in keys:
            await proxies[0].commit(await proxies[0].claim(key=key), key=key)
        lists = [[Doomed(key) for key in keys], [Doomed(key) for key in keys[::-1]]]
        results = await at_once(
            *[
                proxy.ledger.delete_many("b", doomed)
                for proxy in proxies
                for doomed in lists * 3
            ],
            *[_overwrite(proxies[n % 2], keys[n]) for n in range(0, 40, 4)],
        )
        assert not [each for each in results if isinstance(each, Exception)]
        total += Counter(
            outcome.value
            for each in results
            if isinstance(each, tuple)
            for outcome in each
        )
        db.check()
    # Each object was deleted by one of them and no more; overwrites made some new ones.
    assert 5 * 40 <= total["deleted"] <= 5 * 50
    assert set(total) == {"deleted", "absent"}


async def _overwrite(proxy: Proxy, key: str) -> ObjectInfo:
    return await proxy.commit(await proxy.claim(key=key), key=key)


@ensureDeferred
async def test_a_delete_and_an_overwrite_race_for_one_etag(
    proxies: tuple[Proxy, Proxy], db: Database
) -> None:
    """The row's lock decides: what was not asked for is never deleted."""
    for _ in range(20):
        first = await _overwrite(proxies[0], "k")
        deleted, second = await at_once(
            proxies[0].ledger.delete("b", "k", [first.etag]),
            _overwrite(proxies[1], "k"),
        )
        assert isinstance(second, ObjectInfo)
        assert deleted in (Deleted.DELETED, Deleted.PRECONDITION)
        now = await proxies[0].ledger.head("b", "k")
        # Whoever came first, the later write stands.
        assert now is not None and now.object_id == second.object_id
    db.check()


# Several copies at once ---


@ensureDeferred
async def test_claims_on_several_in_any_order(
    db: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """Whoever prefers which backend, they wait and never deadlock; not one too many."""
    db.add_backend("one", 300)
    db.add_backend("two", 200)
    orders = (("one", "two"), ("two", "one"))
    results = await at_once(
        *(
            proxies[number % 2].ledger.claim_copies(
                orders[number // 2 % 2], "b", "k", 10, ANY, CopyCount(2, 2)
            )
            for number in range(40)
        )
    )
    assert kinds(results) == {"tuple": 20, "InsufficientStorage": 20}
    used = db.sql("SELECT bytes_used FROM backend_quotas ORDER BY backend_name")
    assert used == [(200,), (200,)]


PAGE = (
    '[{"key": "k", "size_bytes": 10, "etag": "%s", "md5": "%s", "headers": {},'
    ' "user_metadata": {}, "checksums": {}, "last_modified": "2020-01-01T00:00:00Z"}]'
)


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
@ensureDeferred
async def test_adopting_a_copy_that_is_being_made(
    db: Database, proxy: Proxy, how: str
) -> None:
    """On the same backend: the second waits for the part's row, and sees the first."""
    info = await proxy.commit(await proxy.claim())
    part_id = db.value("SELECT part_id FROM object_parts")
    adopt = "SELECT o_outcome FROM ledger_adopt('two', 'b', %s)"
    page = PAGE % (info.etag, info.etag)
    claim = (
        "SELECT outcome FROM ledger_claim_replica('{two}', %s, 2, false, '', '60 s')"
    )
    pool = proxy.ledger.pool
    for first, second, expected in (
        ((adopt, page), (claim, part_id), "enough"),
        ((claim, part_id), (adopt, page), "doubled"),
    ):
        other = Session(db)
        other.sql(*first)
        work = pool.query(second[0], (second[1],))
        waiting = Deferred.fromCoroutine(work)
        await until(lambda: waits(db))
        other.end(how)
        ((outcome,),) = await waiting
        if how == "COMMIT":
            assert outcome == expected
        else:
            assert outcome in ("claimed", "copied")
        db.sql("DELETE FROM object_locations WHERE backend_name = 'two'")
