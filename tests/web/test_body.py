"""s3proxy.web.body: pushed in, pulled out, bounded, timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.errors import ClientGone, RequestTimeout
from s3proxy.web.body import CHUNK_BYTES, RequestBody
from s3proxy.web.limits import Limits

LIMITS = Limits(
    queue_high_bytes=1000,
    queue_low_bytes=100,
    body_idle_seconds=10.0,
    body_credit_seconds=30.0,
    body_bytes_per_second=10,
    rest_bytes=500,
)


@define
class Flow:
    events: list[str] = field(factory=list)

    def pauseBody(self) -> None:
        self.events.append("pause")

    def resumeBody(self) -> None:
        self.events.append("resume")

    def sendContinue(self) -> None:
        self.events.append("100")


@define
class Rig:
    body: RequestBody
    flow: Flow
    clock: Clock

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.body.read())

    def now(self) -> bytes:
        """What a read returns without waiting."""
        got: list[bytes] = []
        self.read().addCallback(got.append)
        assert got, "it waits"
        return got[0]

    def failure(self, waiting: Deferred[bytes]) -> type[BaseException]:
        got: list[type[BaseException]] = []
        waiting.addErrback(lambda why: got.append(why.type))
        assert got, "it still waits"
        return got[0]


@pytest.fixture
def rig() -> Rig:
    return make()


def make(length: int | None = 100_000, *, expects: bool = False) -> Rig:
    flow, clock = Flow(), Clock()
    return Rig(RequestBody(length, flow, clock, LIMITS, expects=expects), flow, clock)


def test_queued_bytes_come_at_once_and_small_ones_joined(rig: Rig) -> None:
    rig.body.feed(b"ab")
    rig.body.feed(b"cd")
    assert rig.now() == b"abcd"
    rig.body.feed(b"e")
    rig.body.end()
    assert (rig.now(), rig.now(), rig.now()) == (b"e", b"", b"")


def test_a_waiting_reader_gets_what_comes(rig: Rig) -> None:
    got: list[bytes] = []
    rig.read().addCallback(got.append)
    assert got == []
    rig.body.feed(b"x")
    assert got == [b"x"]
    rig.read().addCallback(got.append)
    rig.body.end()
    assert got == [b"x", b""]
    assert rig.clock.getDelayedCalls() == []


@given(
    st.lists(st.binary(max_size=3 * CHUNK_BYTES), max_size=6),
    st.lists(st.booleans(), max_size=12),
)
@settings(max_examples=50)
def test_no_order_of_pushes_and_pulls_changes_the_bytes(
    pieces: list[bytes], turns: list[bool]
) -> None:
    rig = make()
    got: list[bytes] = []
    waiting: list[Deferred[None]] = []

    def pull() -> None:
        if not waiting or waiting[-1].called:
            waiting.append(rig.read().addCallback(got.append))

    left = list(pieces)
    for push in turns:
        if push and left:
            rig.body.feed(left.pop(0))
        else:
            pull()
    for piece in left:
        rig.body.feed(piece)
    rig.body.end()
    while not got or got[-1] != b"":
        pull()
    assert b"".join(got) == b"".join(pieces)
    assert all(len(piece) <= CHUNK_BYTES for piece in got)
    assert rig.flow.events.count("pause") == rig.flow.events.count("resume")


def test_the_client_is_paused_between_the_marks(rig: Rig) -> None:
    for _ in range(10):
        rig.body.feed(b"x" * 100)
    assert rig.flow.events == ["pause"]
    rig.body.feed(b"y" * 70_000)
    assert rig.flow.events == ["pause"]
    while rig.body._queued_bytes > 100:
        rig.now()
    assert rig.flow.events == ["pause", "resume"]


def test_what_a_waiting_reader_takes_at_once_pauses_nobody(rig: Rig) -> None:
    taken = rig.read()
    rig.body.feed(b"x" * 5000)
    assert taken.called
    assert rig.flow.events == []


def test_discarding_drops_resumes_and_still_counts(rig: Rig) -> None:
    rig.body.feed(b"x" * 2000)
    rig.body.discard()
    rig.body.feed(b"x" * 2000)
    assert rig.flow.events == ["pause", "resume"]
    assert rig.body.received == 4000
    assert rig.body._queued_bytes == 0


def test_100_continue_goes_with_the_first_read_only() -> None:
    rig = make(expects=True)
    assert rig.flow.events == []
    rig.read()
    assert rig.flow.events == ["100"]
    rig.body.feed(b"x")
    rig.body.end()
    rig.now()
    assert rig.flow.events == ["100"]


def test_a_client_that_did_not_wait_is_not_told_to_go_on() -> None:
    rig = make(expects=True)
    rig.body.feed(b"x")
    rig.now()
    assert rig.flow.events == []


def test_a_client_that_did_not_ask_is_not_told_either(rig: Rig) -> None:
    rig.read()
    assert rig.flow.events == []


def test_silence_is_a_timeout(rig: Rig) -> None:
    waiting = rig.read()
    rig.clock.advance(9.9)
    assert not waiting.called
    rig.clock.advance(0.2)
    assert rig.failure(waiting) is RequestTimeout
    assert rig.failure(rig.read()) is RequestTimeout
    assert not rig.body.rest_is_small


def test_drips_are_a_timeout_too(rig: Rig) -> None:
    """One byte every 5 s never leaves 10 s of silence, and is still too slow."""
    for _ in range(6):
        waiting = rig.read()
        rig.clock.advance(5.0)
        rig.body.feed(b"x")
        assert waiting.called
    waiting = rig.read()
    rig.clock.advance(0.7)
    assert rig.failure(waiting) is RequestTimeout


def test_a_slow_but_steady_body_comes_through(rig: Rig) -> None:
    for _ in range(100):
        waiting = rig.read()
        rig.clock.advance(5.0)
        rig.body.feed(b"x" * 50)
        assert waiting.called
    waiting.addErrback(lambda why: pytest.fail(str(why)))


def test_time_in_which_nobody_reads_is_not_the_clients(rig: Rig) -> None:
    rig.clock.advance(1000.0)
    waiting = rig.read()
    rig.clock.advance(9.0)
    rig.body.feed(b"x")
    assert waiting.called
    assert rig.clock.getDelayedCalls() == []


def test_a_lost_client_fails_the_reader_now_and_later(rig: Rig) -> None:
    waiting = rig.read()
    rig.body.fail(ClientGone())
    assert rig.failure(waiting) is ClientGone
    assert rig.failure(rig.read()) is ClientGone


def test_a_lost_clients_queue_is_dropped(rig: Rig) -> None:
    rig.body.feed(b"x" * 50)
    rig.body.fail(ClientGone())
    assert rig.failure(rig.read()) is ClientGone


def test_a_whole_body_outlives_its_client(rig: Rig) -> None:
    rig.body.feed(b"x")
    rig.body.end()
    rig.body.fail(ClientGone())
    assert (rig.now(), rig.now()) == (b"x", b"")


@pytest.mark.parametrize(
    ("length", "expects", "prepare", "small"),
    [
        (0, False, lambda body: body.end(), True),
        (500, False, lambda body: None, True),
        (501, False, lambda body: None, False),
        (1000, False, lambda body: body.feed(b"x" * 500), True),
        (10, True, lambda body: None, False),
        (10, True, lambda body: body.feed(b"x"), True),
        (None, False, lambda body: None, False),
        (None, False, lambda body: body.end(), True),
    ],
)
def test_which_rests_are_waited_for(
    length: int | None,
    expects: bool,
    prepare: Callable[[RequestBody], None],
    small: bool,
) -> None:
    rig = make(length, expects=expects)
    prepare(rig.body)
    assert rig.body.rest_is_small is small
