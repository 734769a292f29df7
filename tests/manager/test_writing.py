"""
A PUT, and every way in which it can fail: what the client is told, what the ledger
then says, which backend was asked, and that not a byte too many went.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define, evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from s3proxy.backend.breaker import Patience
from s3proxy.errors import (
    BackendError,
    BackendFull,
    BackendMismatch,
    BackendRefused,
    BackendSpent,
    BackendUnavailable,
    BadDigest,
    ClaimLost,
    ClientGone,
    IncompleteBody,
    InsufficientStorage,
    OutcomeUnknown,
    PreconditionFailed,
    RequestTimeout,
    ServiceUnavailable,
    StoreUnavailable,
    XAmzContentSHA256Mismatch,
)
from s3proxy.manager.ports import CopyState, MadeCopy, NewObject
from s3proxy.manager.writing import KEPT_BYTES
from s3proxy.model import ObjectInfo, WriteConditions
from s3proxy.plan.placement import Standing, Target
from s3proxy.s3.operation import PutObject
from tests.fakes.ledger import MemoryLedger
from tests.manager.conftest import LEASE_SECONDS, Pieces, Stage

PIECE = bytes(range(256)) * 256  # 64 KiB
SMALL = b"hello"
#: More than is kept, in pieces, the last one shorter.
LARGE = [PIECE] * (KEPT_BYTES // len(PIECE)) + [b"the end"]

away = BackendUnavailable("one", "no connection", landed=False)
#: Answers of a backend, and whether the body may have landed.
FAILURES = [
    BackendUnavailable("one", "reset", landed=True),
    BackendUnavailable("one", "broke off early", landed=False),
    BackendRefused("one", "403", landed=False),
    BackendFull("one", "507", landed=False),
    BackendMismatch("one", "another ETag"),
]


def ids(why: Exception) -> str:
    """A failure's kind."""
    return f"{type(why).__name__}-{getattr(why, 'landed', '')}"


