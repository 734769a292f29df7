"""The pool: fair, never stuck, and exact about what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg2
import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from s3proxy.errors import OutcomeUnknown, StoreUnavailable
from s3proxy.store.pool import Pool
from tests.servers import PostgresServer
from tests.store.conftest import Database, Frozen, MakePool, clock_time, pause, until

PID = "SELECT pg_backend_pid()"


def begun(pool: Pool, sql: str, **options: Any) -> Deferred[Any]:
    """Start a query without waiting for it."""
    return Deferred.fromCoroutine(pool.query(sql, None, **options))


async def pid_of(pool: Pool) -> int:
    """The session that the next query gets."""
    ((pid,),) = await pool.query(PID)
    return int(pid)


async def outcomes(work: list[Deferred[Any]]) -> list[Any]:
    """Every result, or the exception itself."""
    done = await DeferredList(work, consumeErrors=True)
    return [value if good else value.value for good, value in done]


@ensureDeferred
async def test_connections_are_reused(pool: Pool) -> None:
    """One after the other, queries need one session."""
    assert len({await pid_of(pool) for _ in range(5)}) == 1


@ensureDeferred
async def test_no_more_connections_than_allowed(
    db: Database, make_pool: MakePool
) -> None:
    """Ten at once share three sessions."""
    pool = make_pool(db.config, max_connections=3)
    slow = "SELECT pg_backend_pid() FROM pg_sleep(0.02)"
    sleepers = [begun(pool, slow) for _ in range(10)]
    pids = [rows[0][0] for rows in await outcomes(sleepers)]
    assert len(set(pids)) == 3


@ensureDeferred
async def test_waiting_callers_are_served_in_order(
    db: Database, make_pool: MakePool
) -> None:
    """First come, first served."""
    pool = make_pool(db.config, max_connections=1)
    ended: list[int] = []
    work = []
    for number in range(8):
        one = begun(pool, f"SELECT {number}")
        work.append(one.addCallback(lambda rows: ended.append(rows[0][0])))
    await outcomes(work)
    assert ended == list(range(8))


@ensureDeferred
async def test_the_queue_is_bounded(db: Database, make_pool: MakePool) -> None:
    """One caller too many is told so at once, and does the others no harm."""
    pool = make_pool(db.config, max_connections=1, max_waiting=2)
    work = [begun(pool, f"SELECT {number}") for number in range(3)]
    with pytest.raises(StoreUnavailable, match="too many"):
        await pool.query("SELECT 3")
    assert await outcomes(work) == [[(0,)], [(1,)], [(2,)]]
    assert await pool.query("SELECT 4") == [(4,)]


def test_the_wait_for_a_turn_is_bounded() -> None:
    """Behind a frozen server a caller is told after one limit, not one per ten."""
    clock = Clock()
    pool = Pool({}, clock, max_connections=0, connect_timeout_seconds=10)
    work = begun(pool, "SELECT 1")
    clock.advance(9.9)
    assert not work.called
    clock.advance(0.2)
    failure = work.result
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, StoreUnavailable)
    work.addErrback(lambda _: None)
    assert clock.getDelayedCalls() == []
    # Nobody wakes it any more, and its place in the queue is free.
    assert not pool._waiting


@ensureDeferred
async def test_sql_errors_pass_and_do_no_harm(pool: Pool) -> None:
    """The server's refusal comes with its SQLSTATE, and the session goes on."""
    pid = await pid_of(pool)
    with pytest.raises(psycopg2.Error) as caught:
        await pool.query("SELECT 1 / 0")
    assert caught.value.pgcode == "22012"
    assert await pid_of(pool) == pid
    assert pool.last_failure_seconds is None


@ensureDeferred
async def test_statements_without_rows(pool: Pool) -> None:
    """They return none, and their work is committed."""
    await pool.query("CREATE TABLE rowless (n int)")
    assert await pool.query("INSERT INTO rowless VALUES (%(n)s)", {"n": 1}) == []
    assert await pool.query("SELECT n FROM rowless") == [(1,)]
    assert await pool.query("DROP TABLE rowless") == []


