"""
Daemons that are killed while they copy copies, move them, or remove some (R1 to R3, B1,
B2): recovery and another round lead to what was wanted, and nothing is lost.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import yaml
from attrs import define, field

from tests.crash.ground import (
    SMALL,
    BreakableDaemon,
    Ground,
    Grounds,
    RelayedGround,
    wait_until,
)
from tests.crash.history import body, read
from tests.crash.test_multipart import Upload
from tests.crash.test_random import Load
from tests.daemon import SHORT_LEDGER

# Takes long.
pytestmark = pytest.mark.system

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "4"))

REPLICATE: dict[str, Any] = {
    "replication": {"factor": 2, "worker_interval": "100ms", "batch_size": 5}
}
TRIM: dict[str, Any] = {"replication": {"factor": 1, "worker_interval": "100ms"}}
MOVE: dict[str, Any] = {
    "rebalance": {"enabled": True, "strategy": "pack", "interval": "100ms"}
}


def configure(daemon: BreakableDaemon, sections: dict[str, Any]) -> None:
    """From its next start on; sections that are not named go."""
    config = yaml.safe_load(daemon.config.read_text())
    for name in ("replication", "rebalance"):
        config.pop(name, None)
    daemon.config.write_text(yaml.safe_dump({**config, **sections}))


def turn(ground: Ground) -> None:
    """The backends' other order, in which the second one is filled first."""
    config = yaml.safe_load(ground.daemon.config.read_text())
    config["backends"].reverse()
    ground.daemon.config.write_text(yaml.safe_dump(config))


@define(eq=False)
class Kept:
    """Grounds with two backends, by what their daemon does; kept from test to test."""

    _grounds: Grounds
    _stack: ExitStack
    _kept: dict[str, Ground] = field(factory=dict)
    _count: int = 0

    def take(self, kind: str, sections: dict[str, Any], *, turned: bool) -> Ground:
        """One that nothing is known against."""
        ground = self._kept.get(kind)
        if ground is None or not ground.is_clean:
            ground = self._grounds.make(self._stack, {"a": 0, "b": 0})
            self._kept[kind] = ground
            configure(ground.daemon, sections)
            if turned:
                turn(ground)
            ground.restart()
        self._count += 1
        ground.begin(1000 + self._count)
        return ground


@pytest.fixture(scope="module")
def kept(grounds: Grounds) -> Iterator[Kept]:
    """None yet."""
    with ExitStack() as stack:
        yield Kept(grounds, stack)


@pytest.fixture
def copying(kept: Kept) -> Ground:
    """Its daemon makes a copy of all that is on one backend, on the other."""
    return kept.take("copying", REPLICATE, turned=False)


@pytest.fixture
def moving(kept: Kept) -> Ground:
    """Its daemon moves all that is on ``a`` to ``b``."""
    return kept.take("moving", MOVE, turned=True)


@contextmanager
def full(ground: Ground, name: str) -> Iterator[None]:
    """Nothing goes to that backend meanwhile; after it, everything is due at once."""
    limit = "UPDATE backend_quotas SET bytes_limit = {} WHERE backend_name = '{}'"
    ground.query(limit.format(1, name))
    yield
    ground.query(limit.format(0, name))
    ground.query("UPDATE object_parts SET replica_due_at = now()")


def places(ground: Ground) -> list[str]:
    """Where the live copies are."""
    return [
        str(name)
        for (name,) in ground.query(
            "SELECT backend_name FROM object_locations "
            "WHERE state = 'live' AND NOT is_manifest "
            f"AND starts_with(object_key, '{ground.prefix}') ORDER BY 1"
        )
    ]


def wait_places(ground: Ground, *names: str) -> None:
    """
    Until they are there. A dead daemon's lease runs out by itself: to pass time would
    end those of copies that are being made, too, and let their bytes land too late.
    """

    def is_so() -> bool:
        ground.query("UPDATE object_parts SET replica_due_at = now()")
        return places(ground) == list(names)

    wait_until(is_so, f"copies on {names}")


@contextmanager
def alone(ground: Ground, *, without: str) -> Iterator[None]:
    """One backend has lost everything."""
    backend = next(each for each in ground.backends if each.name == without)
    client = ground.s3server.client
    kept = {}
    for key in ground.s3server.keys(backend):
        where = {"Bucket": backend.bucket, "Key": key}
        answer = client.get_object(**where)
        kept[key] = answer["Body"].read(), answer["Metadata"], answer["ContentType"]
        client.delete_object(**where)
    yield
    for key, (data, metadata, kind) in kept.items():
        client.put_object(
            Bucket=backend.bucket,
            Key=key,
            Body=data,
            Metadata=metadata,
            ContentType=kind,
        )