def md5(data: bytes) -> str:
    """In hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def op(size: int, **more: Any) -> PutObject:
    """A PUT of *size* bytes."""
    return PutObject("b", "dir/k", size, **more)


def small_op(**more: Any) -> PutObject:
    """A PUT of SMALL."""
    return op(len(SMALL), **more)


def large_op(**more: Any) -> PutObject:
    """A PUT of LARGE."""
    return op(sum(map(len, LARGE)), **more)


async def put(
    stage: Stage, operation: PutObject, *pieces: Any, sha256: str | None = None
) -> ObjectInfo:
    """PUT these pieces."""
    return await stage.writer.put(operation, Pieces(*pieces), sha256=sha256)


def begun(stage: Stage, operation: PutObject, *pieces: Any) -> Deferred[ObjectInfo]:
    """Begin it; everything in memory runs at once, up to what waits."""
    return Deferred.fromCoroutine(put(stage, operation, *pieces))


async def old_object(stage: Stage) -> ObjectInfo:
    """An object that is there before."""
    info = await put(stage, op(3), b"old")
    for backend in (stage.one, stage.two):
        backend.calls.clear()
        backend.puts.clear()
        backend.uploads.clear()
    return info


async def unchanged(stage: Stage, info: ObjectInfo) -> None:
    """Nothing visible has changed, and nobody extends a lease for ever."""
    assert await stage.ledger.head("b", "dir/k") == info
    stored = await stage.ledger.find("b", "dir/k")
    assert stored is not None
    (copy,) = stored.parts[0].copies
    assert stage.one.objects[copy.backend_key].data == b"old"
    assert stage.held == 0


# All goes well ---


@ensureDeferred
async def test_a_small_body(stage: Stage) -> None:
    """It is read and verified before a backend is called, and then described to it."""
    operation = small_op(
        content_md5=md5(SMALL),
        content_type="text/plain",
        headers={"cache-control": "no-cache"},
        user_metadata={"who": "me"},
        checksums={"crc32": "NhCmhg=="},
    )
    last: Deferred[bytes] = Deferred()
    sha256 = hashlib.sha256(SMALL).hexdigest()
    body = Pieces(SMALL[:3], last)
    work = Deferred.fromCoroutine(stage.writer.put(operation, body, sha256=sha256))
    assert not stage.one.calls
    last.callback(SMALL[3:])
    info = await work
    assert info == await stage.ledger.head("b", "dir/k")
    assert (info.etag, info.size_bytes) == (md5(SMALL), 5)
    assert info.headers == operation.headers
    assert info.user_metadata == operation.user_metadata
    assert info.checksums == operation.checksums
    ((copy, headers, sent_sha256, sent_md5),) = stage.one.puts
    assert (sent_sha256, sent_md5) == (sha256, md5(SMALL))
    assert headers["content-type"] == "text/plain"
    assert headers["x-amz-meta-who"] == "me"
    assert headers["x-amz-meta-s3proxy-installation"] == "installation"
    assert headers["x-amz-meta-s3proxy-bucket"] == "b"
    assert stage.one.objects[copy.backend_key].data == SMALL
    assert stage.rows() == [("one", "live", False)]
    stored = await stage.ledger.find("b", "dir/k")
    assert stored is not None
    assert stored.parts[0].copies[0].backend_etag == md5(SMALL)
    assert (stage.abandoned, stage.held) == ([], 0)


@ensureDeferred
async def test_an_empty_body(stage: Stage) -> None:
    """It has a copy on a backend like any other."""
    info = await put(stage, op(0))
    assert info.etag == md5(b"")
    assert [kept.data for kept in stage.one.objects.values()] == [b""]


@ensureDeferred
async def test_the_largest_body_that_is_kept(stage: Stage) -> None:
    """And one byte more, which is streamed: a backend that fails it is its only try."""
    data = b"x" * KEPT_BYTES
    stage.one.fail("finish", BackendUnavailable("one", "busy"))
    await put(stage, op(KEPT_BYTES), data)
    assert [kept.data for kept in stage.two.objects.values()] == [data]
    stage.two.fail("finish", BackendUnavailable("two", "busy"))
    with pytest.raises(ServiceUnavailable):
        await put(stage, op(KEPT_BYTES + 1), data, b"y")


@ensureDeferred
async def test_a_backend_that_failed_is_asked_last(stage: Stage) -> None:
    """A large body gets one try, so it goes where the last one did not fail."""
    stage.one.fail("finish", BackendUnavailable("one", "busy"))
    with pytest.raises(ServiceUnavailable):
        await put(stage, large_op(), *LARGE)
    await put(stage, large_op(), *LARGE)
    assert len(stage.two.objects) == 1
    stage.clock.advance(Patience().doubt_seconds)
    await put(stage, large_op(), *LARGE)
    assert len(stage.one.objects) == 1


@ensureDeferred
async def test_a_backend_that_fails_again_and_again_is_not_asked(stage: Stage) -> None:
    """Until its wait is over; where nobody else takes writes, 503 without a call."""
    patience = Patience()
    stage.two.is_down = True
    for _ in range(patience.failures):
        stage.one.fail("finish", BackendUnavailable("one", "busy"))
        with pytest.raises(ServiceUnavailable):
            await put(stage, small_op(), SMALL)
    calls = stage.one.calls["open_put"], stage.two.calls["open_put"]
    body = Pieces(SMALL)
    with pytest.raises(ServiceUnavailable):
        await stage.writer.put(small_op(), body, sha256=None)
    assert (stage.one.calls["open_put"], stage.two.calls["open_put"]) == calls
    assert body.reads == 0
    stage.clock.advance(patience.first_wait_seconds)
    await put(stage, small_op(), SMALL)
    assert len(stage.one.objects) == 1


@ensureDeferred
async def test_no_room_but_on_a_backend_that_is_not_asked(stage: Stage) -> None:
    """503, not 507: there may be room once it is well."""
    stage.ledger.limits["two"] = 1
    for _ in range(Patience().failures):
        stage.one.fail("finish", BackendUnavailable("one", "busy"))
        with pytest.raises(ServiceUnavailable):
            await put(stage, small_op(), SMALL)
    with pytest.raises(ServiceUnavailable, match="that have room"):
        await put(stage, small_op(), SMALL)


@pytest.mark.parametrize(
    "targets",
    [
        [Target("one", max_object_size=len(SMALL) - 1), Target("two")],
        [Target("one", is_read_only=True), Target("two")],
    ],
    ids=["too large", "read only"],
)
@ensureDeferred
async def test_a_backend_that_takes_no_such_body(
    stage: Stage, targets: list[Target]
) -> None:
    """It is passed over; where no other is, 507 before the body."""
    stage.router.targets = targets
    await put(stage, small_op(), SMALL)
    assert (len(stage.one.objects), len(stage.two.objects)) == (0, 1)
    stage.router.targets = targets[:1]
    body = Pieces(SMALL)
    with pytest.raises(InsufficientStorage, match="max_object_size"):
        await stage.writer.put(small_op(), body, sha256=None)
    assert body.reads == 0


@ensureDeferred
async def test_spread(stage: Stage) -> None:
    """What this process claimed counts before the next snapshot of the ledger."""
    stage.router._strategy = "spread"
    for number in range(4):
        await put(stage, evolve(small_op(), key=f"k{number}"), SMALL)
    assert (len(stage.one.objects), len(stage.two.objects)) == (2, 2)


@ensureDeferred
async def test_a_large_body_is_streamed(stage: Stage) -> None:
    """Its bytes go as they come, but for the last ones, which wait for all checks."""
    gates: list[Deferred[bytes]] = [Deferred() for _ in LARGE]
    end: Deferred[bytes] = Deferred()
    operation = large_op(content_md5=md5(b"".join(LARGE)))
    work = begun(stage, operation, *gates, end)
    for number, (gate, piece) in enumerate(zip(gates, LARGE, strict=True)):
        assert stage.one.calls["write"] == max(number - 1, 0)
        gate.callback(piece)
    assert stage.one.calls["finish"] == 0
    end.callback(b"")
    info = await work
    assert info.etag == md5(b"".join(LARGE))
    ((copy, _, sent_sha256, sent_md5),) = stage.one.puts
    assert (sent_sha256, sent_md5) == (None, operation.content_md5)
    assert stage.one.objects[copy.backend_key].data == b"".join(LARGE)
    assert stage.rows() == [("one", "live", False)]
    assert (stage.abandoned, stage.held) == ([], 0)


@pytest.mark.parametrize("pieces", [[SMALL], LARGE], ids=["small", "large"])
@ensureDeferred
async def test_a_checksum_from_the_trailer(stage: Stage, pieces: list[bytes]) -> None:
    """It is known after the last byte, and recorded like one from a header."""
    body = Pieces(*pieces).then(crc32="AAAAAA==")
    operation = op(sum(map(len, pieces)))
    info = await stage.writer.put(operation, body, sha256=None)
    assert info.checksums == {"crc32": "AAAAAA=="}
    assert await stage.ledger.head("b", "dir/k") == info


@ensureDeferred
async def test_the_writer_waits_for_the_backend(stage: Stage) -> None:
    """Back-pressure: while a write is under way no more of the body is read."""
    go_on = stage.one.hold("write")
    body = Pieces(*LARGE)
    work = Deferred.fromCoroutine(stage.writer.put(large_op(), body, sha256=None))
    assert body.reads == 2  # one piece is held back, one is being sent
    go_on()
    await work
    assert body.reads == len(LARGE) + 1


@ensureDeferred
async def test_backends_are_asked_in_order(stage: Stage) -> None:
    """The next one where the first is full."""
    stage.ledger.limits["one"] = len(SMALL)
    await put(stage, small_op(), SMALL)
    await put(stage, small_op(), SMALL)
    assert stage.rows() == [("one", "garbage", False), ("two", "live", False)]


@define
class Spent:
    """The health of backends whose budget is used up, once it has been seen."""

    names: set[str]

    def of_writes(self, backend: str) -> Standing:
        return Standing.READY

    def of_reads(self, backend: str) -> tuple[Standing, float]:
        return Standing.READY, 0.0

    def is_spent(self, backend: str, size_bytes: int) -> bool:
        return backend in self.names


@ensureDeferred
async def test_a_budget_that_is_used_up(stage: Stage) -> None:
    """The next backend, also where it shows late; then 507 before the body."""
    spent = Spent(set())
    stage.router._health = spent
    stage.one.fail("open_put", BackendSpent("one", "used up"))
    await put(stage, small_op(), SMALL)
    assert (len(stage.one.objects), len(stage.two.objects)) == (0, 1)
    assert stage.rows() == [("two", "live", False)]
    spent.names = {"one"}
    await put(stage, small_op(), SMALL)
    assert stage.one.calls["open_put"] == 1
    stage.ledger.limits["two"] = 1
    with pytest.raises(InsufficientStorage, match="there is no room"):
        await put(stage, small_op(), SMALL)
    spent.names = {"one", "two"}
    body = Pieces(SMALL)
    with pytest.raises(InsufficientStorage, match="usage budgets"):
        await stage.writer.put(small_op(), body, sha256=None)
    assert body.reads == 0


# Refused before the body ---


@ensureDeferred
async def test_no_room(stage: Stage) -> None:
    """507, and not a byte is read or charged."""
    stage.ledger.limits = {"one": 4, "two": 4}
    body = Pieces(SMALL)
    with pytest.raises(InsufficientStorage):
        await stage.writer.put(small_op(), body, sha256=None)
    assert (body.reads, stage.rows(), stage.held) == (0, [], 0)


@ensureDeferred
async def test_a_condition_that_does_not_hold(stage: Stage) -> None:
    """412 before the body."""
    info = await old_object(stage)
    body = Pieces(SMALL)
    absent = WriteConditions(if_none_match=("*",))
    with pytest.raises(PreconditionFailed):
        await stage.writer.put(small_op(conditions=absent), body, sha256=None)
    assert body.reads == 0
    await unchanged(stage, info)


@ensureDeferred
async def test_without_the_ledger(stage: Stage) -> None:
    """StoreUnavailable, which is a 503; nobody is asked for anything."""
    stage.ledger.failure = StoreUnavailable("away")
    body = Pieces(SMALL)
    with pytest.raises(StoreUnavailable):
        await stage.writer.put(small_op(), body, sha256=None)
    assert (body.reads, stage.one.calls, stage.held) == (0, {}, 0)


# The client's fault ---


def wrong_md5(operation: PutObject) -> PutObject:
    """With an MD5 of something else."""
    return evolve(operation, content_md5=md5(b"other"))


def wrong_checksum(operation: PutObject) -> PutObject:
    """With a CRC of something else."""
    crc = base64.b64encode(b"\0\0\0\1").decode()
    return evolve(operation, checksums={"crc32c": crc})


@pytest.mark.parametrize("why", [IncompleteBody(), RequestTimeout(), ClientGone()])
@pytest.mark.parametrize("is_large", [False, True])
@ensureDeferred
async def test_a_body_that_breaks_off(
    stage: Stage, why: Exception, is_large: bool
) -> None:
    """Small: nothing was sent. Large: something was, and it cannot land."""
    info = await old_object(stage)
    pieces = LARGE[:-1] if is_large else [SMALL[:-1]]
    operation = large_op() if is_large else small_op()
    with pytest.raises(type(why)):
        await put(stage, operation, *pieces, why)
    await unchanged(stage, info)
    if is_large:
        assert stage.rows()[1:] == [("one", "abandoned", False)]
        assert stage.abandoned == ["one"]
        assert stage.one.uploads[0]._is_aborted
        assert stage.one.calls["finish"] == 0
    else:
        assert (stage.rows()[1:], stage.abandoned, stage.one.calls) == ([], [], {})


@pytest.mark.parametrize("wrong", [wrong_md5, wrong_checksum, None])
@pytest.mark.parametrize("is_large", [False, True])
@ensureDeferred
async def test_a_body_that_is_another(stage: Stage, wrong: Any, is_large: bool) -> None:
    """Its last bytes are never sent, so it cannot land."""
    info = await old_object(stage)
    operation = large_op() if is_large else small_op()
    sha256 = None
    kind: type[Exception] = BadDigest
    if wrong is None:
        sha256, kind = hashlib.sha256(b"other").hexdigest(), XAmzContentSHA256Mismatch
    else:
        operation = wrong(operation)
    with pytest.raises(kind):
        await put(stage, operation, *(LARGE if is_large else [SMALL]), sha256=sha256)
    await unchanged(stage, info)
    assert stage.one.calls["finish"] == 0
    if is_large:
        assert stage.one.calls["write"] == len(LARGE) - 1
        assert stage.one.uploads[0]._is_aborted
        assert stage.rows()[1:] == [("one", "abandoned", False)]
    else:
        assert (stage.rows()[1:], stage.one.calls) == ([], {})
    assert not stage.two.calls


# A backend's fault ---


@pytest.mark.parametrize("is_large", [False, True])
@ensureDeferred
async def test_no_connection(stage: Stage, is_large: bool) -> None:
    """Nothing was sent: the claim is released, and the next backend takes it."""
    stage.one.fail("open_put", away)
    pieces = LARGE if is_large else [SMALL]
    info = await put(stage, large_op() if is_large else small_op(), *pieces)
    assert info.etag == md5(b"".join(pieces))
    assert stage.rows() == [("two", "live", False)]
    assert [kept.data for kept in stage.two.objects.values()] == [b"".join(pieces)]
    assert (stage.abandoned, stage.held) == ([], 0)


@pytest.mark.parametrize("why", FAILURES, ids=ids)
@pytest.mark.parametrize("is_large", [False, True])
@ensureDeferred
async def test_a_backend_that_answers_early(
    stage: Stage, why: BackendError, is_large: bool
) -> None:
    """Before the body flows another backend can take it; what was sent goes."""
    stage.one.fail("open_put", why)
    pieces = LARGE if is_large else [SMALL]
    await put(stage, large_op() if is_large else small_op(), *pieces)
    *first, second = stage.rows()
    assert second == ("two", "live", False)
    if isinstance(why, BackendUnavailable) and not why.landed:
        # No connection was made (ports.Backend.open_put): there is nothing to delete.
        assert (first, stage.abandoned) == ([], [])
    else:
        assert first == [("one", "abandoned", why.landed)]
        assert stage.abandoned == ["one"]
    assert stage.held == 0


@pytest.mark.parametrize("why", FAILURES, ids=ids)
@ensureDeferred
async def test_a_small_body_goes_to_the_next_backend(
    stage: Stage, why: BackendError
) -> None:
    """It was kept; the client is asked for nothing twice."""
    stage.one.fail("finish", why)
    body = Pieces(SMALL)
    info = await stage.writer.put(small_op(), body, sha256=None)
    assert (info.etag, body.reads) == (md5(SMALL), 2)
    assert stage.rows() == [("one", "abandoned", why.landed), ("two", "live", False)]
    assert stage.one.uploads[0]._is_aborted
    assert (stage.abandoned, stage.held) == (["one"], 0)


@pytest.mark.parametrize("call", ["open_put", "finish"])
@ensureDeferred
async def test_every_backend_fails(stage: Stage, call: str) -> None:
    """503, each was asked once, and each claim is given up."""
    info = await old_object(stage)
    stage.one.fail(call, BackendRefused("one", "403", landed=False))
    stage.two.fail(call, BackendUnavailable("two", "500", landed=True))
    with pytest.raises(ServiceUnavailable):
        await put(stage, small_op(), SMALL)
    assert (stage.one.calls["open_put"], stage.two.calls["open_put"]) == (1, 1)
    assert stage.rows()[1:] == [
        ("one", "abandoned", False),
        ("two", "abandoned", True),
    ]
    await unchanged(stage, info)


@ensureDeferred
async def test_a_failure_and_no_other_room(stage: Stage) -> None:
    """503, not 507: it is no lack of room that will stay."""
    stage.ledger.limits["two"] = 1
    stage.one.fail("open_put", away)
    with pytest.raises(ServiceUnavailable):
        await put(stage, small_op(), SMALL)
    assert (stage.rows(), stage.held) == ([], 0)


@ensureDeferred
async def test_without_the_ledger_for_the_second_claim(stage: Stage) -> None:
    """StoreUnavailable, and the first claim has been given up."""
    stage.one.fail("finish", FAILURES[0])
    stage.ledger.fail("claim", None, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await put(stage, small_op(), SMALL)
    assert (stage.rows(), stage.held) == ([("one", "abandoned", True)], 0)


@pytest.mark.parametrize("why", FAILURES, ids=ids)
@ensureDeferred
async def test_a_large_body_that_a_backend_breaks_off(
    stage: Stage, why: BackendError
) -> None:
    """503: its last bytes were not sent, so it cannot land, whatever was answered."""
    info = await old_object(stage)
    stage.one.fail("write", None, None, why)
    with pytest.raises(ServiceUnavailable, match="unchanged"):
        await put(stage, large_op(), *LARGE)
    assert stage.rows()[1:] == [("one", "abandoned", False)]
    assert stage.one.uploads[0]._is_aborted
    assert not stage.two.calls
    await unchanged(stage, info)


@pytest.mark.parametrize("why", FAILURES, ids=ids)
@ensureDeferred
async def test_a_large_body_whose_end_fails(stage: Stage, why: BackendError) -> None:
    """503: it may land, unless the backend says not."""
    info = await old_object(stage)
    stage.one.fail("finish", why)
    with pytest.raises(ServiceUnavailable, match="unchanged"):
        await put(stage, large_op(), *LARGE)
    assert stage.rows()[1:] == [("one", "abandoned", why.landed)]
    assert (stage.abandoned, stage.two.calls) == (["one"], {})
    await unchanged(stage, info)


@ensureDeferred
async def test_other_bytes_arrived(stage: Stage) -> None:
    """The backend's ETag tells: they are deleted, and another backend is asked."""
    stage.one.corrupt()
    await put(stage, small_op(), SMALL)
    assert stage.rows() == [("one", "abandoned", True), ("two", "live", False)]


