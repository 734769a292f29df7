"""Each kind of violation is found in a history that has it, and none in one without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos.history import Event, load, save
from chaos.judge import judge


def put(at: float, write: int, status: int = 200, **more: Any) -> Event:
    """A PUT of 100 bytes that takes a second."""
    end = None if status == 0 else at + 1
    return Event(
        **{
            "kind": "put",
            "key": "k",
            "begin": at,
            "end": end,
            "status": status,
            "write": write,
            "content": write,
            "size": 100,
            "etag": f"e{write}",
            **more,
        }
    )


def get(at: float, write: int | None, **more: Any) -> Event:
    """A GET that found *write*."""
    status = 404 if write is None else 200
    found: dict[str, Any] = {"content": write, "size": 100, "etag": f"e{write}"}
    return Event(
        **{
            "kind": "get",
            "key": "k",
            "begin": at,
            "end": at + 1,
            "status": status,
            "write": write,
            **({} if write is None else found),
            **more,
        }
    )


def delete(at: float, status: int = 204) -> Event:
    """A DELETE."""
    return Event("delete", "k", at, at + 1 if status else None, status=status)


def copy(at: float, write: int, **more: Any) -> Event:
    """A copy of k to c."""
    return put(at, write, kind="copy", key="c", source="k", content=None, **more)


def listing(at: float, **listed: str) -> Event:
    """A LIST of everything."""
    return Event("list", "", at, at + 1, status=200, listed=listed)


SETTLED = Event("settled", "", 50, 50)

RIGHT = {
    "read what was written": [put(0, 1), get(2, 1), delete(4), get(6, None)],
    "unknown, happened": [put(0, 1), put(2, 2, 0), get(4, 1), get(6, 2)],
    "unknown, did not happen": [
        put(0, 1),
        put(2, 2, 0),
        get(4, 1),
        SETTLED,
        get(60, 1),
    ],
    "unknown delete": [put(0, 1), delete(2, 0), get(4, 1), get(6, None)],
    "503 happened": [put(0, 1), put(2, 2, 503), get(4, 2)],
    "refused": [put(0, 1), put(2, 2, 400), get(4, 1)],
    "void": [put(0, 1), put(2, 2, 0, is_void=True), get(4, 1)],
    "both while they run": [put(0, 1), put(1.5, 2), get(1.6, 1), get(1.7, 2)],
    "if absent": [
        put(0, 1, condition="absent"),
        put(2, 2, 412, condition="absent"),
        delete(4),
        put(6, 3, condition="absent"),
        get(8, 3),
    ],
    "if it matches": [
        put(0, 1),
        put(2, 2, condition="e1"),
        put(4, 3, 412, condition="e1"),
        get(6, 2),
        delete(8),
        put(10, 4, 404, condition="e2"),
    ],
    "a copy": [
        put(0, 1),
        copy(2, 2, etag="e1"),
        put(4, 3),
        get(6, 2, key="c", content=1, etag="e1"),
    ],
    "a copy of unknown outcome": [
        put(0, 1),
        copy(2, 2, status=0, etag=""),
        put(4, 3),
        listing(6, k="e3", c="e1"),
        get(8, 2, key="c", content=1, etag="e1"),
    ],
    "a copy of nothing": [delete(0), copy(2, 2, status=404), get(4, None, key="c")],
    "lists": [listing(0), put(2, 1), listing(4, k="e1"), delete(6), listing(8)],
    "broken off reads": [put(0, 1), get(2, 1, content=None, size=None)],
}

WRONG = {
    "lost": ([put(0, 1), get(2, None)], "lost"),
    "lost in a list": ([put(0, 1), listing(2)], "lost"),
    "the older one is back": ([put(0, 1), put(2, 2), get(4, 1)], "disorder"),
    "read, then not": ([put(0, 1), put(2, 2, 0), get(4, 2), get(6, 1)], "disorder"),
    "resurrected": ([put(0, 1), delete(2), get(4, 1)], "resurrected"),
    "back in a list": (
        [put(0, 1), delete(2), listing(4, k="e1")],
        "resurrected",
    ),
    "refused, and there": ([put(0, 1), put(2, 2, 400), get(4, 2)], "phantom"),
    "void, and there": ([put(0, 2, 0, is_void=True), get(4, 2)], "phantom"),
    "of nobody": ([put(0, 1), get(2, 77)], "phantom"),
    "listed, of nobody": ([put(0, 1), listing(2, k="e77")], "disorder"),
    "late, after all had settled": (
        [put(0, 1), put(2, 2, 0), get(4, 1), SETTLED, get(60, 1), get(62, 2)],
        "disorder",
    ),
    "two were absent": (
        [put(0, 1, condition="absent"), put(2, 2, condition="absent")],
        "lost",
    ),
    "absent, and refused": ([put(0, 1, 412, condition="absent")], "resurrected"),
    "no match, and stored": (
        [put(0, 1), put(2, 2), put(4, 3, condition="e1")],
        "disorder",
    ),
    "two matched": (
        [put(0, 1), put(2, 2, condition="e1"), put(2, 3, condition="e1")],
        "disorder",
    ),
    "mixed": ([put(0, 1), get(2, 1, problem="byte 7")], "mixed"),
    "another's body": ([put(0, 1), put(0, 2), get(2, 1, content=2)], "mixed"),
    "too short": ([put(0, 1), get(2, 1, size=99)], "mixed"),
    "a copy of what was gone": (
        [put(0, 1), put(2, 2), copy(4, 3), get(6, 3, key="c", content=1, etag="e1")],
        "disorder",
    ),
    "a copy that changes": (
        [
            put(0, 1),
            copy(0, 3),
            put(2, 2),
            get(4, 3, key="c", content=1, etag="e1"),
            get(6, 3, key="c", content=2, etag="e2"),
        ],
        "mixed",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    """No violation."""
    assert judge(RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    """The violation, by its kind, with the operations that do not fit."""
    events, kind = WRONG[name]
    found = judge(events)
    assert kind in {each.kind for each in found}
    assert all(each.key in ("k", "c") and each.words for each in found)


def test_histories_are_kept(tmp_path: Path) -> None:
    """As they were."""
    events = [*RIGHT["lists"], *RIGHT["a copy"], SETTLED]
    save(tmp_path / "h", events)
    assert load(tmp_path / "h") == events
