"""``sweep`` that is killed, beside a daemon that goes on (G3); and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.crash.ground import SMALL, Ground, Grounds, wait_until
from tests.crash.history import body, read

# Six commands, each a process, and more than a thousand objects.
pytestmark = pytest.mark.system

ULID = "01J0000000000000000000000"


@pytest.fixture
def ground(grounds: Grounds) -> Iterator[Ground]:
    """Two backends, and a daemon that keeps two copies."""
    with ExitStack() as stack:
        yield grounds.make(
            stack,
            {"a": 0, "b": 0},
            replication={"factor": 2, "worker_interval": "100ms"},
        )


def store(ground: Ground, key: str, data: bytes, **metadata: str) -> None:
    """On the first backend, past everything."""
    ground.s3server.client.put_object(
        Bucket=ground.backends[0].bucket,
        Key=key,
        Body=data,
        Metadata={name.replace("_", "-"): value for name, value in metadata.items()},
    )


def copies(ground: Ground) -> Any:
    """Live ones by backend."""
    return dict(
        ground.query(
            "SELECT backend_name, count(*) FROM object_locations WHERE state = 'live' "
            "AND NOT is_manifest GROUP BY backend_name"
        )
    )


def test_killed_again_and_again(ground: Ground) -> None:
    """
    Orphans go, copies that are gone come back, and foreign files stay, a thousand of
    them and those of a second installation.
    """
    [(ours,)] = ground.query("SELECT installation_id FROM installation")
    bodies = {}
    for number in range(3):
        ground.begin(number + 1)
        bodies[ground.key] = data = body(SMALL + number)
        assert ground.put(data) == 200
    wait_until(lambda: copies(ground) == {"a": 3, "b": 3}, "two copies of each")
    foreign = {f"photos/{n:04}.jpg": b"photo %d" % n for n in range(1000)}
    for key, data in foreign.items():
        store(ground, key, data)
    theirs = {f"theirs~{ULID}{n}": b"theirs" for n in range(5)}
    for key, data in theirs.items():
        store(ground, key, data, s3proxy_installation="another")
    for n in range(5):
        store(ground, f"orphan~{ULID}{n}", b"late", s3proxy_installation=ours)
    [(lost,)] = ground.query(
        "SELECT min(backend_key) FROM object_locations WHERE backend_name = 'a'"
    )
    ground.s3server.client.delete_object(Bucket=ground.backends[0].bucket, Key=lost)

    daemon = ground.daemon
    told = daemon.command("sweep", page=300)
    assert told.returncode == 1 and "1,005 foreign (5 of other" in told.stdout, told
    assert f"a: MISSING: {lost!r}" in told.stdout
    # Five of eight are unknown: somebody has to vouch for the ledger.
    assert "NOTHING IS DELETED" in told.stdout
    for point in ("sweep_known.after", "sweep_queue.sent", "lose.sent"):
        daemon.command("sweep", "--delete", "--accept-restore", point=point, page=300)
        ground.check_counters()
    done = daemon.command("sweep", "--delete", page=300)
    assert done.returncode == 0 and "0 ours and unknown" in done.stdout, done

    def is_whole() -> bool:
        ground.pass_time()
        ground.query("UPDATE object_parts SET replica_due_at = now()")
        settled = not ground.query("SELECT FROM object_locations WHERE state <> 'live'")
        return settled and copies(ground) == {"a": 3, "b": 3}

    wait_until(is_whole, "two copies of each again, and nothing else")
    for key, data in bodies.items():
        assert read(ground.client, key) == data
    left = ground.s3server.keys(ground.backends[0])
    assert foreign.keys() | theirs.keys() == {
        key for key in left if not key.startswith("test-")
    }
    assert len(left) == 1008
    for key, data in (foreign | theirs).items():
        found = ground.s3server.client.get_object(
            Bucket=ground.backends[0].bucket, Key=key
        )
        assert found["Body"].read() == data
    assert daemon.check(settled=True).returncode == 0
