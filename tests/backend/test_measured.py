"""s3proxy.backend.measured: every call is told of, once, and is what it was."""

from __future__ import annotations

import pytest
from attrs import define, field
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from s3proxy.backend.measured import MeasuredBackend
from s3proxy.errors import BackendMissing, BackendUnavailable
from s3proxy.model import Copy
from s3proxy.observe import Passage, current
from tests.contracts.backend import BackendContract
from tests.fakes.backend import MemoryBackend

DATA = b"some bytes"
MD5 = "a4b1f3f5dd1ae1c3ddd1dbd2d8d0a7c5"


class Account(MemoryBackend):
    """With what only the daemon asks."""

    is_closed = False

    async def versioned(self) -> bool:
        return self.is_versioned

    async def close(self) -> None:
        self.is_closed = True


@define(eq=False)
class Ear:
    """
    Matches ``observe.BackendWatch``.

    :ivar heard: Operation, seconds and what it failed with.
    """

    heard: list[tuple[str, float | None, type[BaseException] | None]] = field(
        factory=list
    )

    def called(
        self,
        backend: str,
        operation: str,
        seconds: float | None,
        why: BaseException | None,
    ) -> None:
        assert backend == "b1"
        self.heard.append((operation, seconds, type(why) if why else None))

    def opened(self, backend: str, calls: str) -> None:
        raise AssertionError("breakers are elsewhere")


@define(eq=False)
class Stage:
    """A measured backend, what it is over, and a clock that is set by hand."""

    inner: Account = field(factory=lambda: Account("b1"))
    ear: Ear = field(factory=Ear)
    seconds: float = 0.0
    backend: MeasuredBackend = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.backend = MeasuredBackend(self.inner, self.ear, lambda: self.seconds)

    async def put(self, key: str) -> Copy:
        copy = Copy(key, key, "b1", key, len(DATA))
        upload = await self.backend.open_put(copy, {}, sha256=None, md5=None)
        stored = await upload.finish(DATA, md5=md5_of(DATA))
        return Copy(key, key, "b1", key, len(DATA), stored.etag)


def md5_of(data: bytes) -> str:
    import hashlib

    return hashlib.md5(data).hexdigest()


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestContract(BackendContract):
    """It keeps the promises of what it is over."""

    @pytest.fixture
    def backend(self) -> MeasuredBackend:
        return MeasuredBackend(Account("b"), Nothing(), lambda: 0.0)


class Nothing(Ear):
    """Hears, and forgets."""

    def called(self, *what: object) -> None:
        """Nothing."""


@ensureDeferred
async def test_calls_that_succeed(stage: Stage) -> None:
    """Each under the name that S3 has for it."""
    backend = stage.backend
    copy = await stage.put("k")
    other = Copy("o", "k", "b1", "o", len(DATA))
    await backend.copy(copy, other, {}, md5=md5_of(DATA))
    await backend.head("k")
    await backend.inspect("k")
    await backend.list_page("", None)
    await backend.delete("o", None)
    assert await backend.delete_unchanged("k", None, len(DATA), copy.backend_etag)
    assert [name for name, _, _ in stage.ear.heard] == [
        *("PutObject", "CopyObject", "HeadObject", "HeadObject", "ListObjectsV2"),
        *("DeleteObject", "DeleteObject"),
    ]
    assert all(why is None for *_, why in stage.ear.heard)
    await backend.close()
    assert stage.inner.is_closed and not await backend.versioned()


@ensureDeferred
async def test_a_read_takes_until_its_headers(stage: Stage) -> None:
    """What comes then comes at the reader's pace; the end tells how it went."""
    copy = await stage.put("k")
    go_on = stage.inner.hold("open_get")
    work = Deferred.fromCoroutine(stage.backend.open_get(copy, 0, len(DATA)))
    stage.seconds += 0.25
    go_on()
    download = await work
    stage.seconds += 100
    assert await download.read() == DATA
    assert len(stage.ear.heard) == 1
    assert await download.read() == b""
    download.abort()
    assert stage.ear.heard[1:] == [("GetObject", 0.25, None)]


@ensureDeferred
async def test_a_write_takes_until_its_answer(stage: Stage) -> None:
    copy = Copy("k", "k", "b1", "k", len(DATA))
    upload = await stage.backend.open_put(copy, {}, sha256=None, md5=None)
    stage.seconds += 1
    await upload.write(DATA[:4])
    stage.seconds += 1
    await upload.finish(DATA[4:], md5=md5_of(DATA))
    upload.abort()
    assert stage.ear.heard == [("PutObject", 2, None)]


@pytest.mark.parametrize("call", ["open_put", "write", "finish"])
@ensureDeferred
async def test_a_write_fails(stage: Stage, call: str) -> None:
    """Once, and being cleaned up after is no second end."""
    stage.inner.fail(call, BackendUnavailable("b1", "broken"))
    copy = Copy("k", "k", "b1", "k", len(DATA))
    with pytest.raises(BackendUnavailable):
        upload = await stage.backend.open_put(copy, {}, sha256=None, md5=None)
        try:
            await upload.write(DATA[:4])
            await upload.finish(DATA[4:], md5=md5_of(DATA))
        finally:
            upload.abort()
    assert stage.ear.heard == [("PutObject", 0, BackendUnavailable)]


@pytest.mark.parametrize("call", ["open_get", "read"])
@ensureDeferred
async def test_a_read_fails(stage: Stage, call: str) -> None:
    copy = await stage.put("k")
    stage.inner.fail(call, BackendUnavailable("b1", "broken"))
    with pytest.raises(BackendUnavailable):
        await (await stage.backend.open_get(copy, 0, len(DATA))).read()
    assert stage.ear.heard[1:] == [("GetObject", 0, BackendUnavailable)]


@ensureDeferred
async def test_other_calls_fail(stage: Stage) -> None:
    with pytest.raises(BackendMissing):
        await stage.backend.head("nothing")
    stage.inner.fail("delete", BackendUnavailable("b1", "broken"))
    with pytest.raises(BackendUnavailable):
        await stage.backend.delete("k", None)
    assert stage.ear.heard == [
        ("HeadObject", 0, BackendMissing),
        ("DeleteObject", 0, BackendUnavailable),
    ]


@ensureDeferred
async def test_calls_that_are_given_up(stage: Stage) -> None:
    """They are told of; how long they took says nothing of the backend."""
    copy = await stage.put("k")
    upload = await stage.backend.open_put(copy, {}, sha256=None, md5=None)
    upload.abort()
    stage.seconds += 1
    (await stage.backend.open_get(copy, 0, len(DATA))).abort()
    stage.inner.hold("head")
    work = Deferred.fromCoroutine(stage.backend.head("k"))
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert stage.ear.heard[1:] == [
        ("PutObject", None, CancelledError),
        ("GetObject", 0, CancelledError),
        ("HeadObject", None, CancelledError),
    ]


@ensureDeferred
async def test_the_request_learns_where_its_bytes_are(stage: Stage) -> None:
    """Calls for bytes say it, others do not; without a request nobody is told."""
    copy = await stage.put("k")

    async def ask(reads: bool) -> str | None:
        passage = Passage()
        current.set(passage)
        if reads:
            (await stage.backend.open_get(copy, 0, 1)).abort()
        else:
            await stage.backend.head("k")
        return passage.backend

    assert await Deferred.fromCoroutine(ask(True)) == "b1"
    assert await Deferred.fromCoroutine(ask(False)) is None
    assert current.get() is None