@pytest.mark.parametrize("code", ["40001", "40P01"])
@ensureDeferred
async def test_undone_transactions_are_tried_again(pool: Pool, code: str) -> None:
    """What the server undid for another's sake happens in the end, once."""
    await pool.query(
        f"""
        CREATE SEQUENCE tries;
        CREATE FUNCTION stumble(times integer) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE this bigint := nextval('tries');
        BEGIN
            IF this <= times THEN
                RAISE 'stumbled' USING ERRCODE = '{code}';
            END IF;
            RETURN this;
        END $$
        """
    )
    try:
        assert await pool.query("SELECT stumble(2)") == [(3,)]
        with pytest.raises(psycopg2.Error) as caught:
            await pool.query("SELECT stumble(100)")
        assert caught.value.pgcode == code
        assert await pool.query("SELECT last_value FROM tries") == [(8,)]
    finally:
        await pool.query("DROP FUNCTION stumble; DROP SEQUENCE tries")


@ensureDeferred
async def test_idle_connections_that_died_are_replaced(
    db: Database, make_pool: MakePool
) -> None:
    """Nobody is given a dead one, and none is counted for ever."""
    pool = make_pool(db.config, max_connections=1)
    for _ in range(3):
        pid = await pid_of(pool)
        assert db.value("SELECT pg_terminate_backend(%s)", pid)
        await until(lambda: pool._idle[0].broken)
        assert await pid_of(pool) != pid
    assert pool.last_failure_seconds is None


@ensureDeferred
async def test_a_session_killed_at_work_leaves_the_outcome_unknown(
    db: Database, make_pool: MakePool
) -> None:
    """Whether it was committed nobody can say; the next query works."""
    pool = make_pool(db.config, max_connections=1)
    pid = await pid_of(pool)
    work = begun(pool, "SELECT pg_sleep(30)")
    await until(
        lambda: (
            db.value("SELECT state FROM pg_stat_activity WHERE pid = %s", pid)
            == "active"
        )
    )
    db.value("SELECT pg_terminate_backend(%s)", pid)
    with pytest.raises(OutcomeUnknown):
        await work
    assert pool.last_failure_seconds is not None
    assert await pid_of(pool) != pid


@ensureDeferred
async def test_a_slow_statement_is_ended_by_the_server(
    db: Database, make_pool: MakePool
) -> None:
    """A little before the pool would close the connection; it did not happen."""
    pool = make_pool(db.config, statement_timeout_seconds=0.3)
    began = clock_time()
    pid = await pid_of(pool)
    with pytest.raises(psycopg2.Error, match="statement timeout") as caught:
        await pool.query("SELECT pg_sleep(30)")
    assert caught.value.pgcode == "57014"
    assert clock_time() - began < 5
    assert await pid_of(pool) == pid
    assert pool.last_failure_seconds is None


@ensureDeferred
async def test_a_patient_caller_waits_longer(db: Database, make_pool: MakePool) -> None:
    """``timeout_seconds`` lifts the server's limit too, for that statement alone."""
    pool = make_pool(db.config, max_connections=1, statement_timeout_seconds=0.2)
    slow = "SELECT %(n)s::integer FROM pg_sleep(0.4)"
    assert await pool.query(slow, {"n": 7}, timeout_seconds=20) == [(7,)]
    with pytest.raises(psycopg2.Error, match="statement timeout"):
        await pool.query(slow, {"n": 7})