@pytest.mark.parametrize(
    "point",
    [
        "replica_take.after",
        "replica_claim.sent",
        "replica_claim.after",
        "finish.before",
        "finish.after",
        "replica_commit.sent",
        "replica_commit.after",
    ],
)
def test_r1_killed_while_copying(copying: Ground, point: str) -> None:
    """A claim is left, or a copy that counts; the next daemon makes what is missing."""
    data = body(SMALL)
    with full(copying, "b"):
        assert copying.put(data) == 200
        copying.daemon.arm(point)
    copying.daemon.wait_killed()
    copying.check_counters()
    copying.restart()
    wait_places(copying, "a", "b")
    copying.verify()
    for name in ("a", "b"):
        with alone(copying, without=name):
            assert read(copying.client, copying.key) == data


@pytest.mark.parametrize("how", ["overwrite", "delete"])
def test_r1_the_object_changes_while_it_is_copied(copying: Ground, how: str) -> None:
    """The daemon that copies sleeps meanwhile; what it made is not committed."""
    with BreakableDaemon(copying.database, copying.backends) as other:
        with full(copying, "b"):
            assert copying.put(body(SMALL)) == 200
            copying.daemon.arm("replica_commit.before", "stop")
        copying.daemon.wait_stopped()
        newest = None if how == "delete" else body(SMALL + 1)
        history, client = copying.history, other.client()
        if newest is None:
            assert history.delete(client, copying.key) == 204
        else:
            assert history.put(client, copying.key, newest) == 200
        copying.daemon.go_on()
        wait_places(copying, *([] if newest is None else ["a", "b"]))
        copying.verify(other)
        assert read(other.client(), copying.key) == newest


def test_r2_two_daemons_copy_one(copying: Ground) -> None:
    """One sleeps before its claim while the other makes the copy: there is one."""
    with BreakableDaemon(copying.database, copying.backends) as other:
        other.kill()
        configure(other, REPLICATE)
        other.start()
        with full(copying, "b"):
            other.arm("replica_claim.before", "stop")
            assert copying.put(body(SMALL)) == 200

            def is_asleep() -> bool:
                copying.query("UPDATE object_parts SET replica_due_at = now()")
                return not other.is_armed

            wait_until(is_asleep, "the other takes it")
            other.wait_stopped()
        wait_places(copying, "a", "b")
        other.go_on()
        copying.verify(other)
    assert places(copying) == ["a", "b"]


def test_r3_the_source_breaks_off(grounds: Grounds) -> None:
    """Its answer is lost; nothing of it is committed, and it is tried again."""
    with ExitStack() as stack:
        ground: RelayedGround = grounds.make(stack, {"a": 0, "b": 0}, relayed=True)
        data = body(SMALL)
        assert ground.put(data) == 200
        caught = ground.to_backend.catch("GET ", "lose")
        configure(ground.daemon, REPLICATE)
        ground.restart()
        caught.wait()
        wait_places(ground, "a", "b")
        ground.verify()
        with alone(ground, without="a"):
            assert read(ground.client, ground.key) == data


@pytest.mark.parametrize(
    "point",
    [
        "replica_claim.after",
        "finish.after",
        "replica_commit.sent",
        "replica_commit.after",
    ],
)
def test_b1_killed_while_moving(moving: Ground, point: str) -> None:
    """Source or target is live, never none and never both."""
    data, parts = body(SMALL), [body(5 * 1024 * 1024), body(SMALL)]
    with full(moving, "b"):
        assert moving.put(data) == 200
        upload = Upload.begin(moving, f"{moving.prefix}upload")
        for number, part in enumerate(parts, 1):
            upload.put_part(number, part)
        assert upload.complete(*parts) == 200
        assert places(moving) == ["a", "a", "a"]
        moving.daemon.arm(point)
    moving.daemon.wait_killed()
    moving.check_counters()
    assert len(places(moving)) == 3
    moving.restart()
    wait_places(moving, "b", "b", "b")
    moving.verify()
    assert read(moving.client, moving.key) == data
    assert read(moving.client, upload.key) == b"".join(parts)


def test_b1_deleted_while_it_is_moved(moving: Ground) -> None:
    """The move is given up; a deleted object does not come back."""
    with BreakableDaemon(moving.database, moving.backends) as other:
        with full(moving, "b"):
            assert moving.put(body(SMALL)) == 200
            moving.daemon.arm("replica_commit.before", "stop")
        moving.daemon.wait_stopped()
        assert moving.history.delete(other.client(), moving.key) == 204
        moving.daemon.go_on()
        moving.verify(other)
    assert places(moving) == []
    assert read(moving.client, moving.key) is None


