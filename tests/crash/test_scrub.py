"""A daemon that is killed in the middle of scrubbing; the next one goes on (C1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.crash.ground import SMALL, Ground, Grounds, wait_until
from tests.crash.history import body, read

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ground(grounds: Grounds) -> Iterator[Ground]:
    """Two backends, two copies of everything, and all is read all the time."""
    with ExitStack() as stack:
        yield grounds.make(
            stack,
            {"a": 0, "b": 0},
            replication={"factor": 2, "worker_interval": "100ms"},
            scrub={"enabled": True, "bytes_per_day": 1 << 40, "interval": "100ms"},
        )


def live(ground: Ground) -> list[tuple[str, str]]:
    """Backends and keys of this test's good copies."""
    return ground.query(
        "SELECT backend_name, backend_key FROM object_locations WHERE state = 'live' "
        f"AND quarantined_at IS NULL AND starts_with(backend_key, '{ground.prefix}')"
    )


POINTS = (
    "scrub_quarantine.before",
    "scrub_quarantine.sent",
    "lose.sent",
    "replica_commit.sent",
    "scrub_note.sent",
)


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_a_bad_copy_is_replaced(ground: Ground, point: str) -> None:
    number = POINTS.index(point)
    ground.begin(number + 1)
    data = body(SMALL + number)
    assert ground.put(data) == 200
    wait_until(lambda: len(live(ground)) == 2, "two copies")
    [bad] = [key for name, key in live(ground) if name == "a"]
    bucket = ground.backends[0].bucket
    ground.s3server.client.put_object(
        Bucket=bucket, Key=bad, Body=bytes([data[0] ^ 1]) + data[1:]
    )
    ground.daemon.arm(point)

    def is_dead() -> bool:
        # A lap that has begun just now may have read the copy while it was good.
        ground.query("UPDATE scrubs SET lap_began_at = 'epoch'")
        return not ground.daemon.is_armed

    wait_until(is_dead, f"{point} is reached")
    ground.daemon.wait_killed()
    ground.check_counters()
    # A while later, when the dead process is not at it any more.
    ground.query("UPDATE jobs SET taken_until = NULL")
    ground.pass_time()
    ground.restart()

    def is_mended() -> bool:
        ground.pass_time()
        ground.query("UPDATE scrubs SET lap_began_at = 'epoch'")
        ground.query("UPDATE object_parts SET replica_due_at = now()")
        there = live(ground)
        return len(there) == 2 and bad not in [key for _, key in there]

    wait_until(is_mended, "a good copy in its place")
    assert read(ground.client, ground.key) == data
    ground.verify()