# The client leaves, and bugs ---


CALLS_HELD = [
    # call, is_large, the claim afterwards
    ("open_put", False, ("one", "abandoned", False)),
    ("finish", False, ("one", "abandoned", True)),
    ("open_put", True, ("one", "abandoned", False)),
    ("write", True, ("one", "abandoned", False)),
    ("finish", True, ("one", "abandoned", True)),
]


@pytest.mark.parametrize(("call", "is_large", "row"), CALLS_HELD)
@ensureDeferred
async def test_cancelled_at_a_backend(
    stage: Stage, call: str, is_large: bool, row: tuple[str, str, bool]
) -> None:
    """The claim is given up at once, and no lease of it is extended for ever."""
    info = await old_object(stage)
    stage.one.hold(call)
    operation, pieces = (large_op(), LARGE) if is_large else (small_op(), [SMALL])
    work = begun(stage, operation, *pieces)
    assert not work.called
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert stage.rows()[1:] == [row]
    assert all(upload._is_aborted for upload in stage.one.uploads)
    assert not stage.two.calls
    await unchanged(stage, info)


@ensureDeferred
async def test_cancelled_with_an_empty_body(stage: Stage) -> None:
    """It is whole with the headers, so it may land."""
    stage.one.hold("open_put")
    work = begun(stage, op(0))
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert (stage.rows(), stage.held) == ([("one", "abandoned", True)], 0)


