"""
Daemons that are killed while a body goes to two backends at once (``write_quorum``): it
is there on both, or nowhere, and what was sent is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.crash.ground import LARGE, SMALL, Ground, Grounds
from tests.crash.history import body, read
from tests.crash.test_multipart import Upload
from tests.crash.test_pool import Kept, alone, configure, places

# Takes long.
pytestmark = pytest.mark.system

QUORUM: dict[str, Any] = {
    "replication": {"factor": 2, "write_quorum": 2, "worker_interval": "1h"}
}


@pytest.fixture(scope="module")
def kept(grounds: Grounds) -> Iterator[Kept]:
    """None yet."""
    with ExitStack() as stack:
        yield Kept(grounds, stack)


@pytest.fixture
def both(kept: Kept) -> Ground:
    """Its daemon tells of a write when both backends have it."""
    return kept.take("both", QUORUM, turned=False)


def there(ground: Ground, data: bytes) -> None:
    """Each backend has it alone."""
    assert places(ground) == ["a", "b"]
    for name in ("a", "b"):
        with alone(ground, without=name):
            assert read(ground.client, ground.key) == data


@pytest.mark.parametrize(
    ("point", "size", "is_there"),
    [
        ("claim.after", SMALL, False),
        ("write.after", LARGE, False),
        ("finish.after", SMALL, False),
        ("commit.sent", SMALL, None),
        ("answer.before", SMALL, True),
    ],
)
def test_a_put_that_is_killed(
    both: Ground, point: str, size: int, is_there: bool | None
) -> None:
    """P2 to P8 with two claims: the old object stays, or the new one has two copies."""
    old, new = body(SMALL), body(size)
    assert both.put(old) == 200
    both.daemon.arm(point)
    assert both.put(new) is None
    both.daemon.wait_killed()
    both.check_counters()
    if is_there is False:
        assert both.states() == {"live": 2, "claimed": 2}
    both.restart()
    both.verify()
    found = read(both.client, both.key)
    if is_there is not None:
        assert found == (new if is_there else old)
    there(both, new if found == new else old)


def test_a_part_that_is_killed(both: Ground) -> None:
    """M1: sent again, it has two copies, and what went before is deleted."""
    parts = [body(5 * 1024 * 1024), body(SMALL)]
    upload = Upload.begin(both)
    assert isinstance(upload.put_part(1, parts[0]), str)
    both.daemon.arm("commit_part.sent")
    assert upload.put_part(2, parts[1]) is None
    both.daemon.wait_killed()
    both.check_counters()
    both.restart()
    assert isinstance(upload.put_part(2, parts[1]), str)
    assert upload.complete(*parts) == 200
    both.verify()
    assert places(both) == ["a", "a", "b", "b"]
    for name in ("a", "b"):
        with alone(both, without=name):
            assert read(both.client, both.key) == b"".join(parts)


def test_one_backend_stops_in_the_middle(grounds: Grounds) -> None:
    """The other two go on, and hold it."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": 0, "b": 0, "c": 0}, relayed=True)
        data = body(LARGE)
        sections = {"replication": {**QUORUM["replication"], "factor": 3}}
        configure(ground.daemon, sections)
        ground.restart()
        ground.to_backend.catch("PUT ", "lose")
        assert ground.put(data) == 200
        assert ground.states() == {"live": 2, "abandoned": 1}
        ground.verify()
        assert read(ground.client, ground.key) == data
        assert places(ground) == ["b", "c"]
