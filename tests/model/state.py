"""What the model knows at one instant, and which rules are in force."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen


class Place(NamedTuple):
    """
    Where bytes lie.

    :ivar key: Of the one attempt that made it: its actor's number. :data:`NATURAL` is a
        key that somebody else chose.
    :ivar backend: Its number, in order of preference.
    """

    key: int
    backend: int


#: A key that ``sync`` found: not used once, as ours are.
NATURAL = -1


class Row(NamedTuple):
    """
    One copy in the ledger.

    :ivar part: What its bytes are: the number of the actor that sent them.
    :ivar state: ``claimed``, ``live``, ``garbage`` (readers may be at it), ``due``
        (``ledger.grace`` is over), ``abandoned``, ``late`` (deleted once, and the body
        may still land), ``tombstone``, ``swept`` (garbage that never was
        live).
    """

    place: Place
    part: int
    state: str


class Actor(NamedTuple):
    """
    One request, job or command, in a process of its own.

    :ivar at: Its next step; ``end`` and ``dead`` are the last.
    :ivar place: Of the copy that it makes.
    :ivar source: The row that it copies or watches.
    :ivar reads: What is still to be read.
    """

    at: str = "start"
    place: Place | None = None
    source: Row | None = None
    reads: tuple[Row, ...] = ()

    @property
    def over(self) -> bool:
        """Whether it does nothing any more."""
        return self.at in ("end", "dead")


class State(NamedTuple):
    """
    :ivar object: What the key holds: version and parts, or None.
    :ivar upload: ``open``, ``completed``, ``aborted``.
    :ivar sent: The upload's parts, by number.
    :ivar stored: Bytes on the backends, by place.
    :ivar landing: Bodies on their way.
    :ivar deleting: Deletions on their way, with the bytes that they are meant for;
        None = whatever is there.
    :ivar last: The version that was committed last, or ``deleted``.
    :ivar committed: Actors whose commit took place.
    :ivar told: Actors that answered 200.
    :ivar pins: Rows that a running reader holds.
    :ivar foreign: What a user stored under :data:`NATURAL` and did not give to us.
    :ivar orphans: Where there were bytes of ours without a row, at the start.
    """

    actors: tuple[Actor, ...]
    object: tuple[int, tuple[int, ...]] | None = None
    upload: str = "open"
    sent: frozenset[tuple[int, int]] = frozenset()
    rows: frozenset[Row] = frozenset()
    stored: frozenset[tuple[Place, int]] = frozenset()
    landing: frozenset[tuple[Place, int]] = frozenset()
    deleting: frozenset[tuple[Place, int | None]] = frozenset()
    last: int | str | None = None
    committed: frozenset[int] = frozenset()
    told: frozenset[int] = frozenset()
    pins: frozenset[tuple[int, Place]] = frozenset()
    foreign: int | None = None
    orphans: frozenset[Place] = frozenset()

    def row(self, place: Place | None) -> Row | None:
        """The row of a place."""
        return next((row for row in self.rows if row.place == place), None)

    def live(self, part: int) -> list[Row]:
        """A part's live copies."""
        return [r for r in self.rows if r.part == part and r.state == "live"]

    def used(self, backend: int) -> int:
        """``bytes_used``: rows of a backend, in whatever state."""
        return sum(row.place.backend == backend for row in self.rows)

    def moved(self, row: Row, state: str) -> frozenset[Row]:
        """The rows, with one of them in another state."""
        return (self.rows - {row}) | {row._replace(state=state)}

    def discarded(self, parts: set[int]) -> frozenset[Row]:
        """The rows, with the live copies of some parts turned to garbage."""
        return frozenset(
            row._replace(state="garbage")
            if row.part in parts and row.state == "live"
            else row
            for row in self.rows
        )

    def step(self, number: int, at: str, **changes: object) -> Actor:
        """An actor's next form."""
        return self.actors[number]._replace(at=at, **changes)  # type: ignore[arg-type]


@frozen
class Rules:
    """
    What keeps the promise; each can be left out. Numbers are docs/protocol.md's.

    :ivar claim_first: 6: a row is there before a byte is sent.
    :ivar room_first: 6: a claim takes no backend past its limit.
    :ivar lease_watch: 7: a writer whose lease may be over sends nothing.
    :ivar claim_stands: 9: a commit needs its claim.
    :ivar ask_again: 10: after a commit of unknown outcome the row is asked.
    :ivar upload_open: 12: a part's commit needs an open upload.
    :ivar pins: 15: the collector passes over what a reader holds.
    :ivar look_again: 16: after a 404 the rows are read once more.
    :ivar source_live: 41: a copy's commit needs its source.
    :ivar last_copy: 42: a copy goes only while another is there, in one transaction.
    :ivar second_delete: 22: what may land late is deleted twice.
    :ivar grace: 20: garbage waits for readers.
    :ivar rows_first: 20: a row goes after its bytes, not before.
    :ivar look_at_bytes: 34: what is adopted is looked at after the rows are read.
    :ivar known_once: 34: a key that has a row is passed over.
    :ivar compare: 35: an adopted copy is deleted only as it was recorded.
    :ivar tombstones: 36: its row stays while a deletion may land late.
    :ivar list_first: 46: what is swept is looked up after it is listed.
    :ivar new_id: 46: its row is not that of the claim that once was.
    """

    claim_first: bool = True
    room_first: bool = True
    lease_watch: bool = True
    claim_stands: bool = True
    ask_again: bool = True
    upload_open: bool = True
    pins: bool = True
    look_again: bool = True
    source_live: bool = True
    last_copy: bool = True
    second_delete: bool = True
    grace: bool = True
    rows_first: bool = True
    look_at_bytes: bool = True
    known_once: bool = True
    compare: bool = True
    tombstones: bool = True
    list_first: bool = True
    new_id: bool = True
