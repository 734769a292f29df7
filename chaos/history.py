"""What clients did and were told, one event an operation, kept as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Literal

from attrs import asdict, define, field

#: copy: into *key*. settled: no operation that began before can still take effect.
Kind = Literal["put", "delete", "get", "list", "copy", "complete", "settled"]

#: Statuses that say that nothing has changed; every other one but 2xx says nothing.
REFUSED = frozenset({*range(400, 500), 507})


@define
class Event:
    """
    An operation, as its client saw it.

    :ivar begin: Seconds, of one clock for all clients; *end* likewise, None for never.
    :ivar status: Of the answer; 0 where there was none, or a 200 with an error in it.
    :ivar write: The number that a write's metadata bear, of which every write has one
        of its own; with a read, the number that was found, None for no object.
    :ivar content: Whose body it is: the number of the write that first had it; 0 where
        it is empty; None where that is not known.
    :ivar size: Of that body.
    :ivar etag: Sent back, found, or to be expected of the body.
    :ivar condition: ``absent`` for If-None-Match: *, an ETag for If-Match, or "".
    :ivar source: Of a copy.
    :ivar listed: Of a list: keys with their ETags; *key* is the prefix.
    :ivar is_void: It cannot have been done: its client left before it had sent
        everything, nobody took it, or the answer promised that nothing has changed.
    :ivar problem: What is wrong with the bytes that came, in words.
    """

    kind: Kind
    key: str
    begin: float
    end: float | None = None
    client: int = 0
    status: int = 0
    write: int | None = None
    content: int | None = None
    size: int | None = None
    etag: str = ""
    condition: str = ""
    source: str = ""
    listed: dict[str, str] = field(factory=dict)
    is_void: bool = False
    problem: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it is known to have happened."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether it is known not to have happened."""
        return self.is_void or self.status in REFUSED

    def __str__(self) -> str:
        end = "…" if self.end is None else f"{self.end:.3f}"
        words = [f"{self.begin:.3f} to {end} client {self.client}", self.kind, self.key]
        if self.source:
            words.append(f"from {self.source}")
        if self.write is not None:
            words.append(f"write {self.write}")
        if self.condition:
            words.append(f"if {self.condition}")
        words.append(f"status {self.status or 'none'}")
        return " ".join(words)


def save(path: Path, events: Iterable[Event]) -> None:
    """Write them to a file."""
    with path.open("w") as file:
        for event in events:
            file.write(json.dumps(asdict(event)) + "\n")


def load(path: Path) -> list[Event]:
    """What :func:`save` wrote."""
    with path.open() as file:
        return [Event(**json.loads(line)) for line in file]


def closings(events: Iterable[Event]) -> list[float]:
    """When everything had settled, in order; the last is never."""
    return [*sorted(each.begin for each in events if each.kind == "settled"), inf]


def keys_of(events: Iterable[Event]) -> Iterator[str]:
    """Every key that was written, once."""
    kinds = ("put", "delete", "copy", "complete")
    yield from dict.fromkeys(each.key for each in events if each.kind in kinds)
