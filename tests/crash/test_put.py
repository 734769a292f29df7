"""A PUT that is killed, cut off or put to sleep at each point of its way (P1 to P9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3proxy.config import BackendConfig
from tests.crash.ground import LARGE, SMALL, BreakableDaemon, Ground, body, read, wait_until
from tests.crash.relays import BackendRelay, DatabaseRelay
from tests.daemon import BUCKET, Daemon


@pytest.mark.parametrize(
    ("point", "size", "left", "is_stored", "is_there"),
    [
        pytest.param("claim.before", SMALL, {}, False, False, id="P1"),
        pytest.param("claim.after", SMALL, {"claimed": 1}, False, False, id="P2"),
        pytest.param("open_put.after", SMALL, {"claimed": 1}, None, False, id="P3-head"),
        pytest.param("write.after", LARGE, {"claimed": 1}, None, False, id="P3-middle"),
        pytest.param("finish.before", LARGE, {"claimed": 1}, None, False, id="P3-end"),
        pytest.param("commit.before", SMALL, {"claimed": 1}, True, False, id="P6"),
        pytest.param("commit.sent", SMALL, None, True, None, id="P7"),
        pytest.param("commit.after", SMALL, {"live": 1}, True, True, id="P8-ledger"),
        pytest.param("answer.before", LARGE, {"live": 1}, True, True, id="P8-answer"),
    ],
)
def test_a_put_that_is_killed(
    ground: Ground,
    point: str,
    size: int,
    left: dict[str, int] | None,
    is_stored: bool | None,
    is_there: bool | None,
) -> None:
    """The client has no 200; the object is there whole, or there is nothing at all."""
    with BreakableDaemon(ground.database, ground.backends) as daemon:
        daemon.arm(point)
        data = body(size)
        assert ground.history.put(daemon.client(), "k", data) is None
        daemon.wait_killed()
        if left is not None:
            assert ground.states() == left
            assert ground.used()["a"] == size * sum(left.values())
        if is_stored is not None:
            assert list(ground.stored()["a"].values()) == [size] * is_stored
        daemon.start()
        ground.verify(daemon)
        if is_there is not None:
            assert read(daemon.client(), "k") == (data if is_there else None)
        assert ground.history.put(daemon.client(), "k", body()) == 200


def test_p4_the_answer_is_lost_and_the_daemon_dies(ground: Ground) -> None:
    """The bytes are there, and nobody knows of them but the claim."""
    with (
        BackendRelay(ground.backends[0]) as relay,
        BreakableDaemon(ground.database, [relay.config]) as daemon,
    ):
        caught = relay.catch("PUT ", "mute")
        putting = ground.later(ground.history.put, daemon.client(), "k", body())
        caught.wait()
        daemon.kill()
        assert putting.result() is None
        assert ground.states() == {"claimed": 1}
        assert list(ground.stored()["a"].values()) == [SMALL]
        daemon.start()
        ground.verify(daemon)
        assert read(daemon.client(), "k") is None


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_p4_the_answer_is_lost_and_the_daemon_lives(ground: Ground, size: int) -> None:
    """What may have landed is given up: 503, and it is deleted."""
    with (
        BackendRelay(ground.backends[0]) as relay,
        BreakableDaemon(ground.database, [relay.config]) as daemon,
    ):
        ground.history.put(daemon.client(), "k", old := body())
        relay.catch("PUT ", "lose")
        assert ground.history.put(daemon.client(), "k", body(size)) == 503
        ground.verify(daemon)
        assert read(daemon.client(), "k") == old


def test_p4_another_backend_takes_what_was_read_whole(
    ground: Ground, backend_config: Callable[..., BackendConfig]
) -> None:
    """The first backend's copy, stored without an answer, goes; the second's stays."""
    ground.backends.append(backend_config("b"))
    first, second = ground.backends
    with (
        BackendRelay(first) as relay,
        BreakableDaemon(ground.database, [relay.config, second]) as daemon,
    ):
        caught = relay.catch("PUT ", "lose")
        assert ground.history.put(daemon.client(), "k", body()) == 200
        caught.wait()
        ground.verify(daemon)
        assert list(ground.stored()["b"].values()) == [SMALL]


def test_a_put_that_lands_late_is_deleted_again(ground: Ground) -> None:
    """It lands after its first delete, which found nothing; the second one finds it."""
    with (
        BackendRelay(ground.backends[0]) as relay,
        BreakableDaemon(
            ground.database, [relay.config], ledger={"late": "1h"}
        ) as daemon,
    ):
        caught = relay.catch("PUT ", "hold")
        assert ground.history.put(daemon.client(), "k", body()) == 503
        _wait_first_delete(ground)
        assert ground.stored() == {"a": {}}
        caught.deliver()
        assert list(ground.stored()["a"].values()) == [SMALL]
        ground.verify(daemon)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_p5_a_body_that_proves_wrong(ground: Ground, size: int) -> None:
    """Its last bytes never go; dying before its claim is given up changes nothing."""
    wrong = "AAAAAAAAAAAAAAAAAAAAAA=="
    with BreakableDaemon(ground.database, ground.backends) as daemon:
        client = daemon.client()
        ground.history.put(client, "k", old := body())
        assert ground.history.put(client, "k", body(size), ContentMD5=wrong) == 400
        daemon.arm("release.before" if size == SMALL else "abandon.before")
        status = ground.history.put(client, "k", body(size), ContentMD5=wrong)
        assert status is None
        daemon.wait_killed()
        assert ground.states()["claimed"] == 1
        assert list(ground.stored()["a"].values()) == [SMALL]
        daemon.start()
        ground.verify(daemon)
        assert read(daemon.client(), "k") == old


@pytest.mark.parametrize(
    ("fate", "status"), [("lose", 200), ("drop", 503), ("hold", 503)]
)
def test_p7_the_commits_connection_is_lost(
    ground: Ground, fate: Any, status: int
) -> None:
    """Committed: 200. Not: 503, even where the statement reaches the server later."""
    with (
        DatabaseRelay(ground.database) as relay,
        BreakableDaemon(relay.config, ground.backends) as daemon,
    ):
        ground.history.put(daemon.client(), "k", old := body())
        caught = relay.catch("FROM ledger_commit(", fate)
        new = body()
        assert ground.history.put(daemon.client(), "k", new) == status
        if fate == "hold":
            caught.deliver()
            assert b"lost" in caught.answer
        daemon.kill()
        ground.history.over()
        daemon.start()
        assert read(daemon.client(), "k") == (new if status == 200 else old)
        ground.verify(daemon)


def test_p7_the_commit_still_runs_when_its_outcome_is_asked_for(
    ground: Ground,
) -> None:
    """The question waits for the old session's row lock, and the answer is 200."""
    other = ground.postgres.connect(ground.database.database)
    other.autocommit = False
    with (
        DatabaseRelay(ground.database) as relay,
        BreakableDaemon(relay.config, ground.backends) as daemon,
        other,
        other.cursor() as cursor,
    ):
        # The commit has locked its claim when it comes to the manifest.
        cursor.execute("LOCK TABLE object_parts IN SHARE MODE")
        caught = relay.catch("FROM ledger_commit(", "cut")
        putting = ground.later(ground.history.put, daemon.client(), "k", body())
        caught.wait()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        waiting += " AND datname = current_database()"
        wait_until(lambda: len(ground.query(waiting)) == 2, "the question waits")
        assert not putting.done()
        other.rollback()
        caught.wait_answered()
        assert putting.result() == 200
        ground.verify(daemon)
    other.close()


