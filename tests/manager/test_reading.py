"""
Reading: any copy will do, at any moment; a short body never ends cleanly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from s3proxy.backend.breaker import Patience
from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    BackendSpent,
    BackendThrottled,
    BackendUnavailable,
    BudgetSpent,
    InternalError,
    NoSuchKey,
    S3Error,
    ServiceUnavailable,
    StoreUnavailable,
)
from s3proxy.manager.reading import AHEAD_BYTES, ObjectReader, part_readers
from s3proxy.manager.routing import NothingKnown
from s3proxy.model import Copy, ObjectInfo, Part, StoredObject
from s3proxy.observe import current_view, reading
from tests.fakes.backend import CHUNK_BYTES, Kept
from tests.manager.conftest import GRACE_SECONDS, Stage, WatchedBackend

#: Three chunks of a backend's connection and a bit.
DATA = bytes(range(251)) * (3 * CHUNK_BYTES // 251 + 10)

broke_off = BackendUnavailable("any", "broke off")


def part(
    stage: Stage, data: bytes, *, number: int = 1, offset: int = 0, on: str = "one two"
) -> Part:
    """A part with a copy on each of these backends, in that order."""
    backends: Mapping[str, WatchedBackend] = {"one": stage.one, "two": stage.two}
    copies = []
    for name in on.split():
        etag = md5(data).hexdigest()
        key = f"k{number}@{name}"
        if name in backends:
            backends[name].objects[key] = Kept(data, {}, etag)
        copy_id = f"{name}-{number}"
        copies.append(Copy(copy_id, f"p{number}", name, key, len(data), etag))
    return Part(f"p{number}", number, offset, len(data), "md5", tuple(copies))


def stored(*parts: Part, object_id: str = "object") -> StoredObject:
    """An object of these parts."""
    size = sum(each.size_bytes for each in parts)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    info = ObjectInfo("b", "k", object_id, size, "etag", None, when)
    return StoredObject(info, parts)


async def rest(reader: ObjectReader) -> bytes:
    """What is still to come."""
    data = b""
    while piece := await reader.read():
        data += piece
    return data


async def whole(stage: Stage, found: StoredObject) -> bytes:
    """Open and read all of it."""
    return await rest(await stage.objects.open(found, 0, found.info.size_bytes))


def finds(stage: Stage, *answers: StoredObject | None) -> None:
    """What the ledger says when it is asked again, and again."""
    left = list(answers)

    async def find(bucket: str, key: str) -> StoredObject | None:
        return left.pop(0)

    stage.ledger.find = find  # type: ignore[method-assign]


# Parts ---


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    cut=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_part_readers(sizes: Sequence[int], cut: tuple[int, int]) -> None:
    """They are exactly the bytes asked for, in order, and never empty."""
    parts: list[Part] = []
    for number, size in enumerate(sizes, 1):
        offset = sum(each.size_bytes for each in parts)
        parts.append(Part(f"p{number}", number, offset, size, "md5", ()))
    start, end = (min(each, sum(sizes)) for each in sorted(cut))
    runs = part_readers(tuple(parts), start, end, {}, NothingKnown())
    assert all(0 <= run.start < run.end <= run.part.size_bytes for run in runs)
    places = [
        place
        for run in runs
        for place in range(
            run.part.offset_bytes + run.start, run.part.offset_bytes + run.end
        )
    ]
    assert places == list(range(start, end))


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 30), (0, 1), (29, 30), (9, 11), (10, 20), (5, 25), (15, 15), (0, 0)],
)
@ensureDeferred
async def test_a_range_over_parts(stage: Stage, start: int, end: int) -> None:
    """Each part's backend is asked for its share, and no other is asked."""
    pieces = [b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"]
    parts = [
        part(stage, data, number=number, offset=10 * (number - 1), on=name)
        for number, (data, name) in enumerate(
            zip(pieces, ["one", "two", "one"], strict=True), 1
        )
    ]
    reader = await stage.objects.open(stored(*parts), start, end)
    assert await rest(reader) == b"".join(pieces)[start:end]
    assert await reader.read() == b""
    asked = stage.one.calls["open_get"] + stage.two.calls["open_get"]
    assert asked == len({place // 10 for place in range(start, end)})
    assert stage.clock.getDelayedCalls() == []


# Long manifests ---


async def long_object(stage: Stage) -> tuple[StoredObject, list[Part]]:
    """An object of three parts, of which ``find`` gives the first."""
    parts = [
        part(stage, b"0123456789", number=1),
        part(stage, b"abcdefghij", number=2, offset=10),
        part(stage, b"ABCDEFGHIJ", number=3, offset=20),
    ]
    whole_info = stored(*parts).info
    return StoredObject(whole_info, tuple(parts[:1]), parts_count=3), parts


@ensureDeferred
async def test_a_long_manifest_is_read_by_the_window(stage: Stage) -> None:
    """Only the parts that hold the bytes asked for."""
    found, parts = await long_object(stage)
    asked: list[tuple[str, int, int]] = []

    async def window(object_id: str, start: int, end: int) -> tuple[Part, ...]:
        asked.append((object_id, start, end))
        return tuple(parts[1:])

    stage.ledger.parts = window  # type: ignore[method-assign]
    reader = await stage.objects.open(found, 15, 25)
    assert await rest(reader) == b"fghijABCDE"
    assert asked == [("object", 15, 25)]


@ensureDeferred
async def test_a_long_manifest_that_is_gone(stage: Stage) -> None:
    """503: overwritten since ``find``; its headers have not gone out yet."""
    found, _ = await long_object(stage)
    with pytest.raises(ServiceUnavailable, match="overwritten"):
        await stage.objects.open(found, 15, 25)
    assert stage.one.calls["open_get"] == 0


# The next part, ahead ---


def two_parts(stage: Stage) -> StoredObject:
    """One part on each backend."""
    return stored(
        part(stage, DATA, on="one"),
        part(stage, b"second", number=2, offset=len(DATA), on="two"),
    )


@ensureDeferred
async def test_the_next_part_is_opened_ahead(stage: Stage) -> None:
    """With the first bytes of one that ends soon, and once."""
    found = two_parts(stage)
    reader = await stage.objects.open(found, 0, found.info.size_bytes)
    assert stage.two.calls["open_get"] == 0
    await reader.read()
    assert stage.two.calls["open_get"] == 1
    assert (await rest(reader))[-6:] == b"second"
    assert stage.two.calls["open_get"] == 1


@ensureDeferred
async def test_not_too_far_ahead(stage: Stage) -> None:
    """A backend would break off a connection that is not read for long."""
    first = bytes(AHEAD_BYTES + 2 * CHUNK_BYTES)
    found = stored(
        part(stage, first, on="one"),
        part(stage, b"second", number=2, offset=len(first), on="two"),
    )
    reader = await stage.objects.open(found, 0, found.info.size_bytes)
    await reader.read()
    assert stage.two.calls["open_get"] == 0
    await reader.read()
    assert stage.two.calls["open_get"] == 1
    reader.abort()
    assert all(each.is_aborted for each in stage.one.downloads + stage.two.downloads)


@ensureDeferred
async def test_a_failure_ahead_is_not_yet_one(stage: Stage) -> None:
    """The part's turn brings another try."""
    stage.two.fail("open_get", BackendUnavailable("two", "busy", landed=False))
    found = two_parts(stage)
    assert await whole(stage, found) == DATA + b"second"
    assert stage.two.calls["open_get"] == 2


@ensureDeferred
async def test_aborted_while_the_next_part_is_opened(stage: Stage) -> None:
    """Its connection is dropped as soon as it is there."""
    go_on = stage.two.hold("open_get")
    found = two_parts(stage)
    reader = await stage.objects.open(found, 0, found.info.size_bytes)
    await reader.read()
    reader.abort()
    go_on()
    assert [each.is_aborted for each in stage.two.downloads] == [True]
    assert stage.clock.getDelayedCalls() == []


@ensureDeferred
async def test_the_next_part_is_slow_to_open(stage: Stage) -> None:
    """The read waits for it, and does not open it twice."""
    go_on = stage.two.hold("open_get")
    found = two_parts(stage)
    reader = await stage.objects.open(found, 0, found.info.size_bytes)
    reading = Deferred.fromCoroutine(rest(reader))
    assert not reading.called
    go_on()
    assert await reading == DATA + b"second"
    assert stage.two.calls["open_get"] == 1


# Another copy ---


@pytest.mark.parametrize(
    "why",
    [
        BackendUnavailable("one", "500", landed=False),
        BackendRefused("one", "403"),
        BackendMissing("one", "404"),
        BackendMismatch("one", "another ETag"),
    ],
)
@ensureDeferred
async def test_a_copy_that_fails_at_first(stage: Stage, why: BackendError) -> None:
    """The next one is read, and the client sees nothing of it."""
    stage.one.fail("open_get", why)
    assert await whole(stage, stored(part(stage, DATA))) == DATA
    assert [copy for copy, _, _ in stage.one.gets + stage.two.gets] == [
        "one-1",
        "two-1",
    ]


@ensureDeferred
async def test_a_backend_that_is_not_configured(stage: Stage) -> None:
    """It is passed over like one that does not answer."""
    found = stored(part(stage, DATA, on="gone two"))
    assert await whole(stage, found) == DATA
    with pytest.raises(ServiceUnavailable):
        await whole(stage, stored(part(stage, DATA, on="gone")))


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
@ensureDeferred
async def test_a_copy_that_breaks_off(stage: Stage, chunks: int) -> None:
    """Another goes on at the very byte."""
    stage.one.fail("read", *[None] * chunks, broke_off)
    assert await whole(stage, stored(part(stage, DATA))) == DATA
    assert stage.one.downloads[0].is_aborted
    assert stage.two.gets == [("two-1", chunks * CHUNK_BYTES, len(DATA))]


@ensureDeferred
async def test_a_range_that_breaks_off(stage: Stage) -> None:
    """Offsets are those of the part, and its end stays."""
    stage.one.fail("read", None, broke_off)
    found = stored(part(stage, DATA))
    reader = await stage.objects.open(found, 1000, len(DATA) - 1000)
    assert await rest(reader) == DATA[1000:-1000]
    assert stage.two.gets == [("two-1", 1000 + CHUNK_BYTES, len(DATA) - 1000)]


@ensureDeferred
async def test_the_only_copy_breaks_off(stage: Stage) -> None:
    """A new connection to it goes on, as long as each brings something."""
    stage.one.fail("read", None, broke_off, None, broke_off, None, broke_off)
    assert await whole(stage, stored(part(stage, DATA, on="one"))) == DATA
    assert [start // CHUNK_BYTES for _, start, _ in stage.one.gets] == [0, 1, 2, 3]


@ensureDeferred
async def test_the_copy_that_broke_off_is_tried_last(stage: Stage) -> None:
    """The other has failed too: back to the first, which may have recovered."""
    stage.one.fail("read", None, broke_off)
    stage.two.is_down = True
    assert await whole(stage, stored(part(stage, DATA))) == DATA
    assert [start for _, start, _ in stage.one.gets] == [0, CHUNK_BYTES]
    assert stage.two.calls["open_get"] == 1


@ensureDeferred
async def test_copies_take_turns(stage: Stage) -> None:
    """Both break off now and then; all bytes come, each once."""
    stage.one.fail("read", None, broke_off, None, broke_off)
    stage.two.fail("read", None, broke_off)
    assert await whole(stage, stored(part(stage, DATA))) == DATA


@pytest.mark.parametrize("on", ["one", "one two"])
@ensureDeferred
async def test_no_copy_can_go_on(stage: Stage, on: str) -> None:
    """An error, after all that could be had, and never an end."""
    stage.one.fail("read", None, broke_off)
    found = stored(part(stage, DATA, on=on))
    reader = await stage.objects.open(found, 0, len(DATA))
    assert await reader.read() == DATA[:CHUNK_BYTES]
    stage.one.is_down = stage.two.is_down = True
    for _ in range(2):
        with pytest.raises(BackendError):
            await reader.read()
    reader.abort()
    assert stage.clock.getDelayedCalls() == []


@ensureDeferred
async def test_connections_that_bring_nothing(stage: Stage) -> None:
    """They are not opened for ever."""
    stage.one.fail("read", *[broke_off] * 50)
    stage.two.fail("read", *[broke_off] * 50)
    reader = await stage.objects.open(stored(part(stage, DATA)), 0, len(DATA))
    with pytest.raises(BackendError):
        await reader.read()
    assert stage.one.calls["open_get"] + stage.two.calls["open_get"] == 2
    reader.abort()


@ensureDeferred
async def test_a_copy_that_sends_something_else(stage: Stage) -> None:
    """It is not tried again, however much came before."""
    stage.one.fail("read", None, BackendMismatch("one", "too much"))
    stage.two.is_down = True
    reader = await stage.objects.open(stored(part(stage, DATA)), 0, len(DATA))
    await reader.read()
    with pytest.raises(BackendError):
        await reader.read()
    assert stage.one.calls["open_get"] == 1
    reader.abort()


@ensureDeferred
async def test_a_later_part_that_cannot_be_had(stage: Stage) -> None:
    """The read fails there; it does not end."""
    found = stored(
        part(stage, b"first", on="one"),
        part(stage, b"second", number=2, offset=5, on="two"),
    )
    stage.two.is_down = True
    reader = await stage.objects.open(found, 0, 11)
    assert await reader.read() == b"first"
    with pytest.raises(BackendUnavailable):
        await reader.read()
    stage.two.is_down = False
    reader.abort()


@ensureDeferred
async def test_a_part_forgives_what_another_met(stage: Stage) -> None:
    """A copy that failed in one part does not count against the next part's."""
    found = stored(
        part(stage, b"first"),
        part(stage, b"second", number=2, offset=5),
    )
    stage.one.fail("read", broke_off)
    stage.two.fail("read", None, None, broke_off)
    assert await whole(stage, found) == b"firstsecond"
    assert [copy for copy, _, _ in stage.one.gets] == ["one-1", "one-2"]
    assert [copy for copy, _, _ in stage.two.gets] == ["two-1", "two-2"]


# Which copy first ---


@ensureDeferred
async def test_the_copy_that_answers_fastest_comes_first(stage: Stage) -> None:
    """Until it is slower; what was measured long ago is measured again."""
    found = stored(part(stage, b"data"))

    async def read_within(**seconds: float) -> str:
        asked = {"one": stage.one.calls["open_get"], "two": stage.two.calls["open_get"]}
        holds = {name: getattr(stage, name).hold("open_get") for name in seconds}
        reading = Deferred.fromCoroutine(whole(stage, found))
        for backend in (stage.one, stage.two):
            if backend.calls["open_get"] > asked[backend.name]:
                name = backend.name
        stage.clock.advance(seconds[name])
        holds[name]()
        assert await reading == b"data"
        stage.one.forget("open_get")
        stage.two.forget("open_get")
        return name

    # Each is measured once.
    first = [await read_within(one=1.0, two=0.1) for _ in range(4)]
    assert first == ["one", "two", "two", "two"]
    # It slows down: its mean goes past the other's.
    later = [await read_within(one=0.1, two=5.0) for _ in range(2)]
    assert later == ["two", "one"]
    # The slow one's measurement fades.
    many = [await read_within(one=1.0, two=0.01) for _ in range(300)]
    assert "two" in many[-5:]


@ensureDeferred
async def test_copies_on_a_sick_backend_come_last(stage: Stage) -> None:
    """It is not asked at all while its breaker is open, and asked again after that."""
    found = stored(part(stage, b"data"))
    stage.one.is_down = True
    patience = Patience()
    for _ in range(patience.failures):
        assert await whole(stage, found) == b"data"
        stage.clock.advance(patience.doubt_seconds)
    asked = stage.one.calls["open_get"]
    stage.two.is_down = True
    with pytest.raises(ServiceUnavailable):
        await whole(stage, found)
    assert stage.one.calls["open_get"] <= asked + 1
    stage.one.is_down = False
    stage.clock.advance(patience.longest_wait_seconds)
    assert await whole(stage, found) == b"data"


@ensureDeferred
async def test_a_backend_that_wants_a_pause_is_given_it(stage: Stage) -> None:
    """The only copy's read waits for it, where it is short."""
    found = stored(part(stage, b"data", on="one"))
    throttled = BackendThrottled("one", "503 SlowDown", retry_after_seconds=2.0)
    stage.one.fail("open_get", throttled)
    with pytest.raises(ServiceUnavailable):
        await whole(stage, found)
    reading = Deferred.fromCoroutine(whole(stage, found))
    stage.clock.advance(1.9)
    assert (reading.called, stage.one.calls["open_get"]) == (False, 1)
    stage.clock.advance(0.1)
    assert await reading == b"data"
    assert stage.clock.getDelayedCalls() == []


# None at all ---


@ensureDeferred
async def test_no_backend_answers(stage: Stage) -> None:
    """503, and no alarm: the bytes are believed to be there."""
    stage.one.is_down = stage.two.is_down = True
    with capturedLogs() as log, pytest.raises(ServiceUnavailable):
        await whole(stage, stored(part(stage, DATA)))
    assert not [event for event in log if event["log_level"] is LogLevel.critical]
    assert stage.clock.getDelayedCalls() == []


@ensureDeferred
async def test_one_is_away_and_one_has_lost_it(stage: Stage) -> None:
    """503: the one that is away may have it."""
    found = stored(part(stage, DATA))
    stage.one.objects.clear()
    stage.two.is_down = True
    with pytest.raises(ServiceUnavailable):
        await whole(stage, found)


@ensureDeferred
async def test_the_bytes_are_gone(stage: Stage) -> None:
    """The ledger says the same again: 500 and an alarm, never a 404 (rule 16)."""
    found = stored(part(stage, DATA))
    stage.one.objects.clear()
    stage.two.objects.clear()
    finds(stage, found)
    with capturedLogs() as log, pytest.raises(InternalError):
        await whole(stage, found)
    (alarm,) = [event for event in log if event["log_level"] is LogLevel.critical]
    assert alarm["object_id"] == "object"
    # Once, and once more after the ledger was asked again.
    assert stage.one.calls["open_get"] == 2


@ensureDeferred
async def test_the_bytes_are_others(stage: Stage) -> None:
    """500 and an alarm: bytes that are not ours are never sent."""
    found = stored(part(stage, DATA))
    for backend in (stage.one, stage.two):
        for kept in backend.objects.values():
            kept.etag = "0" * 32
    with capturedLogs() as log, pytest.raises(InternalError):
        await whole(stage, found)
    assert [event for event in log if event["log_level"] is LogLevel.critical]


class OldView:
    """The ledger as a standby has it."""

    behind, was_read = "5", True

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        raise AssertionError("the ledger of these tests is another")


@pytest.mark.parametrize("are_others", [False, True])
@ensureDeferred
async def test_the_bytes_of_old_news_are_gone(stage: Stage, are_others: bool) -> None:
    """As they may be (rule 50): 503 in words, no alarm, and never other bytes."""
    found = stored(part(stage, DATA))
    for backend in (stage.one, stage.two):
        if are_others:
            for kept in backend.objects.values():
                kept.etag = "0" * 32
        else:
            backend.objects.clear()
    finds(stage, found)
    refused = pytest.raises(ServiceUnavailable, match="standby")
    with capturedLogs() as log, reading(OldView()), refused:
        await whole(stage, found)
    assert not [event for event in log if event["log_level"] is LogLevel.critical]


@ensureDeferred
async def test_pins_are_the_primarys(stage: Stage) -> None:
    """Of a read that was looked up in a standby, too: that takes none."""
    pinned: list[object] = []

    async def pin(object_id: str) -> None:
        pinned.append(current_view())

    stage.ledger.pin = pin  # type: ignore[method-assign]
    with reading(OldView()):
        reader = await stage.objects.open(stored(part(stage, DATA)), 0, len(DATA))
        stage.clock.advance(GRACE_SECONDS / 2)
    assert pinned == [None]
    reader.abort()


@ensureDeferred
async def test_the_bytes_have_moved(stage: Stage) -> None:
    """The same version with another copy: that one is read."""
    found = stored(part(stage, DATA, on="one"))
    stage.one.objects.clear()
    finds(stage, stored(part(stage, DATA, on="two")))
    assert await whole(stage, found) == DATA


@ensureDeferred
async def test_the_object_was_overwritten(stage: Stage) -> None:
    """Headers of another version would not fit the bytes: 503, try again."""
    found = stored(part(stage, DATA, on="one"))
    stage.one.objects.clear()
    finds(stage, stored(part(stage, b"new", on="two"), object_id="newer"))
    with pytest.raises(ServiceUnavailable, match="overwritten"):
        await whole(stage, found)
    assert stage.two.calls["open_get"] == 0


@ensureDeferred
async def test_the_object_was_deleted(stage: Stage) -> None:
    """404, and no alarm."""
    found = stored(part(stage, DATA, on="one"))
    stage.one.objects.clear()
    finds(stage, None)
    with capturedLogs() as log, pytest.raises(NoSuchKey):
        await whole(stage, found)
    assert not [event for event in log if event["log_level"] is LogLevel.critical]


# Pins ---


async def slow_reader(stage: Stage) -> ObjectReader:
    """A read that has begun and takes its time."""
    reader = await stage.objects.open(stored(part(stage, DATA)), 0, len(DATA))
    await reader.read()
    return reader


@ensureDeferred
async def test_a_quick_read_does_not_pin(stage: Stage) -> None:
    """Within half of the grace the ledger is not asked for anything."""
    reader = await slow_reader(stage)
    stage.clock.advance(GRACE_SECONDS / 2 - 1)
    await rest(reader)
    stage.clock.advance(GRACE_SECONDS * 10)
    assert "pin" not in stage.ledger.calls
    assert stage.clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_long_read_pins(stage: Stage) -> None:
    """From half of the grace on, in time for every next one, until its end."""
    reader = await slow_reader(stage)
    stage.clock.advance(GRACE_SECONDS / 2)
    assert stage.ledger.calls == ["pin"]
    for _ in range(20):
        assert stage.ledger.pins["object"] > stage.clock.seconds()
        stage.clock.advance(GRACE_SECONDS / 4)
    assert stage.ledger.calls == ["pin"] * 11
    await rest(reader)
    stage.clock.advance(GRACE_SECONDS * 10)
    assert len(stage.ledger.calls) == 11


@ensureDeferred
async def test_an_aborted_read_pins_no_more(stage: Stage) -> None:
    """And its connection is closed; twice is fine."""
    reader = await slow_reader(stage)
    reader.abort()
    reader.abort()
    assert stage.one.downloads[0].is_aborted
    stage.clock.advance(GRACE_SECONDS * 10)
    assert stage.ledger.calls == []


@ensureDeferred
async def test_a_pin_that_fails_is_tried_again(stage: Stage) -> None:
    """The read goes on meanwhile."""
    reader = await slow_reader(stage)
    stage.ledger.fail("pin", StoreUnavailable("away"))
    stage.clock.advance(GRACE_SECONDS / 2)
    assert stage.ledger.pins == {}
    stage.clock.advance(GRACE_SECONDS / 2)
    assert "object" in stage.ledger.pins
    assert len(await rest(reader)) == len(DATA) - CHUNK_BYTES


@ensureDeferred
async def test_aborted_while_it_reads(stage: Stage) -> None:
    """The read under way fails, and opens no other copy."""
    reader = await slow_reader(stage)
    go_on = stage.one.hold("read")
    stage.one.fail("read", broke_off)
    reading = Deferred.fromCoroutine(reader.read())
    reader.abort()
    go_on()
    with pytest.raises(BackendError):
        await reading
    assert stage.two.calls["open_get"] == 0
    assert stage.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        (BackendSpent("two", "used up"), BudgetSpent),
        (BackendMissing("two", "404"), BudgetSpent),
        (BackendUnavailable("two", "500"), ServiceUnavailable),
    ],
)
@ensureDeferred
async def test_a_budget_that_is_used_up(
    stage: Stage, other: BackendError, answer: type[S3Error]
) -> None:
    """429 where nothing else stands in the way; 503 where another try may work."""
    stage.one.fail("open_get", BackendSpent("one", "used up"))
    stage.two.fail("open_get", other)
    with pytest.raises(answer) as told:
        await whole(stage, stored(part(stage, DATA)))
    assert told.value.status == (429 if answer is BudgetSpent else 503)
