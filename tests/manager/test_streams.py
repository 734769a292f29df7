"""
Bodies that go to several backends at once: how many of them must take one, and what
becomes of a stream that fails while the others go on.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from s3proxy.backend.breaker import Patience
from s3proxy.errors import (
    BackendError,
    BackendUnavailable,
    BadDigest,
    ClaimLost,
    ClientGone,
    InsufficientStorage,
    OutcomeUnknown,
    PreconditionFailed,
    ServiceUnavailable,
    StoreUnavailable,
)
from s3proxy.manager.ports import CopyState
from s3proxy.model import CopyCount, ObjectInfo, WriteConditions
from s3proxy.plan.placement import Target
from s3proxy.s3.copies import CopyObject, CopySource
from tests.manager.conftest import LEASE_SECONDS, Pieces
from tests.manager.test_writing import LARGE, SMALL, large_op, md5, op, small_op
from tests.manager.upload_stage import FIRST, UploadStage

LIVE, ABANDONED, TWICE = "live", "abandoned", "twice"


class Two(UploadStage):
    """Two of three backends, and no more."""

    names: ClassVar = ("one", "two", "three")
    count: ClassVar = CopyCount(2, 2)

    def states(self) -> dict[str, str]:
        """Every copy's state by its backend; there is one on each at the most."""
        found = {name: TWICE if again else state for name, state, again in self.rows()}
        assert len(found) == len(self.rows())
        return found

    def calls(self, call: str) -> list[int]:
        """How often each backend was called so."""
        return [each.calls[call] for each in self.backends.values()]


class TwoOfThree(Two):
    """To all three, of which one may fail."""

    count: ClassVar = CopyCount(2, 3)


@pytest.fixture
def two() -> Two:
    """Fresh."""
    return Two()


@pytest.fixture
def three() -> TwoOfThree:
    """Fresh."""
    return TwoOfThree()


async def put(stage: Two, is_large: bool, *more: Any, **named: Any) -> ObjectInfo:
    """PUT."""
    operation = large_op(**named) if is_large else small_op(**named)
    pieces = LARGE if is_large else [SMALL]
    return await stage.writer.put(operation, Pieces(*pieces, *more), sha256=None)


both = pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])


def down(name: str, *, landed: bool = False) -> BackendError:
    """A backend's failure."""
    return BackendUnavailable(name, "down", landed=landed)


# All goes well ---


@both
@ensureDeferred
async def test_both_have_it(two: Two, is_large: bool) -> None:
    """One part, a copy on each, before the client is told."""
    info = await put(two, is_large)
    data = b"".join(LARGE) if is_large else SMALL
    assert info == await two.ledger.head("b", "dir/k")
    stored = await two.ledger.find("b", "dir/k")
    assert stored is not None
    (part,) = stored.parts
    assert [each.backend_name for each in part.copies] == ["one", "two"]
    for copy in part.copies:
        kept = two.backends[copy.backend_name].objects[copy.backend_key]
        assert kept.data == data
        assert kept.headers["x-amz-meta-s3proxy-part-id"] == part.part_id
        assert copy.backend_etag == md5(data)
    assert two.states() == {"one": LIVE, "two": LIVE}
    assert (two.abandoned, two.held) == ([], 0)


@ensureDeferred
async def test_no_more_than_are_needed(two: Two) -> None:
    """And all that there are to be, where one may fail."""
    await put(two, False)
    assert two.calls("open_put") == [1, 1, 0]
    three = TwoOfThree()
    await put(three, False)
    assert three.calls("open_put") == [1, 1, 1]


@ensureDeferred
async def test_a_part_of_an_upload(two: Two) -> None:
    """As an object; Complete makes no further copy."""
    await two.upload("k", FIRST, SMALL)
    assert await two.read("k") == FIRST + SMALL
    manifest = await two.ledger.parts(
        (await two.objects.head("b", "k")).object_id, 0, len(FIRST + SMALL)
    )
    assert [[each.backend_name for each in part.copies] for part in manifest] == [
        ["one", "two"],
        ["one", "two"],
    ]
    for name in ("one", "two"):
        two.backends[name].is_down = True
        assert await two.read("k") == FIRST + SMALL
        two.backends[name].is_down = False
        two.clock.advance(Patience().longest_wait_seconds)


@ensureDeferred
async def test_the_slowest_sets_the_pace(two: Two) -> None:
    """No more of the body is read while one backend is busy with a piece of it."""
    go_on = two.two.hold("write")
    body = Pieces(*LARGE)
    work = Deferred.fromCoroutine(two.writer.put(large_op(), body, sha256=None))
    assert body.reads == 2
    assert two.calls("write") == [1, 1, 0]
    go_on()
    await work
    assert body.reads == len(LARGE) + 1