@pytest.mark.parametrize(("call", "is_large", "row"), CALLS_HELD)
@ensureDeferred
async def test_a_bug_at_a_backend(
    stage: Stage, call: str, is_large: bool, row: tuple[str, str, bool]
) -> None:
    """What is no BackendError passes, and leaves no claim and no lease either."""
    info = await old_object(stage)
    stage.one.fail(call, ZeroDivisionError())  # type: ignore[arg-type]
    operation, pieces = (large_op(), LARGE) if is_large else (small_op(), [SMALL])
    with pytest.raises(ZeroDivisionError):
        await put(stage, operation, *pieces)
    assert stage.rows()[1:] == [row]
    await unchanged(stage, info)


@pytest.mark.parametrize("is_large", [False, True])
@ensureDeferred
async def test_cancelled_at_the_body(stage: Stage, is_large: bool) -> None:
    """As with a body that breaks off."""
    info = await old_object(stage)
    never: Deferred[bytes] = Deferred()
    operation = large_op() if is_large else small_op()
    work = begun(stage, operation, *(LARGE[:2] if is_large else []), never)
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert stage.rows()[1:] == ([("one", "abandoned", False)] if is_large else [])
    await unchanged(stage, info)


# Leases ---


@ensureDeferred
async def test_a_long_upload_under_an_extended_lease(stage: Stage) -> None:
    """However long it takes."""
    gates: list[Deferred[bytes]] = [Deferred() for _ in LARGE]
    work = begun(stage, large_op(), *gates)
    for gate, piece in zip(gates, LARGE, strict=True):
        stage.clock.advance(LEASE_SECONDS / 3)
        await stage.leases.extend()
        assert await stage.ledger.reap(10) == 0
        gate.callback(piece)
    await work
    assert stage.rows() == [("one", "live", False)]