@ensureDeferred
async def test_a_server_that_became_read_only_is_left(pool: Pool) -> None:
    """After a failover the session leads to the wrong server: it is not kept."""
    pid = await pid_of(pool)
    await pool.query("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        await pool.query("INSERT INTO buckets (bucket) VALUES ('b')")
    assert pool.last_failure_seconds is not None
    assert await pid_of(pool) != pid


@ensureDeferred
async def test_a_caller_that_leaves_does_not_stop_the_statement(
    db: Database, pool: Pool
) -> None:
    """A client that hangs up cancels its handler, never a transaction."""
    work = begun(pool, "INSERT INTO buckets SELECT 'b' FROM pg_sleep(0.1)")
    await pause(0.05)
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    await until(lambda: db.value("SELECT count(*) FROM buckets") == 1)
    assert pool.last_failure_seconds is None


@ensureDeferred
async def test_a_waiting_caller_that_leaves_keeps_nobody_waiting(
    db: Database, make_pool: MakePool
) -> None:
    """Its turn passes."""
    pool = make_pool(db.config, max_connections=1)
    work = [begun(pool, f"SELECT {number}") for number in range(3)]
    work[1].cancel()
    first, second, third = await outcomes(work)
    assert (first, third) == ([(0,)], [(2,)])
    assert isinstance(second, CancelledError)


@ensureDeferred
async def test_fresh_is_a_connection_of_its_own(db: Database, pool: Pool) -> None:
    """Not the pool's, and gone afterwards."""
    pid = await pid_of(pool)
    ((fresh,),) = await pool.fresh(PID)
    assert fresh != pid
    await until(
        lambda: not db.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (fresh,))
    )


@ensureDeferred
async def test_a_caller_that_leaves_does_not_stop_a_fresh_statement(
    db: Database, pool: Pool
) -> None:
    """As with the pool's own connections."""
    work = Deferred.fromCoroutine(
        pool.fresh("INSERT INTO buckets SELECT 'b' FROM pg_sleep(0.2)")
    )
    await until(
        lambda: bool(
            db.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'INSERT INTO b%%'")
        )
    )
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    await until(lambda: db.value("SELECT count(*) FROM buckets") == 1)


@ensureDeferred
async def test_close(db: Database, make_pool: MakePool) -> None:
    """What runs may end, what waits and what comes later fails."""
    pool = make_pool(db.config, max_connections=1)
    pid = await pid_of(pool)
    work = [begun(pool, f"SELECT {number} FROM pg_sleep(0.1)") for number in range(2)]
    await pause(0.02)
    pool.close()
    running, waiting = await outcomes(work)
    assert running == [(0,)]
    assert isinstance(waiting, StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        await pool.query("SELECT 1")
    await until(
        lambda: not db.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,))
    )


# A server that goes away ---


@ensureDeferred
async def test_a_server_stopped_and_started(
    frail: PostgresServer, make_pool: MakePool
) -> None:
    """Only StoreUnavailable while it is away, however many call; then all is well."""
    pool = make_pool(frail.config(), max_connections=2)
    before = await outcomes([begun(pool, PID) for _ in range(2)])
    frail.stop()
    try:
        await until(lambda: all(each.broken for each in pool._idle))
        away = await outcomes([begun(pool, "SELECT 1") for _ in range(900)])
        assert {type(each) for each in away} == {StoreUnavailable}
        assert pool.last_failure_seconds is not None
    finally:
        frail.start()
    after = await outcomes([begun(pool, PID) for _ in range(2)])
    assert not {rows[0][0] for rows in after} & {rows[0][0] for rows in before}


@ensureDeferred
async def test_a_server_killed_at_work(
    frail: PostgresServer, make_pool: MakePool
) -> None:
    """SIGKILL: the statement under way is of unknown outcome, then it comes back."""
    pool = make_pool(frail.config(), max_connections=2)
    work = begun(pool, "SELECT pg_sleep(30)")
    await pause(0.1)
    frail.kill()
    frail.start()
    with pytest.raises(OutcomeUnknown):
        await work
    assert await pool.query("SELECT 1") == [(1,)]