@ensureDeferred
async def test_a_copy_comes_by_here(two: Two) -> None:
    """Where a body goes to several backends, none is asked to copy by itself."""
    await put(two, False)
    await two.copies.copy(CopyObject("b", "to", CopySource("b", "dir/k")))
    assert two.calls("copy") == [0, 0, 0]
    assert await two.read("to") == SMALL
    stored = await two.ledger.find("b", "to")
    assert stored is not None
    assert len(stored.parts[0].copies) == 2


# Too few ---


@ensureDeferred
async def test_too_few_have_room(two: Two) -> None:
    """507 before the body; one that has room is not charged."""
    two.ledger.limits.update(two=1, three=1)
    body = Pieces(SMALL)
    with pytest.raises(InsufficientStorage):
        await two.writer.put(small_op(), body, sha256=None)
    assert (body.reads, two.rows(), two.held) == (0, [], 0)
    two.ledger.limits.update(three=0)
    await put(two, False)
    assert two.states() == {"one": LIVE, "three": LIVE}


@ensureDeferred
async def test_too_few_take_it_at_all(two: Two) -> None:
    """507 where it is so by configuration, 503 where they are left alone."""
    two.router.targets = [Target("one"), Target("two", is_read_only=True)]
    with pytest.raises(InsufficientStorage, match="Fewer than 2 backends take"):
        await put(two, False)
    two.router.targets = [Target("one"), Target("two")]
    two.two.is_down = True
    for _ in range(Patience().failures):
        with pytest.raises(ServiceUnavailable):
            await put(two, False)
    calls = two.calls("open_put")
    with pytest.raises(ServiceUnavailable, match="Fewer than 2 backends take"):
        await put(two, False)
    assert two.calls("open_put") == calls
    assert two.held == 0


# A stream is lost ---


@both
@ensureDeferred
async def test_no_connection(two: Two, is_large: bool) -> None:
    """Before a byte has gone: others take its place."""
    two.two.fail("open_put", down("two"))
    await put(two, is_large)
    assert [state for _, state, _ in two.rows()].count(LIVE) == 2
    assert {name for name, state, _ in two.rows() if state == LIVE} == {"one", "three"}
    assert two.held == 0


@pytest.mark.parametrize("call", ["open_put", "write", "finish"])
@ensureDeferred
async def test_the_others_go_on(three: TwoOfThree, call: str) -> None:
    """They are enough; what the lost one has is given up."""
    three.two.fail(call, down("two", landed=call == "finish"))
    info = await put(three, True)
    assert info.etag == md5(b"".join(LARGE))
    left = {"open_put": None, "write": ABANDONED, "finish": TWICE}[call]
    expected = {"one": LIVE, "three": LIVE}
    assert three.states() == (expected | {"two": left} if left else expected)
    assert three.abandoned == (["two"] if left else [])
    assert three.held == 0
    stored = await three.ledger.find("b", "dir/k")
    assert stored is not None
    assert len(stored.parts[0].copies) == 2


@pytest.mark.parametrize("call", ["write", "finish"])
@ensureDeferred
async def test_too_few_are_left(three: TwoOfThree, call: str) -> None:
    """503 for a large body; nothing is live, and what was stored is deleted."""
    for name in ("one", "three"):
        three.backends[name].fail(call, down(name, landed=call == "finish"))
    with pytest.raises(ServiceUnavailable):
        await put(three, True)
    lost = TWICE if call == "finish" else ABANDONED
    assert three.states() == {"one": lost, "two": ABANDONED, "three": lost}
    assert await three.ledger.head("b", "dir/k") is None
    assert (sorted(three.abandoned), three.held) == (["one", "three", "two"], 0)


@ensureDeferred
async def test_a_small_body_goes_to_others(two: Two) -> None:
    """It is there yet: those that are well get it anew, under other names."""
    two.one.fail("finish", down("one", landed=True))
    await put(two, False)
    assert [(name, TWICE if again else state) for name, state, again in two.rows()] == [
        ("one", TWICE),
        ("two", ABANDONED),
        ("two", LIVE),
        ("three", LIVE),
    ]
    assert two.held == 0


@ensureDeferred
async def test_a_lease_that_is_lost(three: TwoOfThree) -> None:
    """That stream ends; its claim is somebody else's to look after."""
    gates: list[Deferred[bytes]] = [Deferred() for _ in LARGE]
    work = Deferred.fromCoroutine(
        three.writer.put(large_op(), Pieces(*gates), sha256=None)
    )
    gates[0].callback(LARGE[0])
    gates[1].callback(LARGE[1])
    (taken,) = (
        each for each in three.ledger.rows.values() if each.copy.backend_name == "one"
    )
    taken.state, taken.due_at = CopyState.ABANDONED, 0.0
    await three.leases.extend()
    for gate, piece in zip(gates[2:], LARGE[2:], strict=True):
        gate.callback(piece)
    await work
    assert three.states() == {"one": ABANDONED, "two": LIVE, "three": LIVE}
    assert three.calls("finish") == [0, 1, 1]
    assert three.held == 0


