"""A request's line in the log, and whose line it is when requests interleave."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from s3proxy.telemetry import trail
from s3proxy.telemetry.trail import Trail

TEXTS = st.text(st.characters(), max_size=20)


@settings(max_examples=100)
@example('a" status=200 out=1', "b")
@example('a\\" x="', "\\")
@example("a\nb\r\x1b[31m\u202e", " ")
@given(TEXTS, TEXTS)
def test_nothing_gets_out_of_its_value(key: str, access_key_id: str) -> None:
    """Whatever clients choose, the line is one, and each name is there once."""
    found = Trail("R1", method="GET", status=404)
    found.note(SimpleNamespace(bucket="photos", key=key), access_key_id)
    line = str(found)
    assert line.isprintable()
    if "'" in key + access_key_id:
        return  # For shlex alone they are quotation marks.
    names = [word.partition("=")[0] for word in shlex.split(line)[1:]]
    assert len(names) == len(set(names))
    assert "status=404" in line


def test_what_is_known() -> None:
    found = Trail("R1", method="PUT", path="/photos/a%20b", trace_id="f" * 32)
    found.status, found.seconds, found.outcome = 403, 0.0015, "complete"
    found.error = "AccessDenied"
    assert str(found) == (
        '- bucket=- path="/photos/a%20b" status=403 in=0 out=0 ms=1.500 backend=- '
        f"request=R1 trace={'f' * 32} access_key=- client=- method=PUT "
        "error=AccessDenied stale=- outcome=complete"
    ).replace("bucket=- ", "")
    assert found.fields() == {
        "request_id": "R1",
        "trace_id": "f" * 32,
        "method": "PUT",
        "path": "/photos/a%20b",
        "error": "AccessDenied",
        "status": 403,
        "bytes_in": 0,
        "bytes_out": 0,
        "duration_ms": 1.5,
        "outcome": "complete",
    }


def test_interleaved() -> None:
    """
    Two requests that wake each other in turn, and a third thing that one has caused:
    each notes its own backends.
    """
    turns: list[Deferred[None]] = []

    async def helper(name: str) -> None:
        trail.note_backend(f"{name}-1")
        turn: Deferred[None] = Deferred()
        turns.append(turn)
        await turn
        # Woken by the other request, from inside its coroutine.
        trail.note_backend(f"{name}-2")

    async def request(found: Trail, wakes: bool) -> None:
        trail.enter(found)
        await Deferred.fromCoroutine(helper(found.request_id))
        trail.note_backend(f"{found.request_id}-3")
        await trail.detached(job())
        if wakes:
            turns.pop().callback(None)
            assert trail.current() is found

    async def job() -> None:
        assert trail.current() is None
        trail.note_backend("nobody's")

    first, second = Trail("a"), Trail("b")
    works = [
        Deferred.fromCoroutine(request(second, False)),
        Deferred.fromCoroutine(request(first, True)),
    ]
    turns.pop().callback(None)
    assert all(work.called for work in works)
    assert first.backends == ["a-1", "a-2", "a-3"]
    assert second.backends == ["b-1", "b-2", "b-3"]
    assert trail.current() is None
