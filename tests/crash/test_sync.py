"""``sync`` that is killed, beside a daemon that goes on (S1, S2)."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from hashlib import md5
from typing import Any

import pytest

from tests.crash.ground import Ground, Grounds, wait_until
from tests.daemon import BUCKET, SHORT_LEDGER

# Takes long.
pytestmark = pytest.mark.system


def store(ground: Ground, names: list[str]) -> dict[str, bytes]:
    """Objects on the backend, past the product: what each holds, by key."""
    held = {f"{ground.prefix}{name}": name.encode() * 10 for name in names}
    for key, data in held.items():
        ground.s3server.client.put_object(
            Bucket=ground.backends[0].bucket, Key=key, Body=data
        )
    return held


def listed(ground: Ground) -> dict[str, str]:
    """The test's keys that clients see, with their ETags."""
    answer = ground.client.list_objects_v2(Bucket=BUCKET, Prefix=ground.prefix)
    return {each["Key"]: each["ETag"].strip('"') for each in answer.get("Contents", ())}


@pytest.mark.parametrize("point", ["inspect.after", "adopt.sent"])
def test_killed_within_a_page(ground: Ground, point: str) -> None:
    """S1: of the page there is nothing, or all of it; the next run does the rest."""
    held = store(ground, ["a", "b", "c"])
    ground.daemon.sync("--backend", "a", "--prefix", ground.prefix, point=point)
    ground.check_counters()
    if point == "adopt.sent":
        wait_until(lambda: len(listed(ground)) in (0, 3), "all of it or nothing")
    else:
        assert listed(ground) == {}
    done = ground.daemon.sync("--backend", "a", "--prefix", ground.prefix)
    assert done.returncode == 0
    assert listed(ground) == {key: md5(data).hexdigest() for key, data in held.items()}
    for key, data in held.items():
        ground.history.taken_in(key, data)
    ground.verify()


def test_killed_between_pages(ground: Ground) -> None:
    """S1: whole pages are left, and the next run does not look at theirs again."""
    held = store(ground, [f"{n:02}" for n in range(25)])
    ground.daemon.sync(
        "--backend", "a", "--prefix", ground.prefix, point="adopt.after", page=10
    )
    assert len(listed(ground)) == 10
    ground.check_counters()
    done = ground.daemon.sync("--backend", "a", "--prefix", ground.prefix, page=10)
    assert "imported 15 objects" in done.stdout
    assert "skipped 10," in done.stdout
    for key, data in held.items():
        ground.history.taken_in(key, data)
    ground.verify()


@pytest.mark.parametrize(
    "point",
    ["delete_unchanged.before", "delete_unchanged.after", "collected.sent"],
)
def test_killed_while_a_copy_is_deleted(ground: Ground, point: str) -> None:
    """What was taken in and is deleted stays deleted, whatever sync meets (S2)."""
    (key,) = store(ground, ["a"])
    ground.daemon.sync("--backend", "a", "--prefix", ground.prefix)
    assert list(listed(ground)) == [key]
    assert ground.history.delete(ground.client, key) == 204
    ground.daemon.arm(point)
    ground.pass_time()
    ground.daemon.wait_killed()
    ground.check_counters()
    done = ground.daemon.sync("--backend", "a", "--prefix", ground.prefix)
    assert "imported 0 objects" in done.stdout, done.stdout
    ground.restart()
    assert listed(ground) == {}
    ground.verify()
    assert ground.stored() == []


def test_what_has_changed_is_left(ground: Ground) -> None:
    """The daemon's collector tells it, and lets it go; its bytes stay."""
    (key,) = store(ground, ["changed"])
    ground.daemon.sync("--backend", "a", "--prefix", ground.prefix)
    ground.client.delete_object(Bucket=BUCKET, Key=key)
    bucket, client = ground.backends[0].bucket, ground.s3server.client
    client.put_object(Bucket=bucket, Key=key, Body=b"somebody's")
    ground.daemon.arm("let_go.before")
    ground.pass_time()
    ground.daemon.wait_killed()
    ground.restart()
    ground.settle()
    assert "has changed there since: it is left alone" in ground.daemon.log.read_text()
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"somebody's"
    assert ground.states() == {}
    ground.daemon.sync("--backend", "a", "--prefix", ground.prefix)
    ground.history.taken_in(key, b"somebody's")
    ground.verify()


def test_a_storm_of_overwrites_and_deletes(grounds: Grounds) -> None:
    """
    While syncs run and are killed, whatever has appeared is deleted or overwritten: no
    deleted key comes back, no overwritten one becomes the old one again.
    """
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": 0}, ledger=SHORT_LEDGER)
        held = store(ground, [f"{n:03}" for n in range(60)])
        statuses: list[int | None] = []

        def appeared() -> set[str]:
            # Past the daemon, which is asked often: listings would be all that it does.
            rows = ground.query(
                "SELECT object_key FROM objects "
                f"WHERE starts_with(object_key, '{ground.prefix}')"
            )
            return {key for (key,) in rows}

        def work(client: Any, keys: list[str], dice: random.Random) -> None:
            left = set(keys)
            while left:
                time.sleep(0.02)
                for key in left & appeared():
                    if dice.random() < 0.5:
                        statuses.append(ground.history.delete(client, key))
                    else:
                        statuses.append(ground.history.put(client, key, b"new"))
                    left.discard(key)

        assert appeared() == set()
        keys = sorted(held)
        workers = [
            ground.later(work, ground.client, keys[n::3], random.Random(n))
            for n in range(3)
        ]
        for point in ("adopt.after", "adopt.sent", "inspect.after", "adopt.after"):
            ground.daemon.sync("--backend", "a", point=point, page=9)
        ground.daemon.sync("--backend", "a", page=9)
        for each in workers:
            each.result(60)
        assert len(statuses) == len(held)
        assert set(statuses) <= {200, 204}
        ground.daemon.sync("--backend", "a", page=9)
        ground.settle()
        ground.daemon.sync("--backend", "a", page=9)
        ground.verify()


@pytest.mark.parametrize("point", ["rebuild_become.after", "rebuild.sent"])
def test_a_rebuild_that_is_killed(grounds: Grounds, point: str) -> None:
    """Whole pages are left, or nothing; the next run does the rest."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": 0})
        for number in range(3):
            key = f"{ground.prefix}{number}"
            assert ground.history.put(ground.client, key, b"x" * number) == 200
        ground.daemon.terminate()
        tables = "objects, object_parts, object_locations"
        ground.query(f"TRUNCATE {tables}")
        ground.query("UPDATE installation SET installation_id = 'another'")
        ground.daemon.sync("--rebuild", point=point)
        ground.check_counters()
        done = ground.daemon.sync("--rebuild")
        assert done.returncode == 0, done.stdout
        ground.daemon.start()
        ground.verify()


def test_a_backend_that_is_not_there(ground: Ground) -> None:
    """What is wrong is told in one line, and the exit code is 2."""
    done = ground.daemon.run("sync", "--backend", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "s3proxy sync: --backend b: not configured, want one of a\n"
    ground.verify()
