"""Copies that a backend makes itself: when, and what becomes of those that fail."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from s3proxy.errors import (
    BackendError,
    BackendFull,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    BackendUnavailable,
    ClaimLost,
    InternalError,
    ServiceUnavailable,
    StoreUnavailable,
)
from s3proxy.manager.backend_copies import (
    FAILED_SECONDS,
    MAX_COPY_BYTES,
    REFUSED_SECONDS,
    BackendCopies,
    WholePart,
)
from s3proxy.model import Copy, ObjectInfo, Part
from s3proxy.s3.copies import CopyObject, CopySource, UploadPartCopy
from tests.manager.conftest import GRACE_SECONDS, LEASE_SECONDS
from tests.manager.upload_stage import FIRST, UploadStage, md5

DATA = b"the bytes of the source"
LARGE = FIRST + b"and more than is kept"
LIVE, ABANDONED, TWICE = "live", "abandoned", "twice"


@pytest.fixture
def stage() -> UploadStage:
    """Everything in memory."""
    return UploadStage()


async def copy(stage: UploadStage, to: str = "to", **more: Any) -> ObjectInfo:
    """Copy ``from``."""
    return await stage.copies.copy(CopyObject("b", to, CopySource("b", "from"), **more))


async def copy_part(
    stage: UploadStage, source_range: tuple[int, int] | None = None
) -> bytes:
    """A part of ``from``; what it has become."""
    upload_id = await stage.create("to")
    op = UploadPartCopy(
        "b", "to", upload_id, 3, CopySource("b", "from"), source_range=source_range
    )
    part = await stage.copies.copy_part(op)
    await stage.complete(upload_id, [part], "to")
    return await stage.read("to")


def moved(stage: UploadStage) -> tuple[int, int, int]:
    """How often bytes came out of a backend, went into one, and were copied there."""
    calls = stage.one.calls + stage.two.calls
    return calls["open_get"], calls["open_put"], calls["copy"]


def states(stage: UploadStage, key: str = "to") -> list[tuple[str, str]]:
    """Backend and state of every copy of a key, by age."""
    return [
        (name, TWICE if again else state)
        for (name, state, again), row in zip(
            stage.rows(), stage.ledger.rows.values(), strict=True
        )
        if row.copy.backend_key.startswith(f"{key}~")
    ]


# When ---


@pytest.mark.parametrize("data", [DATA, LARGE])
@ensureDeferred
async def test_an_object(stage: UploadStage, data: bytes) -> None:
    """No byte comes through here, and the copy says of itself what it is."""
    await stage.put("from", data, content_type="text/old", user_metadata={"a": "b"})
    before = moved(stage)
    info = await copy(
        stage, replace_metadata=True, content_type="text/new", user_metadata={"x": "y"}
    )
    assert moved(stage) == (*before[:2], 1)
    assert (info.etag, info.size_bytes) == (md5(data), len(data))
    (part,) = (await stage.objects.find("b", "to")).parts
    (made,) = part.copies
    assert (part.md5, made.backend_etag) == (md5(data), md5(data))
    assert stage.one.objects[made.backend_key].headers == {
        "content-type": "text/new",
        "x-amz-meta-x": "y",
        "x-amz-meta-s3proxy-installation": "installation",
        "x-amz-meta-s3proxy-bucket": "b",
        "x-amz-meta-s3proxy-part-id": made.part_id,
        "x-amz-meta-s3proxy-part-number": "1",
    }
    assert await stage.read("to") == data


@ensureDeferred
async def test_a_versioned_backend(stage: UploadStage) -> None:
    """The version that was made is kept, to be deleted one day."""
    stage.one.is_versioned = True
    await stage.put("from", DATA)
    await copy(stage)
    (part,) = (await stage.objects.find("b", "to")).parts
    assert [each.version_id for each in part.copies] == ["v2"]


@ensureDeferred
async def test_part_by_part(stage: UploadStage) -> None:
    """Each part is copied where it is, if there is room; else it goes elsewhere."""
    stage.ledger.limits.update(one=35)
    await stage.upload("from", b"0123456789", b"abcdefghij", b"ABCDEFGHIJ")
    before = moved(stage)
    await copy(stage)
    # The fourth ten bytes do not fit on "one", where the sources are.
    gets, puts, copies = moved(stage)
    assert (gets - before[0], puts - before[1], copies) == (3, 3, 0)
    stage.ledger.limits.update(one=60)
    await copy(stage, "another")
    assert moved(stage) == (gets, puts, 3)
    assert await stage.read("another") == b"0123456789abcdefghijABCDEFGHIJ"


@pytest.mark.parametrize(
    ("source_range", "whole"),
    [
        ((0, 10), True),
        ((10, 20), True),
        ((10, 19), False),
        ((11, 20), False),
        ((5, 15), False),
        ((0, 20), False),
        (None, False),
    ],
)
@ensureDeferred
async def test_a_part_from_a_range(
    stage: UploadStage, source_range: tuple[int, int] | None, whole: bool
) -> None:
    """One that is a part of the source, whole, is copied; any other is read."""
    await stage.upload("from", b"0123456789", b"abcdefghij")
    expected = b"0123456789abcdefghij"[slice(*(source_range or (None,)))]
    assert await copy_part(stage, source_range) == expected
    assert stage.one.calls["copy"] == whole


@pytest.mark.parametrize("source_range", [None, (0, len(DATA))])
@ensureDeferred
async def test_a_part_from_a_plain_object(
    stage: UploadStage, source_range: tuple[int, int] | None
) -> None:
    """All of it is a part."""
    await stage.put("from", DATA)
    assert await copy_part(stage, source_range) == DATA
    assert stage.one.calls["copy"] == 1


@ensureDeferred
async def test_an_empty_object(stage: UploadStage) -> None:
    """There is nothing to save."""
    await stage.put("from", b"")
    await copy(stage)
    assert stage.one.calls["copy"] == 0


def test_what_is_not_asked_for(stage: UploadStage) -> None:
    """More than S3 copies at once; what has no copy there."""
    copies = BackendCopies({}, stage.clock.seconds)
    there = Copy("c", "p", "one", "k", MAX_COPY_BYTES)
    part = Part("p", 1, 0, MAX_COPY_BYTES, "md5", (there,))
    pin = stage.objects.pin("o")
    assert copies.source(WholePart(part, pin), "one") is there
    assert copies.source(WholePart(part, pin), "two") is None
    larger = evolve(part, size_bytes=MAX_COPY_BYTES + 1)
    assert copies.source(WholePart(larger, pin), "one") is None


# Failures ---


@pytest.mark.parametrize("data", [DATA, LARGE])
@pytest.mark.parametrize(
    ("error", "left", "seconds"),
    [
        # Refused: the claim is as good as new, and nothing else is charged.
        (
            BackendRefused("one", "501", landed=False),
            [("one", LIVE)],
            REFUSED_SECONDS,
        ),
        (BackendMissing("one", "404", landed=False), [("one", LIVE)], FAILED_SECONDS),
        # It may be there, or land yet: another name for what is streamed, and another
        # backend first, where its writes are in doubt.
        (
            BackendUnavailable("one", "no answer", landed=True),
            [("one", TWICE), ("two", LIVE)],
            FAILED_SECONDS,
        ),
        (
            BackendMismatch("one", "0 bytes"),
            [("one", TWICE), ("one", LIVE)],
            REFUSED_SECONDS,
        ),
        # Another backend.
        (
            BackendUnavailable("one", "refused", landed=False),
            [("two", LIVE)],
            FAILED_SECONDS,
        ),
        (
            BackendFull("one", "507"),
            [("one", TWICE), ("two", LIVE)],
            FAILED_SECONDS,
        ),
    ],
)
@ensureDeferred
async def test_a_copy_that_fails_is_streamed(
    stage: UploadStage,
    error: BackendError,
    left: list[tuple[str, str]],
    seconds: float,
    data: bytes,
) -> None:
    """And that backend is not asked for another one for a while."""
    await stage.put("from", data)
    stage.one.fail("copy", error)
    info = await copy(stage)
    assert info.etag == md5(data)
    assert await stage.read("to") == data
    assert states(stage) == left
    assert stage.held == 0
    stage.clock.advance(seconds - 1)
    await copy(stage, "another")
    assert stage.one.calls["copy"] == 1
    stage.clock.advance(1)
    await copy(stage, "yet another")
    assert stage.one.calls["copy"] == 2


@ensureDeferred
async def test_a_refusal_needs_no_room_for_both(stage: UploadStage) -> None:
    """What fits once is stored, whoever moves it."""
    stage.ledger.limits.update(one=2 * len(DATA), two=1)
    stage.one.makes_copies = False
    await stage.put("from", DATA)
    await copy(stage)
    assert stage.ledger.used_bytes("one") == 2 * len(DATA)


@ensureDeferred
async def test_another_copy_of_the_source(stage: UploadStage) -> None:
    """Where the next backend has one too, that one is asked."""
    await stage.put("from", DATA)
    inner = stage.ledger.find
    kept = next(iter(stage.one.objects.values()))
    stage.two.objects["replica"] = kept

    async def find(bucket: str, key: str) -> Any:
        found = await inner(bucket, key)
        assert found is not None
        (part,) = found.parts
        replica = Copy("r", part.part_id, "two", "replica", len(DATA), kept.etag)
        part = evolve(part, copies=(*part.copies, replica))
        return evolve(found, parts=(part,))

    stage.ledger.find = find  # type: ignore[method-assign]
    stage.one.is_down = True
    await copy(stage)
    assert (stage.one.calls["copy"], stage.two.calls["copy"]) == (1, 1)
    assert states(stage) == [("two", LIVE)]


@ensureDeferred
async def test_a_copy_that_lands_late(stage: UploadStage) -> None:
    """It lands under a name that is nobody's any more, and is deleted for it."""
    await stage.put("from", DATA)
    stage.one.land_late()
    await copy(stage)
    assert states(stage) == [("one", TWICE), ("two", LIVE)]
    (late,) = stage.one.late
    late()
    assert await stage.read("to") == DATA
    keys = sorted(row.copy.backend_key for row in stage.ledger.rows.values())
    assert sorted([*stage.one.objects, *stage.two.objects]) == keys


