"""A daemon that is killed in the middle of a drain; the next one goes on with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.crash.ground import SMALL, Ground, Grounds, wait_until
from tests.crash.history import body, read

# A daemon looks every five seconds whether there is something to drain.
pytestmark = pytest.mark.system


@pytest.fixture
def ground(grounds: Grounds) -> Iterator[Ground]:
    """Two backends; the first is filled."""
    with ExitStack() as stack:
        yield grounds.make(stack, {"a": 0, "b": 0})


def count(ground: Ground, which: str) -> int:
    """Rows of the first backend."""
    query = f"SELECT 1 FROM object_locations WHERE backend_name = 'a' AND {which}"
    return len(ground.query(query))


@pytest.mark.parametrize(
    "point", ["replica_claim.after", "finish.after", "replica_commit.after"]
)
def test_killed_while_draining(ground: Ground, point: str) -> None:
    bodies = {}
    for number in range(4):
        ground.begin(number + 1)
        bodies[ground.key] = data = body(SMALL + number)
        assert ground.put(data) == 200
    daemon = ground.daemon
    daemon.arm(point)
    begun = daemon.run("drain", "a", "--no-wait")
    assert begun.returncode == 0, begun.stderr
    daemon.wait_killed()
    ground.check_counters()
    # A minute later, when the dead process is not at it any more.
    ground.query("UPDATE jobs SET taken_until = NULL")
    ground.pass_time()
    ground.restart()
    wait_until(lambda: count(ground, "state = 'live'") == 0, "nothing live on a")

    def is_empty() -> bool:
        ground.pass_time()
        return count(ground, "true") == 0

    wait_until(is_empty, "nothing on a")
    done = daemon.run("drain", "a")
    assert done.returncode == 0 and "nothing is left on a" in done.stdout, done
    for key, data in bodies.items():
        assert read(ground.client, key) == data
    assert not ground.s3server.keys(ground.backends[0])
    refused = daemon.run("remove", "a")
    assert refused.returncode == 2 and "in the configuration" in refused.stderr
    assert daemon.check(settled=False).returncode == 0
