"""A DELETE, and the collection after it, killed or cut off (D1 to D4)."""

from __future__ import annotations

import pytest

from tests.crash.ground import SMALL, Ground, RelayedGround, wait_until
from tests.crash.history import body, read
from tests.crash.relays import Fate


@pytest.mark.parametrize(
    ("point", "is_there"),
    [
        ("delete.before", True),
        ("delete.sent", None),
        ("answer.before", False),
    ],
)
def test_d1_a_delete_that_is_killed(
    ground: Ground, point: str, is_there: bool | None
) -> None:
    """All of the object, or none of it; another try does no harm."""
    data = body(SMALL)
    assert ground.put(data) == 200
    ground.daemon.arm(point)
    assert ground.delete() is None
    ground.daemon.wait_killed()
    ground.check_counters()
    # No backend call in the request.
    assert ground.stored() == [SMALL]
    ground.restart()
    if is_there is not None:
        assert read(ground.client, ground.key) == (data if is_there else None)
    assert ground.delete() == 204
    assert read(ground.client, ground.key) is None
    ground.verify()
    assert ground.stored() == []


@pytest.mark.parametrize(
    ("point", "is_there"),
    [
        ("delete_many.before", True),
        ("delete_many.sent", None),
        ("answer.before", False),
    ],
)
def test_d1_a_list_that_is_killed(
    ground: Ground, point: str, is_there: bool | None
) -> None:
    """All of the list, or none of it; another try does no harm."""
    keys = [f"{ground.prefix}{number}" for number in (3, 1, 2)]
    for key in keys:
        assert ground.history.put(ground.client, key, body(SMALL)) == 200
    ground.daemon.arm(point)
    assert ground.history.delete_many(ground.client, keys) is None
    ground.daemon.wait_killed()
    ground.check_counters()
    # No backend call in the request.
    assert ground.stored() == [SMALL] * 3
    ground.restart()
    found = {read(ground.client, key) is not None for key in keys}
    assert found == {is_there} if is_there is not None else len(found) == 1
    assert ground.history.delete_many(ground.client, keys) == 200
    ground.verify()
    assert ground.stored() == []


@pytest.mark.parametrize("fate", ["lose", "drop"])
def test_d1_a_delete_whose_answer_is_lost(relayed: RelayedGround, fate: Fate) -> None:
    """503, and either outcome; another try does no harm."""
    data = body(SMALL)
    assert relayed.put(data) == 200
    relayed.to_database.catch("SELECT ledger_delete_if(", fate)
    assert relayed.delete() == 503
    assert read(relayed.client, relayed.key) == (None if fate == "lose" else data)
    relayed.restart()
    assert read(relayed.client, relayed.key) == (None if fate == "lose" else data)
    assert relayed.delete() == 204
    relayed.verify()
    assert relayed.stored() == []


@pytest.mark.parametrize(
    ("point", "is_stored", "is_charged"),
    [
        ("collect.after", True, True),
        ("backend_delete.after", False, True),
        ("collected.sent", False, None),
        ("collected.after", False, False),
    ],
)
def test_d2_the_collector_is_killed(
    ground: Ground, point: str, is_stored: bool, is_charged: bool | None
) -> None:
    """Nothing is forgotten before it is gone, and what is gone is deleted again."""
    assert ground.put(body(SMALL)) == 200
    assert ground.delete() == 204
    ground.daemon.arm(point)
    ground.pass_time()
    ground.daemon.wait_killed()
    assert ground.stored() == [SMALL] * is_stored
    if is_charged is not None:
        assert ground.states() == ({"garbage": 1} if is_charged else {})
    ground.check_counters()
    ground.restart()
    ground.verify()
    assert ground.stored() == []


def test_d3_a_delete_that_lands_late(relayed: RelayedGround) -> None:
    """The key is the copy's own: the object's next version has another."""
    assert relayed.put(body(SMALL)) == 200
    caught = relayed.to_backend.catch("DELETE ", "hold")
    assert relayed.delete() == 204
    relayed.pass_time()
    caught.wait()
    newest = body(SMALL)
    assert relayed.put(newest) == 200
    relayed.settle()
    caught.deliver()
    assert b" 204 " in caught.answer
    relayed.restart()
    relayed.verify()
    assert read(relayed.client, relayed.key) == newest


def test_d4_a_backend_that_is_down_for_days(relayed: RelayedGround) -> None:
    """It stays charged and is tried for ever, by this daemon and the next."""
    assert relayed.put(body(SMALL)) == 200
    charged = relayed.used()

    def tries() -> int:
        relayed.pass_time()
        ((count,),) = relayed.query(
            "SELECT max(attempts) FROM object_locations WHERE state = 'garbage'"
        )
        return int(count)

    relayed.to_backend.down = True
    try:
        assert relayed.delete() == 204
        wait_until(lambda: tries() >= 3, "it is tried again and again")
        relayed.restart()
        before = tries()
        wait_until(lambda: tries() >= before + 5, "the next daemon goes on")
        assert relayed.states() == {"garbage": 1}
        assert relayed.used() == charged
        assert relayed.stored() == [SMALL]
    finally:
        relayed.to_backend.down = False
    relayed.verify()
    assert relayed.stored() == []
