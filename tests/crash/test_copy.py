"""Copies that a backend makes itself, and a daemon that dies or hears nothing."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.crash.ground import SMALL, Ground, Grounds, RelayedGround
from tests.crash.history import body, read
from tests.crash.relays import Fate
from tests.crash.test_multipart import Upload, etag_of, told
from tests.daemon import BUCKET

# Takes long.
pytestmark = pytest.mark.system

CLAIMED = {"live": 1, "claimed": 1}


def copy(ground: Ground, data: bytes) -> int | None:
    """Copy the source over this test's key; the status, or None without an answer."""
    return ground.history.copy(ground.client, ground.key, f"{ground.key}-from", data)


def put_source(ground: Ground) -> bytes:
    """What is copied."""
    data = body(SMALL)
    assert ground.history.put(ground.client, f"{ground.key}-from", data) == 200
    return data


@pytest.mark.parametrize(
    ("point", "left", "is_stored", "is_there"),
    [
        pytest.param("claim.after", CLAIMED, False, False, id="P2"),
        pytest.param("copy.before", CLAIMED, False, False, id="P3"),
        pytest.param("copy.after", CLAIMED, True, False, id="P6"),
        pytest.param("commit.sent", None, True, None, id="P7"),
        pytest.param("answer.before", {"live": 2}, True, True, id="P8"),
    ],
)
def test_a_copy_that_is_killed(
    ground: Ground,
    point: str,
    left: dict[str, int] | None,
    is_stored: bool,
    is_there: bool | None,
) -> None:
    """As a PUT: the copy is there whole, or there is nothing at all."""
    data = put_source(ground)
    ground.daemon.arm(point)
    assert copy(ground, data) is None
    ground.daemon.wait_killed()
    assert left is None or ground.states() == left
    ground.check_counters()
    assert ground.stored() == [SMALL] * (2 if is_stored else 1)
    ground.restart()
    ground.verify()
    if is_there is not None:
        assert read(ground.client, ground.key) == (data if is_there else None)


def test_an_answer_is_lost_and_the_daemon_dies(relayed: RelayedGround) -> None:
    """The backend has made it, and nobody knows of it but the claim."""
    data = put_source(relayed)
    caught = relayed.to_backend.catch("PUT ", "mute")
    copying = relayed.later(copy, relayed, data)
    caught.wait()
    relayed.daemon.kill()
    assert copying.result() is None
    assert relayed.states() == CLAIMED
    assert relayed.stored() == [SMALL, SMALL]
    relayed.restart()
    relayed.verify()
    assert read(relayed.client, relayed.key) is None


@pytest.mark.parametrize("fate", ["lose", "drop", "cut"])
def test_an_answer_is_lost_and_the_daemon_lives(grounds: Grounds, fate: Fate) -> None:
    """It is streamed then, under another name; what had landed is deleted."""
    with ExitStack() as stack:
        # One of its own: it asks for no other copy for a while.
        ground = grounds.make(stack, {"a": 0}, relayed=True)
        data = put_source(ground)
        caught = ground.to_backend.catch("PUT ", fate)
        assert copy(ground, data) == 200
        if fate == "lose":
            assert b"CopyObjectResult" in caught.answer
        assert ground.states() == {"live": 2, "abandoned": 1}
        ground.verify()
        assert ground.stored() == [SMALL, SMALL]
        assert read(ground.client, ground.key) == data


def test_a_copy_that_lands_late_is_deleted_again(grounds: Grounds) -> None:
    """It lands after its first delete, and never under the name that is read."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": 0}, relayed=True)
        data = put_source(ground)
        caught = ground.to_backend.catch("PUT ", "hold")
        assert copy(ground, data) == 200
        ground.wait_deleted_once()
        assert ground.stored() == [SMALL, SMALL]
        caught.deliver()
        assert ground.stored() == [SMALL, SMALL, SMALL]
        ground.verify()
        assert ground.stored() == [SMALL, SMALL]


@pytest.mark.parametrize("point", ["copy.after", "commit_part.sent"])
def test_a_part_that_is_killed(ground: Ground, point: str) -> None:
    """The part sent before under its number stays, or the copy is there whole."""
    data, old = put_source(ground), body(SMALL + 1)
    upload = Upload.begin(ground)
    assert upload.put_part(1, old) == etag_of(old)
    ground.daemon.arm(point)
    assert (
        told(
            ground.client.upload_part_copy,
            Key=upload.key,
            UploadId=upload.upload_id,
            PartNumber=1,
            CopySource={"Bucket": BUCKET, "Key": f"{ground.key}-from"},
        )
        is None
    )
    ground.daemon.wait_killed()
    ground.restart()
    (found,) = upload.parts().values()
    kept = {etag_of(data): data, etag_of(old): old}[found]
    assert point != "copy.after" or kept == old
    ground.verify()
    assert upload.complete(kept) == 200
    ground.verify()