@pytest.mark.parametrize("fate", ["lose", "drop"])
def test_p7_nobody_can_be_asked(ground: Ground, fate: Any) -> None:
    """The database is away and the daemon dies: no 200, and either all or nothing."""
    with (
        DatabaseRelay(ground.database) as relay,
        BreakableDaemon(relay.config, ground.backends) as daemon,
    ):
        ground.history.put(daemon.client(), "k", old := body())
        relay.catch("FROM ledger_commit(", fate)
        daemon.arm("settle.before")
        new = body()
        assert ground.history.put(daemon.client(), "k", new) is None
        daemon.wait_killed()
        daemon.start()
        ground.verify(daemon)
        assert read(daemon.client(), "k") == (new if fate == "lose" else old)


@pytest.mark.parametrize(
    ("point", "size"), [("commit.before", SMALL), ("write.after", LARGE)]
)
def test_p9_a_daemon_that_slept_past_its_lease(
    ground: Ground, point: str, size: int
) -> None:
    """Another has given its claim up: it wakes to a 503 and sends no further byte."""
    with (
        BreakableDaemon(
            ground.database, ground.backends, ledger={"lease": "1s"}
        ) as sleeper,
        Daemon(ground.database, ground.backends, ledger=_SHORT_LEASE) as other,
    ):
        ground.history.put(other.client(), "k", old := body())
        sleeper.arm(point, "stop")
        putting = ground.later(ground.history.put, sleeper.client(), "k", body(size))
        sleeper.wait_stopped()
        assert ground.states() == {"live": 1, "claimed": 1}
        # The lease runs out by itself; the second delete is not waited for.
        wait_until(lambda: "claimed" not in ground.states(), "the other reaps")
        ground.settle()
        assert not putting.done()
        sleeper.go_on()
        assert putting.result() == 503
        ground.history.over()
        ground.verify(other, clients=[sleeper.client(), other.client()])
        assert read(other.client(), "k") == old


_SHORT_LEASE = {
    "lease": "1s",
    "grace": "200ms",
    "late": "500ms",
    "collect_interval": "100ms",
}


def test_p9_the_sleepers_last_bytes_land_late(ground: Ground) -> None:
    """They had been let go before the sleep: the second delete finds them."""
    late = {**_SHORT_LEASE, "late": "1h"}
    with (
        BreakableDaemon(ground.database, ground.backends, ledger=late) as sleeper,
        Daemon(ground.database, ground.backends, ledger=late) as other,
    ):
        sleeper.arm("finish.before", "stop")
        putting = ground.later(ground.history.put, sleeper.client(), "k", body())
        sleeper.wait_stopped()
        _wait_first_delete(ground)
        sleeper.go_on()
        assert putting.result() == 503
        assert list(ground.stored()["a"].values()) == [SMALL]
        ground.history.over()
        ground.verify(other, clients=[sleeper.client(), other.client()])


def _wait_first_delete(ground: Ground) -> None:
    """Until an abandoned copy was deleted once and waits for the second time."""
    once = "SELECT 1 FROM object_locations WHERE state = 'abandoned'"
    once += " AND NOT delete_twice AND attempts > 0"
    wait_until(lambda: bool(ground.query(once)), "the first delete")


def test_nothing_is_left_to_prove_by_an_empty_bucket(ground: Ground) -> None:
    """The helpers see what is there: a stray object fails the comparison."""
    with Daemon(ground.database, ground.backends) as daemon:
        assert ground.history.put(daemon.client(), "k", body()) == 200
        backend = ground.backends[0]
        ground.s3server.client.put_object(
            Bucket=backend.bucket, Key="k~01J00000000000000000000000", Body=b"stray"
        )
        with pytest.raises(AssertionError):
            ground.verify(daemon)
        assert read(daemon.client(), "k") is not None
        ground.s3server.client.delete_object(
            Bucket=backend.bucket, Key="k~01J00000000000000000000000"
        )
        assert BUCKET