@ensureDeferred
async def test_a_source_that_is_gone(stage: UploadStage) -> None:
    """What a GET would say, and nothing is left."""
    await stage.put("from", DATA)
    stage.one.objects.clear()
    with pytest.raises(InternalError):
        await copy(stage)
    assert (stage.one.calls["copy"], states(stage), stage.held) == (1, [], 0)


@ensureDeferred
async def test_a_source_that_is_overwritten_and_gone(stage: UploadStage) -> None:
    """Try again, as for a GET."""
    await stage.put("from", DATA)

    async def copy_too_late(*args: Any, **kwargs: Any) -> Any:
        await stage.put("from", b"new")
        raise BackendMissing("one", "404", landed=False)

    inner = stage.one.copy
    stage.one.copy = copy_too_late  # type: ignore[method-assign]
    stage.one.fail("open_get", BackendMissing("one", "404"))
    with pytest.raises(ServiceUnavailable):
        await copy(stage)
    assert states(stage) == []
    stage.one.copy = inner  # type: ignore[method-assign]
    await copy(stage)
    assert await stage.read("to") == b"new"


@ensureDeferred
async def test_a_client_that_leaves(stage: UploadStage) -> None:
    """What may land is given up, and deleted twice."""
    await stage.put("from", DATA)
    stage.one.hold("copy")
    work = Deferred.fromCoroutine(copy(stage))
    work.cancel()
    with pytest.raises(CancelledError):
        await work
    assert (states(stage), stage.held) == ([("one", TWICE)], 0)