@pytest.mark.parametrize("point", ["replica_trim.sent", "replica_trim.after"])
def test_b2_killed_while_copies_are_removed(kept: Kept, point: str) -> None:
    """One stays, whatever happens."""
    trimming = kept.take("trimming", REPLICATE, turned=False)
    configure(trimming.daemon, REPLICATE)
    trimming.restart()
    data = body(SMALL)
    assert trimming.put(data) == 200
    wait_places(trimming, "a", "b")
    trimming.daemon.kill()
    configure(trimming.daemon, TRIM)
    # Nothing is removed before the trip wire is there.
    connection = trimming.postgres.connect(trimming.database.database)
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM object_parts FOR UPDATE")
        trimming.daemon.start()
        trimming.daemon.arm("replica_trim.before", "stop")
        trimming.daemon.wait_stopped()
        trimming.daemon.arm(point)
    connection.rollback()
    connection.close()
    trimming.daemon.go_on()
    trimming.daemon.wait_killed()
    assert "a" in places(trimming)
    trimming.restart()
    wait_places(trimming, "a")
    trimming.verify()
    assert read(trimming.client, trimming.key) == data


def test_b2_a_backend_is_not_taken_away_with_rows_on_it(moving: Ground) -> None:
    """Claims and garbage count, too; once they are gone, so may it be."""
    with full(moving, "b"):
        assert moving.put(body(SMALL)) == 200
        moving.daemon.arm("replica_commit.after")
    moving.daemon.wait_killed()
    # What was moved away is garbage there.
    assert moving.states() == {"live": 1, "garbage": 1}
    both = yaml.safe_load(moving.daemon.config.read_text())
    only = {**both, "backends": [x for x in both["backends"] if x["name"] == "b"]}
    moving.daemon.config.write_text(yaml.safe_dump(only))
    with pytest.raises(AssertionError, match=r"backend a .* still has rows"):
        moving.daemon.start()
    moving.daemon.config.write_text(yaml.safe_dump(both))
    moving.restart()
    # Manifests that earlier tests wrote there while the other was full do not move.
    moving.query(
        "UPDATE objects o SET manifest_wanted_at = now(), manifest_due_at = now() "
        "WHERE EXISTS (SELECT 1 FROM object_locations l WHERE l.is_manifest "
        "AND l.object_id = o.object_id AND l.backend_name = 'a')"
    )
    moving.verify()
    moving.daemon.config.write_text(yaml.safe_dump(only))
    moving.restart()
    moving.verify()
    moving.daemon.config.write_text(yaml.safe_dump(both))
    moving.restart()


# It takes long.
@pytest.mark.system
def test_random_kills_while_copies_are_made_and_moved(grounds: Grounds) -> None:
    """Two daemons that replicate and rebalance, under overwrites and deletes."""
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    sys.stderr.write(f"CRASH_SEED={seed}\n")
    chosen = random.Random(seed)
    sections = {
        "replication": {"factor": 2, "worker_interval": "300ms"},
        "rebalance": {
            "enabled": True,
            "strategy": "spread",
            "interval": "400ms",
            "threshold": 0.01,
        },
    }
    with ExitStack() as stack:
        quotas = {"a": 0, "b": 0, "c": 0}
        ground: Ground = grounds.make(stack, quotas, ledger=SHORT_LEDGER)
        other = stack.enter_context(
            BreakableDaemon(ground.database, ground.backends, ledger=SHORT_LEDGER)
        )
        daemons = [ground.daemon, other]
        for each in daemons:
            each.kill()
            configure(each, sections)
            each.start()
        load = Load(ground, seed, [each.client() for each in daemons])
        stack.callback(load.stop.set)
        working = [ground.later(load.work, number) for number in range(3)]
        for number in range(ROUNDS):
            load.wait(chosen.randint(5, 25))
            dying = [0, 1] if number % 4 == 3 else [chosen.randrange(2)]
            for which in dying:
                daemons[which].kill()
            for which in dying:
                ground.history.over(which)
                daemons[which].start()
                load.clients[which] = daemons[which].client()
        load.wait(10)
        load.stop.set()
        for working_one in working:
            working_one.result()
        for owner in range(2):
            ground.history.over(owner)

        def is_replicated() -> bool:
            ground.query("UPDATE object_parts SET replica_due_at = now()")
            return not ground.query("SELECT 1 FROM object_parts WHERE live_copies <> 2")

        wait_until(is_replicated, "two copies of everything")
        # So that nothing is on its way when the listings are taken.
        for each in daemons:
            each.kill()
            configure(each, {})
            each.start()
        ground.verify(*daemons)
        for name in quotas:
            with alone(ground, without=name):
                ground.history.check(ground.client, ground.prefix)