@ensureDeferred
async def test_all_leases_run_out(two: Two) -> None:
    """503, and not a byte more."""
    gates: list[Deferred[bytes]] = [Deferred() for _ in LARGE]
    work = Deferred.fromCoroutine(
        two.writer.put(large_op(), Pieces(*gates), sha256=None)
    )
    gates[0].callback(LARGE[0])
    two.clock.advance(LEASE_SECONDS)
    gates[1].callback(LARGE[1])
    with pytest.raises(ServiceUnavailable):
        await work
    assert two.calls("write") == [0, 0, 0]
    assert two.states() == {"one": ABANDONED, "two": ABANDONED}


# The client's doing ---


@ensureDeferred
async def test_a_wrong_body(two: Two) -> None:
    """It lands nowhere."""
    with pytest.raises(BadDigest):
        await put(two, True, content_md5=md5(b"other"))
    assert two.calls("finish") == [0, 0, 0]
    assert two.states() == {"one": ABANDONED, "two": ABANDONED}
    assert all(each._is_aborted for each in two.one.uploads + two.two.uploads)


@ensureDeferred
async def test_a_client_that_leaves(two: Two) -> None:
    """In its body, or while backends are busy: each stream is broken off."""
    with pytest.raises(ClientGone):
        await two.writer.put(large_op(), Pieces(*LARGE[:3], ClientGone()), sha256=None)
    assert two.states() == {"one": ABANDONED, "two": ABANDONED}
    assert two.held == 0


@pytest.mark.parametrize(
    ("call", "left"), [("open_put", ABANDONED), ("write", ABANDONED), ("finish", TWICE)]
)
@ensureDeferred
async def test_cancelled(two: Two, call: str, left: str) -> None:
    """One is at it, and the other has done it."""
    two.two.hold(call)
    work = Deferred.fromCoroutine(put(two, True))
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert two.states() == {"one": ABANDONED, "two": left}
    assert (sorted(two.abandoned), two.held) == (["one", "two"], 0)


# The commit ---


@ensureDeferred
async def test_a_claim_that_is_gone_at_the_commit(three: TwoOfThree) -> None:
    """The others are enough; with too few of them 503, and they are given up."""
    for gone, expected in (({"two"}, LIVE), ({"one", "two"}, ABANDONED)):
        stage = TwoOfThree()
        go_on = stage.backends["three"].hold("finish")
        work = Deferred.fromCoroutine(put(stage, False))
        for row in stage.ledger.rows.values():
            if row.copy.backend_name in gone:
                row.state, row.due_at = CopyState.ABANDONED, 0.0
        go_on()
        if expected == LIVE:
            await work
        else:
            with pytest.raises(ServiceUnavailable):
                await work
        assert stage.states() == {
            name: ABANDONED if name in gone else expected for name in stage.names
        }
        assert stage.held == 0


@ensureDeferred
async def test_a_condition_that_fails_at_the_commit(two: Two) -> None:
    """412; all that was stored is deleted."""
    gate: Deferred[bytes] = Deferred()
    absent = WriteConditions(if_none_match=("*",))
    work = Deferred.fromCoroutine(
        two.writer.put(small_op(conditions=absent), Pieces(gate), sha256=None)
    )
    await two.writer.put(op(3), Pieces(b"new"), sha256=None)
    gate.callback(SMALL)
    with pytest.raises(PreconditionFailed):
        await work
    assert [state for _, state, _ in two.rows()] == [ABANDONED] * 2 + [LIVE] * 2
    assert two.abandoned == ["one", "two"]


@pytest.mark.parametrize("stands", [True, False])
@ensureDeferred
async def test_a_commit_of_unknown_outcome(two: Two, stands: bool) -> None:
    """P7: all the claims are looked at."""
    inner = two.ledger.commit_copies

    async def commit(*args: Any) -> Any:
        if stands:
            await inner(*args)
        raise OutcomeUnknown("the connection broke")

    two.ledger.commit_copies = commit  # type: ignore[method-assign]
    if stands:
        await put(two, False)
        assert two.states() == {"one": LIVE, "two": LIVE}
    else:
        with pytest.raises(ServiceUnavailable):
            await put(two, False)
        assert two.states() == {"one": TWICE, "two": TWICE}
    assert two.held == 0


@ensureDeferred
async def test_without_the_ledger_at_the_commit(two: Two) -> None:
    """503; each claim is given up."""
    two.ledger.fail("commit", StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await put(two, False)
    assert two.states() == {"one": ABANDONED, "two": ABANDONED}
    two = Two()
    two.ledger.fail("commit", ClaimLost("both"))
    with pytest.raises(ServiceUnavailable):
        await put(two, False)
    assert two.states() == {"one": ABANDONED, "two": ABANDONED}
