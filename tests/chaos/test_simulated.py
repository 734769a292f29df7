"""Histories of a store that is right, with everything clients do; then one lie."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.history import Event
from chaos.judge import judge

KEYS = ("a", "b", "c")
WHAT = ("put", "put", "absent", "match", "get", "get", "list", "delete", "copy")
EPOCH = 30.0

#: A key's write, whose content it has.
Held = tuple[int, int]


def simulated(random: Random, count: int, clients: int) -> list[Event]:
    """*clients* of a dictionary, some of whose answers are lost."""
    held: dict[str, Held] = {}
    free = [0.0] * clients
    plans = []
    for write in range(1, count + 1):
        client = min(range(clients), key=free.__getitem__)
        begin = free[client] + random.random()
        end = free[client] = begin + random.expovariate(1.0)
        # Nothing is under way when an epoch ends.
        if begin // EPOCH != end // EPOCH:
            continue
        plans.append((random.uniform(begin, end), begin, end, client, write))
    events = [
        Event("settled", "", EPOCH * number, EPOCH * number)
        for number in range(1, int(max(free) / EPOCH) + 1)
    ]
    for _, begin, end, client, write in sorted(plans):
        kind = random.choice(WHAT)
        event = Event("put", random.choice(KEYS), begin, end, client, 200)
        do(random, held, event, kind, write)
        if kind not in ("get", "list") and event.is_done and random.random() < 0.2:
            # Its answer was lost on the way.
            event.status, event.end = random.choice((0, 500)), None
            event.etag = "" if kind == "copy" else event.etag
        events.append(event)
    return events


def do(
    random: Random, held: dict[str, Held], event: Event, kind: str, write: int
) -> None:
    """One operation, all at once."""
    found = held.get(event.key)
    if kind == "list":
        event.kind, event.key = "list", ""
        event.listed = {key: f"e{content}" for key, (_, content) in held.items()}
    elif kind == "get":
        event.kind, event.status = "get", 200 if found else 404
        if found:
            event.write, event.content = found
            event.etag, event.size = f"e{found[1]}", 100
    elif kind == "delete":
        event.kind, event.status = "delete", 204
        held.pop(event.key, None)
    elif kind == "copy":
        event.kind, event.write = "copy", write
        event.source = random.choice(KEYS)
        source = held.get(event.source)
        if source is None:
            event.status = 404
        else:
            event.etag = f"e{source[1]}"
            held[event.key] = write, source[1]
    else:
        event.write = event.content = write
        event.etag, event.size = f"e{write}", 100
        is_met = True
        if kind == "absent":
            event.condition, is_met = "absent", found is None
        elif kind == "match":
            content = found[1] if found and random.random() < 0.6 else 1
            event.condition = f"e{content}"
            is_met = found is not None and found[1] == content
        if is_met:
            held[event.key] = write, write
        else:
            event.status = 404 if kind == "match" and found is None else 412


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.integers(1, 8))
def test_a_right_store_is_right(seed: int, clients: int) -> None:
    """Whatever its clients do, and whatever they are not told."""
    assert judge(simulated(Random(seed), 120, clients)) == []


@pytest.mark.parametrize("seed", range(12))
def test_one_lie_is_found(seed: int) -> None:
    """A read, by a client that is alone, of what was there once, or never, or not."""
    random = Random(seed)
    events = simulated(random, 150, 1)
    reads = [n for n, each in enumerate(events) if each.kind == "get"]
    at = reads[-1]
    told = events[at]
    others = [
        each
        for each in events[:at]
        if each.kind == "get" and each.key == told.key and each.write != told.write
    ]
    lie = random.choice(others) if others else Event("get", told.key, 0, 0, 0, 404)
    events[at] = evolve(lie, begin=told.begin, end=told.end)
    assert [each.key for each in judge(events)] == [told.key]