@pytest.mark.parametrize("number", [2, len(LARGE) - 1, len(LARGE)])
@ensureDeferred
async def test_a_lease_that_ran_out(stage: Stage, number: int) -> None:
    """P9: not a byte more goes, nor the last ones; 503, never a false 200."""
    info = await old_object(stage)
    gates: list[Deferred[bytes]] = [Deferred() for _ in [*LARGE, b""]]
    work = begun(stage, large_op(), *gates)
    for gate, piece in list(zip(gates, LARGE, strict=False))[:number]:
        gate.callback(piece)
    sent = stage.one.calls["write"]
    stage.clock.advance(LEASE_SECONDS)
    gates[number].callback([*LARGE, b""][number])
    assert work.called
    with pytest.raises(ServiceUnavailable):
        await work
    assert stage.one.calls["write"] == sent
    assert stage.one.calls["finish"] == 0
    assert stage.one.uploads[0]._is_aborted
    assert stage.rows()[1:] == [("one", "abandoned", False)]
    await unchanged(stage, info)


@ensureDeferred
async def test_a_claim_that_was_reaped(stage: Stage) -> None:
    """The writer learns it from the next extension, and what the reaper said stays."""
    info = await old_object(stage)
    gate: Deferred[bytes] = Deferred()
    work = begun(stage, large_op(), *LARGE[:3], gate, *LARGE[4:])
    sent = stage.one.calls["write"]
    stage.clock.advance(LEASE_SECONDS + 1)
    assert await stage.ledger.reap(10) == 1
    await stage.leases.extend()
    gate.callback(LARGE[3])
    with pytest.raises(ServiceUnavailable):
        await work
    assert stage.one.calls["write"] == sent
    assert stage.rows()[1:] == [("one", "abandoned", True)]
    await unchanged(stage, info)


