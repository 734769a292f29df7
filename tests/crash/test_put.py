"""A PUT that is killed, cut off or put to sleep at each point of its way (P1 to P9)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.crash.ground import (
    LARGE,
    SMALL,
    BreakableDaemon,
    Ground,
    Grounds,
    RelayedGround,
    wait_until,
)
from tests.crash.history import body, read
from tests.crash.relays import Fate

CLAIMED, LIVE = {"claimed": 1}, {"live": 1}
WRONG_MD5 = "AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.mark.parametrize(
    ("point", "size", "left", "is_stored", "is_there"),
    [
        pytest.param("claim.before", SMALL, {}, False, False, id="P1"),
        pytest.param("claim.after", SMALL, CLAIMED, False, False, id="P2"),
        pytest.param("open_put.after", SMALL, CLAIMED, False, False, id="P3-head"),
        pytest.param("write.after", LARGE, CLAIMED, False, False, id="P3-middle"),
        pytest.param("finish.before", LARGE, CLAIMED, False, False, id="P3-end"),
        pytest.param("commit.before", SMALL, CLAIMED, True, False, id="P6"),
        pytest.param("commit.sent", SMALL, None, True, None, id="P7"),
        pytest.param("answer.before", LARGE, LIVE, True, True, id="P8"),
    ],
)
def test_a_put_that_is_killed(
    ground: Ground,
    point: str,
    size: int,
    left: dict[str, int] | None,
    is_stored: bool,
    is_there: bool | None,
) -> None:
    """The client has no 200; the object is there whole, or there is nothing at all."""
    ground.daemon.arm(point)
    data = body(size)
    assert ground.put(data) is None
    ground.daemon.wait_killed()
    assert left is None or ground.states() == left
    ground.check_counters()
    # A backend may well keep a part of what broke off.
    assert (size in ground.stored()) == is_stored
    ground.restart()
    ground.verify()
    if is_there is not None:
        assert read(ground.client, ground.key) == (data if is_there else None)


def test_p4_the_answer_is_lost_and_the_daemon_dies(relayed: RelayedGround) -> None:
    """The bytes are there, and nobody knows of them but the claim."""
    caught = relayed.to_backend.catch("PUT ", "mute")
    putting = relayed.later(relayed.put, body(SMALL))
    caught.wait()
    relayed.daemon.kill()
    assert putting.result() is None
    assert relayed.states() == CLAIMED
    assert relayed.stored() == [SMALL]
    relayed.restart()
    relayed.verify()
    assert read(relayed.client, relayed.key) is None


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_p4_the_answer_is_lost_and_the_daemon_lives(
    relayed: RelayedGround, size: int
) -> None:
    """What may have landed is given up: 503, and it is deleted."""
    old = body(SMALL)
    assert relayed.put(old) == 200
    caught = relayed.to_backend.catch("PUT ", "lose")
    assert relayed.put(body(size)) == 503
    assert b" 200 " in caught.answer
    relayed.verify()
    assert read(relayed.client, relayed.key) == old


def test_p4_another_backend_takes_what_was_read_whole(grounds: Grounds) -> None:
    """The first backend's copy, stored without an answer, goes; the second's stays."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": 0, "b": 0}, relayed=True)
        caught = ground.to_backend.catch("PUT ", "lose")
        assert ground.put(body(SMALL)) == 200
        assert b" 200 " in caught.answer
        ground.verify()
        assert (ground.stored(0), ground.stored(1)) == ([], [SMALL])


def test_a_put_that_lands_late_is_deleted_again(relayed: RelayedGround) -> None:
    """It lands after its first delete, which found nothing; the second one finds it."""
    caught = relayed.to_backend.catch("PUT ", "hold")
    assert relayed.put(body(SMALL)) == 503
    relayed.wait_deleted_once()
    assert relayed.stored() == []
    caught.deliver()
    assert relayed.stored() == [SMALL]
    relayed.verify()
    assert read(relayed.client, relayed.key) is None


@pytest.mark.parametrize(
    ("size", "point"), [(SMALL, "release.before"), (LARGE, "abandon.before")]
)
def test_p5_a_body_that_proves_wrong(ground: Ground, size: int, point: str) -> None:
    """Its last bytes never go; dying before its claim is given up changes nothing."""
    old = body(SMALL)
    assert ground.put(old) == 200
    assert ground.put(body(size), ContentMD5=WRONG_MD5) == 400
    ground.daemon.arm(point)
    assert ground.put(body(size), ContentMD5=WRONG_MD5) is None
    ground.daemon.wait_killed()
    assert ground.states()["claimed"] == 1
    assert ground.stored() == [SMALL]
    ground.restart()
    ground.verify()
    assert read(ground.client, ground.key) == old


