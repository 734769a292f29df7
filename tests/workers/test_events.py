"""s3proxy.workers.events: what a worker logs arrives whole, and tells its worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Thread

import pytest
from twisted.logger import (
    LogEvent,
    Logger,
    LogLevel,
    eventAsText,
    formatEvent,
    globalLogPublisher,
)

from s3proxy.workers.events import Sender, relay
from s3proxy.workers.messages import Lines


class Pipe:
    """A worker's end and the master's."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        self._write = write
        self.send = Sender(write)

    def close(self) -> None:
        """Nothing more is sent."""
        os.close(self._write)

    def received(self) -> list[bytes]:
        """The lines until :meth:`close`."""
        data = b""
        while piece := os.read(self._read, 65536):
            data += piece
        os.close(self._read)
        lines = Lines()
        found = lines.feed(data)
        assert lines.rest() == b""
        return found


@pytest.fixture
def published() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def relayed(pipe: Pipe) -> list[LogEvent]:
    pipe.close()
    return [event for line in pipe.received() for event in parsed(2, line)]


def parsed(number: int, line: bytes) -> list[LogEvent]:
    events: list[LogEvent] = []
    relay(number, line, events.append)
    return events


def test_an_event_becomes_the_same_event_again() -> None:
    pipe = Pipe()
    logger = Logger("s3proxy.web", observer=pipe.send)
    logger.warn("key {key!r}\nis {state.real}", key="a\nü\udc80", state=3)
    [event] = relayed(pipe)
    assert event["log_level"] is LogLevel.warn
    assert event["log_namespace"] == "s3proxy.web"
    assert event["worker"] == 2
    assert formatEvent(event) == "key 'a\\nü\\udc80'\nis 3"
    assert "[worker 2, s3proxy.web#warn] key" in eventAsText(event)


def test_a_failure_comes_with_its_traceback() -> None:
    pipe = Pipe()
    logger = Logger("s3proxy.web", observer=pipe.send)
    try:
        raise RuntimeError("oops")
    except RuntimeError:
        logger.failure("it failed")
    text = eventAsText(relayed(pipe)[0])
    assert "worker 2" in text and "it failed" in text
    assert "RuntimeError: oops" in text
    assert "test_events.py" in text


def test_lines_of_threads_do_not_mix() -> None:
    """Though each is longer than what a pipe takes at a time."""
    pipe = Pipe()
    logger = Logger("threads", observer=pipe.send)
    threads = [
        Thread(
            target=logger.info,
            args=("{text}",),
            kwargs={"text": letter * 20_000},
            daemon=True,
        )
        for letter in "abc"
    ]
    found: list[bytes] = []
    reader = Thread(target=lambda: found.extend(pipe.received()), daemon=True)
    for each in (reader, *threads):
        each.start()
    for each in threads:
        each.join(20)
    pipe.close()
    reader.join(20)
    texts = [str(formatEvent(event)) for line in found for event in parsed(1, line)]
    assert sorted(texts) == [letter * 20_000 for letter in "abc"]


@pytest.mark.parametrize("line", [b"Fatal Python error", b"\xff\xfe", b"[]", b"3"])
def test_what_is_no_event_is_logged_as_it_is(
    line: bytes, published: list[LogEvent]
) -> None:
    relay(3, line, globalLogPublisher)
    [event] = published
    assert event["worker"] == 3
    text = str(formatEvent(event))
    assert text == f"worker 3: {line.decode(errors='backslashreplace')}"


def test_without_a_master_nothing_fails() -> None:
    read, write = os.pipe()
    os.close(read)
    Logger("x", observer=Sender(write)).info("to nobody")
    os.close(write)