@ensureDeferred
async def test_a_small_body_that_came_too_late(stage: Stage) -> None:
    """Its lease ran out while the client sent: no backend gets the body."""
    info = await old_object(stage)
    gate: Deferred[bytes] = Deferred()
    work = begun(stage, small_op(), gate)
    stage.clock.advance(LEASE_SECONDS)
    gate.callback(SMALL)
    with pytest.raises((ServiceUnavailable, ClaimLost)):
        await work
    assert stage.one.calls["finish"] == 0
    assert stage.rows()[1][1] == "abandoned"
    await unchanged(stage, info)


# The commit ---


class Unknowing(Stage):
    """
    The connection breaks at the commit.

    :ivar stands: Whether the commit happened all the same.
    """

    stands = True

    async def then(self) -> None:
        """What happens before anybody settles."""

    async def commit_copies(
        self,
        made: Sequence[MadeCopy],
        new: NewObject,
        conditions: WriteConditions,
        least: int,
    ) -> ObjectInfo:
        """In place of the ledger's."""
        if self.stands:
            await MemoryLedger.commit_copies(self.ledger, made, new, conditions, least)
        await self.then()
        raise OutcomeUnknown("the connection broke")


@pytest.fixture
def unknowing() -> Unknowing:
    """A stage whose commits end in the unknown."""
    stage = Unknowing()
    stage.ledger.commit_copies = stage.commit_copies  # type: ignore[method-assign]
    return stage