@pytest.mark.parametrize(
    ("fate", "status"), [("lose", 200), ("drop", 503), ("hold", 503)]
)
def test_p7_the_commits_connection_is_lost(
    relayed: RelayedGround, fate: Fate, status: int
) -> None:
    """Committed: 200. Not: 503, even where the statement reaches the server later."""
    old, new = body(SMALL), body(SMALL)
    assert relayed.put(old) == 200
    caught = relayed.to_database.catch("FROM ledger_commit_copies(", fate)
    assert relayed.put(new) == status
    if fate == "hold":
        caught.deliver()
        assert b"lost" in caught.answer
    relayed.restart()
    assert read(relayed.client, relayed.key) == (new if status == 200 else old)
    relayed.verify()


def test_p7_the_commit_runs_on_while_its_outcome_is_asked_for(
    relayed: RelayedGround,
) -> None:
    """The question waits for the old session's row lock, and the answer is 200."""
    other = relayed.postgres.connect(relayed.database.database)
    other.autocommit = False
    try:
        # The commit has locked its claim when it comes to the manifest.
        other.cursor().execute("LOCK TABLE object_parts IN SHARE MODE")
        caught = relayed.to_database.catch("FROM ledger_commit_copies(", "cut")
        putting = relayed.later(relayed.put, body(SMALL))
        caught.wait()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        waiting += " AND datname = current_database()"
        wait_until(lambda: len(relayed.query(waiting)) == 2, "the question waits")
        assert not putting.done()
    finally:
        other.close()
    caught.wait_answered()
    assert putting.result() == 200
    relayed.restart()
    relayed.verify()


@pytest.mark.parametrize("fate", ["lose", "drop"])
def test_p7_the_daemon_dies_before_it_can_ask(
    relayed: RelayedGround, fate: Fate
) -> None:
    """No 200; the whole new object where it was committed, else the old one."""
    old, new = body(SMALL), body(SMALL)
    assert relayed.put(old) == 200
    relayed.to_database.catch("FROM ledger_commit_copies(", fate)
    relayed.daemon.arm("settle.before")
    assert relayed.put(new) is None
    relayed.daemon.wait_killed()
    relayed.restart()
    relayed.verify()
    assert read(relayed.client, relayed.key) == (new if fate == "lose" else old)


@pytest.mark.parametrize(
    ("point", "size"), [("commit.before", SMALL), ("write.after", LARGE)]
)
def test_p9_a_daemon_that_slept_past_its_lease(
    ground: Ground, point: str, size: int
) -> None:
    """Another has given its claim up: it wakes to a 503 and sends no further byte."""
    old = body(SMALL)
    assert ground.put(old) == 200
    sleeper = BreakableDaemon(
        ground.database, ground.backends, ledger={"lease": "500ms"}
    )
    with sleeper:
        sleeper.arm(point, "stop")
        putting = ground.later(
            ground.history.put, sleeper.client(), ground.key, body(size)
        )
        sleeper.wait_stopped()
        assert ground.states() == {"live": 1, "claimed": 1}
        # Its lease runs out by itself. Then the other daemon does what there is to do.
        wait_until(lambda: "claimed" not in ground.states(), "the other one reaps")
        ground.settle()
        assert not putting.done()
        sleeper.go_on()
        assert putting.result() == 503
        ground.history.over()
        ground.verify(sleeper)
        assert read(ground.client, ground.key) == old


def test_p9_the_sleepers_last_bytes_land_late(ground: Ground) -> None:
    """They had been let go before the sleep: the second delete finds them."""
    with BreakableDaemon(ground.database, ground.backends) as sleeper:
        sleeper.arm("finish.before", "stop")
        putting = ground.later(
            ground.history.put, sleeper.client(), ground.key, body(SMALL)
        )
        sleeper.wait_stopped()
        ground.pass_time()
        ground.wait_deleted_once()
        sleeper.go_on()
        assert putting.result() == 503
        assert ground.stored() == [SMALL]
        ground.history.over()
        ground.verify(sleeper)
        assert read(ground.client, ground.key) is None
