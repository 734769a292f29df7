"""Which outcomes of calls count against a backend."""

from __future__ import annotations

import pytest
from attrs import define, evolve, field
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from s3proxy.backend.breaker import Patience, State
from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.errors import (
    BackendBusy,
    BackendError,
    BackendFull,
    BackendMismatch,
    BackendMissing,
    BackendPassing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from s3proxy.model import Copy
from s3proxy.plan.placement import Standing
from tests.fakes.backend import MemoryBackend

COPY = Copy("c", "p", "one", "k~c", 3)
MD5_OF_NEW = "22af645d1859cb5ca6da0c484f1f37ea"
OFTEN = 20

DEAD = [
    BackendUnavailable("one", "no connection", landed=False),
    BackendUnavailable("one", "500 InternalError"),
]
#: What a backend says that works, and what is our own doing.
ALIVE = [
    BackendRefused("one", "403"),
    BackendFull("one", "507"),
    BackendMissing("one", "404 NoSuchKey"),
    BackendPassing("one", "400 RequestTimeout"),
    BackendBusy("one", "all connections busy", landed=False),
]


class Ear:
    """
    Matches ``observe.BackendWatch``.

    :ivar opened_for: Calls that are not made from then on.
    """

    def __init__(self) -> None:
        self.opened_for: list[str] = []

    def called(self, *what: object, **named: object) -> None:
        raise AssertionError("calls are told of below the breakers")

    def opened(self, backend: str, calls: str) -> None:
        assert backend == "one"
        self.opened_for.append(calls)


@define
class Stage:
    """One guarded backend."""

    clock: Clock = field(factory=Clock)
    inner: MemoryBackend = field(factory=lambda: MemoryBackend("one"))
    ear: Ear = field(factory=lambda: Ear())
    guarded: GuardedBackend = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.guarded = GuardedBackend(
            self.inner, self.clock, self.clock.seconds, watch=self.ear
        )

    async def put(self) -> None:
        upload = await self.guarded.open_put(COPY, {}, sha256=None, md5=None)
        try:
            await upload.write(b"n")
            await upload.finish(b"ew", md5=MD5_OF_NEW)
        except BackendError:
            upload.abort()
            raise

    async def get(self) -> bytes:
        download = await self.guarded.open_get(COPY, 0, 3)
        try:
            return await download.read()
        finally:
            download.abort()

    async def fail(self, call: str, why: BackendError, times: int) -> None:
        """So often."""
        for _ in range(times):
            self.inner.fail(call, why)
            with pytest.raises(type(why)):
                await (self.get() if call in ("open_get", "read") else self.put())


@pytest.fixture
def stage() -> Stage:
    """Fresh."""
    return Stage()


@pytest.mark.parametrize("why", DEAD, ids=str)
@pytest.mark.parametrize("call", ["open_put", "write", "finish"])
@ensureDeferred
async def test_failed_writes_open_it_for_writes(
    stage: Stage, call: str, why: BackendError
) -> None:
    """And reads go on."""
    await stage.put()
    await stage.fail(call, why, Patience().failures)
    calls = stage.inner.calls["open_put"]
    with pytest.raises(BackendUnavailable, match="left alone") as caught:
        await stage.put()
    assert not caught.value.landed
    assert stage.inner.calls["open_put"] == calls
    assert stage.ear.opened_for == ["write"]
    assert await stage.get() == b"new"
    stage.clock.advance(Patience().first_wait_seconds)
    await stage.put()
    assert stage.guarded.writes.state is State.CLOSED


@pytest.mark.parametrize("why", DEAD, ids=str)
@pytest.mark.parametrize("call", ["open_get", "read"])
@ensureDeferred
async def test_failed_reads_open_it_for_reads(
    stage: Stage, call: str, why: BackendError
) -> None:
    """And writes go on."""
    await stage.put()
    await stage.fail(call, why, Patience().failures)
    with pytest.raises(BackendUnavailable, match="left alone"):
        await stage.get()
    await stage.put()
    stage.clock.advance(Patience().first_wait_seconds)
    assert await stage.get() == b"new"


@pytest.mark.parametrize("why", ALIVE, ids=str)
@pytest.mark.parametrize("call", ["open_put", "finish", "open_get"])
@ensureDeferred
async def test_what_never_opens_it(stage: Stage, call: str, why: BackendError) -> None:
    """A 4xx, a backend that is full, and our own lack of places."""
    await stage.put()
    await stage.fail(call, why, OFTEN)
    await stage.put()
    assert await stage.get() == b"new"


@ensureDeferred
async def test_copies_count_as_writes(stage: Stage) -> None:
    """But for what only says that it makes none; and none are asked of an open one."""
    await stage.put()
    target = evolve(COPY, backend_key="k~d")

    async def copy() -> None:
        await stage.guarded.copy(COPY, target, {}, md5=MD5_OF_NEW)

    for why in (
        BackendRefused("one", "501", landed=False),
        BackendMissing("one", "404", landed=False),
        BackendMismatch("one", "0 bytes"),
    ):
        stage.inner.fail("copy", *[why] * OFTEN)
        for _ in range(OFTEN):
            with pytest.raises(type(why)):
                await copy()
    assert stage.guarded.writes.standing() is Standing.READY
    stage.inner.fail("copy", *[DEAD[1]] * Patience().failures)
    for _ in range(Patience().failures):
        with pytest.raises(BackendUnavailable):
            await copy()
    assert stage.guarded.writes.state is State.OPEN
    calls = stage.inner.calls["copy"]
    with pytest.raises(BackendUnavailable, match="left alone") as caught:
        await copy()
    assert not caught.value.landed
    assert stage.inner.calls["copy"] == calls
    stage.clock.advance(Patience().first_wait_seconds)
    await copy()
    assert stage.guarded.writes.state is State.CLOSED


@ensureDeferred
async def test_wrong_bytes(stage: Stage) -> None:
    """A write that stores others counts; a copy that is another does not."""
    await stage.put()
    await stage.fail("open_get", BackendMismatch("one", "another ETag"), OFTEN)
    assert await stage.get() == b"new"
    await stage.fail("finish", BackendMismatch("one", "another"), Patience().failures)
    assert stage.guarded.writes.state is State.OPEN


@pytest.mark.parametrize("call", ["open_put", "open_get"])
@ensureDeferred
async def test_what_is_cancelled_never_opens_it(stage: Stage, call: str) -> None:
    """The client left, most likely."""
    await stage.put()
    for _ in range(OFTEN):
        stage.inner.hold(call)
        work = Deferred.fromCoroutine(
            stage.put() if call == "open_put" else stage.get()  # type: ignore[arg-type]
        )
        work.cancel()
        with pytest.raises(CancelledError):
            await work
    assert await stage.get() == b"new"
    assert stage.guarded.writes.standing() is Standing.READY


@ensureDeferred
async def test_an_upload_that_is_aborted_frees_its_probe(stage: Stage) -> None:
    """Another may go at once."""
    await stage.fail("open_put", DEAD[0], Patience().failures)
    stage.clock.advance(Patience().first_wait_seconds)
    upload = await stage.guarded.open_put(COPY, {}, sha256=None, md5=None)
    with pytest.raises(BackendUnavailable, match="left alone"):
        await stage.put()
    upload.abort()
    await stage.put()
    assert stage.guarded.writes.state is State.CLOSED


@ensureDeferred
async def test_slow_down(stage: Stage) -> None:
    """It is left alone for as long as it says; then all is well."""
    throttled = BackendThrottled("one", "429", retry_after_seconds=7.0)
    await stage.fail("finish", throttled, 1)
    stage.clock.advance(6.9)
    assert stage.guarded.writes.standing() is Standing.RESTING
    stage.clock.advance(0.1)
    await stage.put()
    assert stage.guarded.writes.standing() is Standing.READY


@ensureDeferred
async def test_one_does_not_trip_another(stage: Stage) -> None:
    """Each has its own; one that is not configured is read last."""
    other = Stage(inner=MemoryBackend("two"))
    health = Health({"one": stage.guarded, "two": other.guarded})
    await stage.fail("open_put", DEAD[0], Patience().failures)
    await stage.fail("open_get", DEAD[0], Patience().failures)
    assert health.of_writes("one") is Standing.RESTING
    assert health.of_reads("one")[0] is Standing.RESTING
    assert health.of_writes("two") is Standing.READY
    assert health.of_reads("two")[0] is Standing.READY
    assert health.of_reads("gone")[0] is Standing.RESTING