@ensureDeferred
async def test_an_unknown_commit_that_stands(unknowing: Unknowing) -> None:
    """P7: 200, since it is there."""
    info = await put(unknowing, small_op(content_type="a/b"), SMALL)
    found = await unknowing.ledger.head("b", "dir/k")
    assert found is not None
    assert (info.etag, info.size_bytes) == (found.etag, found.size_bytes)
    assert (info.content_type, info.checksums) == (found.content_type, found.checksums)
    assert unknowing.rows() == [("one", "live", False)]
    assert (unknowing.abandoned, unknowing.held) == ([], 0)


@ensureDeferred
async def test_an_unknown_commit_that_was_overwritten(unknowing: Unknowing) -> None:
    """200: it was committed, and another write came after it."""

    async def overwritten() -> None:
        await unknowing.ledger.delete("b", "dir/k")

    unknowing.then = overwritten  # type: ignore[method-assign]
    info = await put(unknowing, small_op(), SMALL)
    assert info.etag == md5(SMALL)
    assert unknowing.rows() == [("one", "garbage", False)]


@ensureDeferred
async def test_an_unknown_commit_that_did_not_happen(unknowing: Unknowing) -> None:
    """503, and the claim can never be committed any more."""
    unknowing.stands = False
    with pytest.raises(ServiceUnavailable):
        await put(unknowing, small_op(), SMALL)
    assert unknowing.rows() == [("one", "abandoned", True)]
    assert await unknowing.ledger.head("b", "dir/k") is None
    assert unknowing.held == 0