@ensureDeferred
async def test_a_frozen_server(frail: PostgresServer, make_pool: MakePool) -> None:
    """A timer ends the statement; the process goes on meanwhile."""
    pool = make_pool(
        frail.config(), statement_timeout_seconds=0.4, connect_timeout_seconds=0.3
    )
    await pid_of(pool)
    began = clock_time()
    with Frozen(frail):
        ticks = [pause(0.05 * number) for number in range(1, 8)]
        with pytest.raises(OutcomeUnknown):
            await pool.query("SELECT 1")
        assert 0.35 < clock_time() - began < 2
        assert sum(each.called for each in ticks) >= 6
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"):
            await pool.query("SELECT 1")
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"):
            await pool.fresh("SELECT 1")
        assert clock_time() - began < 4
    assert await pool.query("SELECT 1") == [(1,)]


@ensureDeferred
async def test_leaving_a_frozen_server_does_not_block(
    frail: PostgresServer, make_pool: MakePool
) -> None:
    """libpq's own cancel would hold the process until the server answers."""
    pool = make_pool(frail.config())
    await pid_of(pool)
    work = []
    with Frozen(frail):
        began = clock_time()
        work.append(begun(pool, "SELECT 1"))
        work.append(Deferred.fromCoroutine(pool.fresh("SELECT 1")))
        await pause(0.05)
        for each in work:
            each.cancel()
        assert all(isinstance(e, CancelledError) for e in await outcomes(work))
        assert clock_time() - began < 2
    assert await pool.query("SELECT 1") == [(1,)]


@ensureDeferred
async def test_nobody_listens(frail: PostgresServer, make_pool: MakePool) -> None:
    """What was tried is in the text, on one line."""
    pool = make_pool(frail.config("nosuch"))
    with pytest.raises(StoreUnavailable, match='database "nosuch" does not exist') as e:
        await pool.query("SELECT 1")
    assert "\n" not in str(e.value)
    # The pool's place is free again: this must not wait for ever.
    few = make_pool(frail.config("nosuch"), max_connections=1)
    failed = await outcomes([begun(few, "SELECT 1") for _ in range(5)])
    assert {type(each) for each in failed} == {StoreUnavailable}


@ensureDeferred
async def test_a_server_that_hangs_up_on_a_new_session(
    db: Database, make_pool: MakePool, tmp_path: Path
) -> None:
    """As one that starts, or a proxy without one behind it: told, and no traceback."""

    class HangUp(Protocol):
        def dataReceived(self, data: bytes) -> None:
            assert self.transport is not None
            self.transport.loseConnection()

    path = tmp_path / f".s.PGSQL.{db.config.port}"
    listening = reactor.listenUNIX(str(path), Factory.forProtocol(HangUp))
    pool = make_pool(evolve(db.config, host=str(tmp_path)))
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        failed = await outcomes([begun(pool, "SELECT 1") for _ in range(4)])
    finally:
        globalLogPublisher.removeObserver(events.append)
        await listening.stopListening()
    assert {type(each) for each in failed} == {StoreUnavailable}
    assert [each["log_text"] for each in events if each.get("isError")] == []


@ensureDeferred
async def test_spare_connections_are_closed(db: Database, make_pool: MakePool) -> None:
    """After a time without use, down to the least number; used ones stay."""
    pool = make_pool(db.config, max_connections=4, min_connections=2, idle_seconds=0.0)
    await gatherResults(
        [Deferred.fromCoroutine(pool.query("SELECT pg_sleep(0.05)")) for _ in range(4)]
    )
    assert len(pool._idle) == 4
    await pool.trim()
    assert len(pool._idle) == 2
    pool.idle_seconds = 60.0
    pool.min_connections = 0
    await pool.trim()
    assert len(pool._idle) == 2


@ensureDeferred
async def test_old_connections_are_replaced(db: Database, make_pool: MakePool) -> None:
    """One that is past its lifetime is closed when it comes back."""
    pool = make_pool(db.config, max_lifetime_seconds=0.0)
    ((first,),) = await pool.query("SELECT pg_backend_pid()")
    ((second,),) = await pool.query("SELECT pg_backend_pid()")
    assert first != second
    assert pool._idle == []
