"""An overwrite that is killed, and overwrites that meet (O1 to O3)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.crash.ground import LARGE, SMALL, BreakableDaemon, Ground, Grounds
from tests.crash.history import body, read


@pytest.mark.parametrize(
    ("point", "is_new"),
    [
        ("write.after", False),
        ("commit.before", False),
        ("commit.sent", None),
        ("answer.before", True),
    ],
)
def test_an_overwrite_that_is_killed(
    ground: Ground, point: str, is_new: bool | None
) -> None:
    """Before and after recovery, all of the old object or all of the new one."""
    old, new = body(SMALL), body(LARGE)
    assert ground.put(old) == 200
    ground.daemon.arm(point)
    assert ground.put(new) is None
    ground.daemon.wait_killed()
    ground.check_counters()
    ground.restart()
    found = read(ground.client, ground.key)
    if is_new is not None:
        assert found == (new if is_new else old)
    ground.verify()
    assert read(ground.client, ground.key) == found


def test_what_died_unacknowledged_never_undoes_a_later_write(ground: Ground) -> None:
    """Recovery does not promote a PUT, though its bytes are all there (P6)."""
    assert ground.put(body(SMALL)) == 200
    ground.daemon.arm("commit.before")
    assert ground.put(body(SMALL)) is None
    ground.daemon.wait_killed()
    ground.restart()
    newest = body(SMALL)
    assert ground.put(newest) == 200
    ground.verify()
    assert read(ground.client, ground.key) == newest


def test_o1_killed_before_the_old_bytes_are_deleted(ground: Ground) -> None:
    """They are garbage, charged, for as long as readers may want them."""
    assert ground.put(body(SMALL)) == 200
    assert ground.put(body(SMALL + 1)) == 200
    ground.restart()
    assert ground.states() == {"live": 1, "garbage": 1}
    assert ground.stored() == [SMALL, SMALL + 1]
    ground.check_counters()
    ground.daemon.arm("backend_delete.before")
    ground.pass_time()
    ground.daemon.wait_killed()
    assert ground.stored() == [SMALL, SMALL + 1]
    ground.restart()
    ground.verify()
    assert ground.stored() == [SMALL + 1]


@pytest.mark.parametrize("is_killed", [False, True])
def test_o2_two_daemons_overwrite_one_key(ground: Ground, is_killed: bool) -> None:
    """The one that commits last wins; one that dies before it commits never does."""
    assert ground.put(body(SMALL)) == 200
    with BreakableDaemon(
        ground.database, ground.backends, ledger={"lease": "1h"}
    ) as other:
        other.arm("commit.before", "stop")
        late, early = body(SMALL), body(SMALL)
        putting = ground.later(ground.history.put, other.client(), ground.key, late)
        other.wait_stopped()
        assert ground.put(early) == 200
        assert read(ground.client, ground.key) == early
        if is_killed:
            other.kill()
            assert putting.result() is None
        else:
            other.go_on()
            assert putting.result() == 200
        ground.history.over()
        assert read(ground.client, ground.key) == (early if is_killed else late)
        ground.verify()


def test_o2_many_overwrites_at_once(ground: Ground) -> None:
    """Two daemons, four clients: every one has its 200, and one version stays."""
    with BreakableDaemon(ground.database, ground.backends) as other:
        clients = [
            each.client() for each in (ground.daemon, other, ground.daemon, other)
        ]

        def overwrite(number: int) -> list[int | None]:
            put = ground.history.put
            return [
                put(clients[number], ground.key, body(SMALL + number)) for _ in range(8)
            ]

        racing = [ground.later(overwrite, number) for number in range(4)]
        assert [each.result() for each in racing] == [[200] * 8] * 4
        assert ground.states() == {"live": 1, "garbage": 31}
        ground.check_counters()
        ground.verify(other)


def test_o2_only_one_creates(ground: Ground) -> None:
    """Of those who want the key to be absent, one finds it so; the others get 412."""
    with BreakableDaemon(ground.database, ground.backends) as other:
        clients = [
            each.client() for each in (ground.daemon, other, ground.daemon, other)
        ]

        def create(number: int, key: str) -> int | None:
            return ground.history.put(
                clients[number], key, body(SMALL), IfNoneMatch="*"
            )

        for key in (f"{ground.prefix}{number}" for number in range(5)):
            racing = [ground.later(create, number, key) for number in range(4)]
            statuses = [each.result() for each in racing]
            assert sorted(map(str, statuses)) == ["200", "412", "412", "412"]
        ground.verify(other)


def test_o3_a_quota_that_holds_one_copy(grounds: Grounds) -> None:
    """507 with the old object intact; what a dead daemon had claimed comes back."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": SMALL + 1})
        ground.daemon.arm("claim.after")
        assert ground.put(body(SMALL)) is None
        ground.daemon.wait_killed()
        ground.restart()
        assert ground.put(body(SMALL)) == 507
        ground.settle()
        old = body(SMALL)
        assert ground.put(old) == 200
        assert ground.put(body(SMALL)) == 507
        assert ground.used() == {"a": SMALL}
        ground.verify()
        assert read(ground.client, ground.key) == old
        assert ground.delete() == 204
        # Charged until it is gone from the backend.
        assert ground.put(body(SMALL)) == 507
        ground.settle()
        assert ground.put(body(SMALL)) == 200
        ground.verify()


def test_o3_the_new_copy_goes_elsewhere(grounds: Grounds) -> None:
    """And back again, once the first backend has room."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": SMALL + 1, "b": SMALL + 1})
        assert ground.put(body(SMALL)) == 200
        ground.daemon.arm("commit.before")
        assert ground.put(body(SMALL)) is None
        ground.daemon.wait_killed()
        assert (ground.stored(0), ground.stored(1)) == ([SMALL], [SMALL])
        ground.restart()
        assert ground.put(body(SMALL)) == 507
        ground.settle()
        assert ground.put(body(SMALL)) == 200
        ground.verify()
        assert (ground.stored(0), ground.stored(1)) == ([], [SMALL])
        assert ground.put(body(SMALL)) == 200
        ground.verify()
        assert (ground.stored(0), ground.stored(1)) == ([SMALL], [])