@ensureDeferred
async def test_a_claim_that_is_lost_meanwhile(stage: UploadStage) -> None:
    """The copy took longer than the lease, which nobody could extend: 503."""
    await stage.put("from", DATA)
    go_on = stage.one.hold("copy")
    work = Deferred.fromCoroutine(copy(stage))
    stage.clock.advance(LEASE_SECONDS + 1)
    await stage.ledger.reap(10)
    go_on()
    with pytest.raises(ServiceUnavailable):
        await work
    assert (states(stage), stage.held) == ([("one", TWICE)], 0)


@ensureDeferred
async def test_a_ledger_that_is_away_at_the_commit(stage: UploadStage) -> None:
    """As after a PUT: nothing has changed, and what was made is given up."""
    await stage.put("from", DATA)
    stage.ledger.fail("commit", StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await copy(stage)
    assert (states(stage), stage.held) == ([("one", ABANDONED)], 0)


# Pins ---


@ensureDeferred
async def test_the_source_is_pinned(stage: UploadStage) -> None:
    """A copy that takes long keeps the source's bytes, and no longer than it takes."""
    await stage.put("from", DATA)
    source = (await stage.objects.find("b", "from")).info.object_id
    go_on = stage.one.hold("copy")
    work = Deferred.fromCoroutine(copy(stage))
    stage.clock.advance(GRACE_SECONDS / 2 - 1)
    assert stage.ledger.pins == {}
    stage.clock.advance(1)
    assert list(stage.ledger.pins) == [source]
    await stage.objects.delete("b", "from")
    stage.clock.advance(GRACE_SECONDS)
    assert await stage.ledger.collect("one", 10) == []
    go_on()
    await work
    assert await stage.read("to") == DATA
    pins = stage.ledger.calls.count("pin")
    stage.clock.advance(2 * GRACE_SECONDS)
    assert stage.ledger.calls.count("pin") == pins
    assert len(await stage.ledger.collect("one", 10)) == 1


@ensureDeferred
async def test_a_commit_of_a_lost_claim(stage: UploadStage) -> None:
    """503, as of any body; whoever took the claim away looks after it."""
    await stage.put("from", DATA)
    stage.ledger.fail("commit", ClaimLost("reaped"))
    with pytest.raises(ServiceUnavailable):
        await copy(stage)
    assert stage.ledger.calls[-1] == "commit"
    assert stage.held == 0