@ensureDeferred
@pytest.mark.parametrize("stands", [True, False])
async def test_an_unknown_commit_of_a_claim_that_is_gone(
    unknowing: Unknowing, stands: bool
) -> None:
    """
    503: collected and forgotten in the meantime, so that nobody can know any more
    whether it was reaped, or committed and overwritten; nothing else is said.
    """
    unknowing.stands = stands

    async def gone() -> None:
        unknowing.ledger.rows.clear()

    unknowing.then = gone  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable) as refused:
        await put(unknowing, small_op(), SMALL)
    assert "unchanged" not in refused.value.message
    assert "not known" in refused.value.message


@ensureDeferred
async def test_an_unknown_commit_that_cannot_be_settled(unknowing: Unknowing) -> None:
    """StoreUnavailable, a 503: recovery decides, and no 200 is made up."""
    unknowing.ledger.fail("settle", StoreUnavailable("still away"))
    with pytest.raises(StoreUnavailable, match="still away"):
        await put(unknowing, small_op(), SMALL)
    assert unknowing.held == 0


@ensureDeferred
async def test_a_commit_that_did_not_happen(stage: Stage) -> None:
    """The claim is given up: the bytes are there for sure, so they are deleted once."""
    info = await old_object(stage)
    stage.ledger.fail("commit", StoreUnavailable("refused"))
    with pytest.raises(StoreUnavailable, match="refused"):
        await put(stage, small_op(), SMALL)
    assert stage.rows()[1:] == [("one", "abandoned", False)]
    assert stage.abandoned == ["one"]
    await unchanged(stage, info)


@ensureDeferred
async def test_a_commit_of_a_lost_claim(stage: Stage) -> None:
    """503; whoever took it away looks after it."""
    info = await old_object(stage)
    stage.ledger.fail("commit", ClaimLost("reaped"))
    with pytest.raises(ServiceUnavailable):
        await put(stage, small_op(), SMALL)
    assert stage.ledger.calls[-1] == "commit"
    await unchanged(stage, info)


@ensureDeferred
async def test_a_condition_that_fails_at_the_commit(stage: Stage) -> None:
    """412: another write was first; ours is deleted."""
    gate: Deferred[bytes] = Deferred()
    absent = WriteConditions(if_none_match=("*",))
    work = begun(stage, small_op(conditions=absent), gate)
    info = await old_object(stage)
    gate.callback(SMALL)
    with pytest.raises(PreconditionFailed):
        await work
    assert stage.rows() == [("one", "abandoned", False), ("one", "live", False)]
    assert stage.abandoned == ["one"]
    await unchanged(stage, info)


@ensureDeferred
async def test_two_writers_of_one_key(stage: Stage) -> None:
    """The last commit wins whole, whoever began first."""
    gate: Deferred[bytes] = Deferred()
    first = begun(stage, small_op(), gate)
    await put(stage, op(6), b"second")
    gate.callback(SMALL)
    info = await first
    assert await stage.ledger.head("b", "dir/k") == info
    assert stage.rows() == [("one", "live", False), ("one", "garbage", False)]


@pytest.mark.parametrize("is_large", [False, True])
@ensureDeferred
async def test_giving_up_without_the_ledger(stage: Stage, is_large: bool) -> None:
    """The client hears of its own fault; the claim is left to its lease."""
    stage.ledger.fail("abandon", StoreUnavailable("away"))
    stage.ledger.fail("release", StoreUnavailable("away"))
    operation = large_op() if is_large else small_op()
    with pytest.raises(BadDigest):
        await put(stage, wrong_md5(operation), *(LARGE if is_large else [SMALL]))
    assert (stage.rows(), stage.held) == ([("one", "claimed", False)], 0)
    stage.clock.advance(LEASE_SECONDS + 1)
    await stage.leases.extend()
    assert await stage.ledger.reap(10) == 1
    assert set(stage.ledger.states().values()) == {CopyState.ABANDONED}
