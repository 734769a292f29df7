"""What requests, jobs and commands do, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from attrs import frozen

from tests.model.state import NATURAL, Actor, Place, Row, Rules, State

#: A step's name, and where it leads.
Step = tuple[str, State]


@frozen
class World:
    """
    :ivar limits: Rows that a backend takes, in order of preference.
    :ivar acts: What each actor does.
    """

    limits: tuple[int, ...]
    acts: tuple[Act, ...]
    rules: Rules


def after(state: State, number: int, actor: Actor, **changes: object) -> State:
    """The state in which one actor has gone on."""
    actors = (*state.actors[:number], actor, *state.actors[number + 1 :])
    return state._replace(actors=actors, **changes)  # type: ignore[arg-type]


@frozen
class Act:
    """What an actor does, beside dying."""

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """Every step that it can take now."""
        raise NotImplementedError

    #: Whether it does its work in several steps, and so can die between them.
    long = True


@frozen
class Writing(Act):
    """Claim, send, commit (rules 6 to 10); what is committed is the subclass's."""

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """From the claim to the answer."""
        rules, actor = world.rules, state.actors[me]
        row = state.row(actor.place)
        claimed = row is not None and row.state == "claimed"
        if actor.at == "start":
            yield from self._claim(world, state, me)
        elif actor.at == "claimed":
            rows = state.rows - ({row} if row else set())
            yield "client gone", after(state, me, state.step(me, "end"), rows=rows)
            if not self.can_read(state, actor):
                yield "source gone", after(state, me, state.step(me, "abandon"))
            elif not rules.lease_watch or not rules.claim_first or claimed:
                body = (actor.place, self.part(me, actor))
                landing = state.landing | {body}
                yield "send", after(state, me, state.step(me, "sent"), landing=landing)
        elif actor.at == "sent":
            body = (actor.place, self.part(me, actor))
            if body in state.stored:
                yield "stored", after(state, me, state.step(me, "commit"))
            yield "timeout", after(state, me, state.step(me, "abandon"))
        elif actor.at == "commit":
            yield from self._commit(world, state, me)
        elif actor.at in ("unknown", "abandon"):
            yield from self._ask(world, state, me)
        elif actor.at == "answer":
            told = state.told | {me}
            yield "200", after(state, me, state.step(me, "end"), told=told)

    def _claim(self, world: World, state: State, me: int) -> Iterator[Step]:
        rules = world.rules
        for source in self.sources(state):
            part = source.part if source else me
            taken = {
                row.place.backend
                for row in state.rows
                if row.part == part and row.state in ("claimed", "live")
            }
            for backend, limit in enumerate(world.limits):
                full = state.used(backend) >= limit and rules.room_first
                if full or backend in taken:
                    continue
                place = Place(me, backend)
                rows = state.rows
                if rules.claim_first:
                    rows |= {Row(place, part, "claimed")}
                mine = state.step(me, "claimed", place=place, source=source)
                yield f"claim {place}", after(state, me, mine, rows=rows)
                break
            else:
                yield "no room", after(state, me, state.step(me, "end"))

    def _commit(self, world: World, state: State, me: int) -> Iterator[Step]:
        rules, actor = world.rules, state.actors[me]
        row = state.row(actor.place)
        stands = row is not None and row.state == "claimed"
        done = self.commit(world, state, me)
        if done is None or (rules.claim_stands and rules.claim_first and not stands):
            yield "refused", after(state, me, state.step(me, "abandon"))
            return
        rows = done.rows - ({row} if row else set())
        live = Row(actor.place, self.part(me, actor), "live")  # type: ignore[arg-type]
        done = done._replace(rows=rows | {live}, committed=done.committed | {me})
        yield "commit", after(done, me, state.step(me, "answer"))
        yield "commit, answer lost", after(done, me, state.step(me, "unknown"))
        yield "rolled back, answer lost", after(state, me, state.step(me, "unknown"))

    def _ask(self, world: World, state: State, me: int) -> Iterator[Step]:
        actor = state.actors[me]
        row = state.row(actor.place)
        if actor.at == "unknown":
            known = row is not None and row.state in ("live", "garbage", "due")
            if known or not world.rules.ask_again:
                yield "it was committed", after(state, me, state.step(me, "answer"))
                return
        if row is not None and row.state == "claimed":
            rows = state.moved(row, "abandoned")
            yield "abandon", after(state, me, state.step(me, "end"), rows=rows)
        else:
            yield "503", after(state, me, state.step(me, "end"))

    def sources(self, state: State) -> list[Row | None]:
        """What may be copied; [None] = the body comes from a client."""
        return [None]

    def part(self, me: int, actor: Actor) -> int:
        """What the bytes are."""
        return actor.source.part if actor.source else me

    def can_read(self, state: State, actor: Actor) -> bool:
        """Whether there is something to send."""
        source = actor.source
        return source is None or (source.place, source.part) in state.stored

    def commit(self, world: World, state: State, me: int) -> State | None:
        """What the commit changes beside the claim; None: it is refused."""
        raise NotImplementedError


@frozen
class Put(Writing):
    """PutObject."""

    def commit(self, world: World, state: State, me: int) -> State:
        """The object is replaced; its old bytes are garbage."""
        old = set(state.object[1]) if state.object else set()
        return state._replace(rows=state.discarded(old), object=(me, (me,)))


@frozen
class UploadPart(Writing):
    """UploadPart."""

    number: int = 1

    def commit(self, world: World, state: State, me: int) -> State | None:
        """The part replaces an earlier one of its number."""
        if world.rules.upload_open and state.upload != "open":
            return None
        old = {part for number, part in state.sent if number == self.number}
        sent = frozenset(each for each in state.sent if each[0] != self.number)
        return state._replace(
            rows=state.discarded(old), sent=sent | {(self.number, me)}
        )


@frozen
class Replicate(Writing):
    """
    One more copy of a part.

    :ivar moves: The source becomes garbage.
    """

    moves: bool = False

    def sources(self, state: State) -> list[Row | None]:
        """A live copy of what the object is made of, if there is one."""
        parts = state.object[1] if state.object else ()
        return [row for part in parts for row in sorted(state.live(part))]

    def commit(self, world: World, state: State, me: int) -> State | None:
        """Only while the source is live."""
        source = state.actors[me].source
        assert source is not None
        if world.rules.source_live and source not in state.rows:
            return None
        if self.moves and source in state.rows:
            return state._replace(rows=state.moved(source, "garbage"))
        return state


@frozen
class Short(Act):
    """One transaction: its answer comes or does not."""

    long = False

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """It is committed, and the client hears of it or not."""
        if state.actors[me].at != "start":
            return
        done = self.commit(state, me)
        if done is None:
            yield "refused", after(state, me, state.step(me, "end"))
            return
        done = done._replace(committed=done.committed | {me})
        told = done.told | {me}
        yield "commit, 200", after(done, me, state.step(me, "end"), told=told)
        yield "commit, answer lost", after(done, me, state.step(me, "dead"))

    def commit(self, state: State, me: int) -> State | None:
        """What it changes; None: it is refused."""
        raise NotImplementedError


@frozen
class Delete(Short):
    """DeleteObject."""

    def commit(self, state: State, me: int) -> State:
        """The key holds nothing."""
        old = set(state.object[1]) if state.object else set()
        return state._replace(rows=state.discarded(old), object=None)


@frozen
class Complete(Short):
    """
    CompleteMultipartUpload.

    :ivar numbers: The parts of its list.
    """

    numbers: tuple[int, ...] = (1,)

    def commit(self, state: State, me: int) -> State | None:
        """The listed parts are the object; what else there was is garbage."""
        sent = dict(state.sent)
        if state.upload != "open" or not sent.keys() >= set(self.numbers):
            return None
        parts = tuple(sent[number] for number in self.numbers)
        old = set(state.object[1]) if state.object else set()
        rows = state.discarded(old | (set(sent.values()) - set(parts)))
        return state._replace(
            rows=rows, object=(me, parts), upload="completed", sent=frozenset()
        )


@frozen
class Abort(Short):
    """AbortMultipartUpload, or the reaper of old uploads."""

    def commit(self, state: State, me: int) -> State | None:
        """Every part is garbage."""
        if state.upload != "open":
            return None
        rows = state.discarded({part for _, part in state.sent})
        return state._replace(rows=rows, upload="aborted", sent=frozenset())


@frozen
class Drop(Act):
    """A surplus copy goes."""

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """Count and discard under the part's lock."""
        actor = state.actors[me]
        if actor.at == "start":
            parts = state.object[1] if state.object else ()
            for part in parts:
                rows = state.live(part)
                if len(rows) < 2:
                    continue
                for row in rows:
                    chosen = after(state, me, state.step(me, "drop", source=row))
                    if not world.rules.last_copy:
                        yield f"choose {row.place}", chosen
                        continue
                    gone = state.moved(row, "garbage")
                    yield "drop", after(state, me, state.step(me, "end"), rows=gone)
            yield "none", after(state, me, state.step(me, "end"))
        elif actor.at == "drop":
            assert actor.source is not None
            rows_now = state.rows
            if actor.source in rows_now:
                rows_now = state.moved(actor.source, "garbage")
            yield "drop", after(state, me, state.step(me, "end"), rows=rows_now)


@frozen
class Get(Act):
    """GetObject: rows, then part after part (rules 15 to 17)."""

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """Read the rows, then each part's bytes from one of its copies."""
        actor = state.actors[me]
        if actor.at == "start":
            parts = state.object[1] if state.object else ()
            for rows in product(*(state.live(part) for part in parts)):
                mine = state.step(me, "open" if rows else "end", reads=rows)
                yield "read the rows", after(state, me, mine)
            return
        row = actor.reads[0]
        there = (row.place, row.part) in state.stored
        held = {(me, each.place) for each in actor.reads}
        now = {its.state for each in actor.reads if (its := state.row(each.place))}
        if "garbage" in now and "due" not in now and held - state.pins:
            yield "pin", state._replace(pins=state.pins | held)
        if actor.at == "open" and not there:
            if world.rules.look_again and row not in state.rows:
                yield "look again", after(state, me, Actor())
            else:
                yield "alarm", after(state, me, state.step(me, "alarm"))
        elif actor.at == "open":
            at = "stream" if self._in_time(state, row, held) else "late"
            yield "open", after(state, me, state.step(me, at))
        elif not there:
            # Rule 17: one that slept past the grace breaks its answer off.
            at = "end" if actor.at == "late" else "cut off"
            mine = state.step(me, at, reads=())
            yield "cut off", after(state, me, mine, pins=state.pins - held)
        else:
            reads = actor.reads[1:]
            pins = state.pins - {(me, row.place)}
            at = actor.at if reads else "end"
            mine = state.step(me, at, reads=reads)
            yield "one part", after(state, me, mine, pins=pins)

    @staticmethod
    def _in_time(state: State, row: Row, held: set[tuple[int, Place]]) -> bool:
        """Whether a reader that opens its first copy now had not slept too long."""
        now = state.row(row.place)
        over = now is not None and now.state == "due"
        return not over or held <= state.pins


@frozen
class Sync(Act):
    """`sync` of one key that somebody else stored on the first backend."""

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """List, read the rows, look at the bytes, adopt."""
        rules, actor = world.rules, state.actors[me]
        place = Place(NATURAL, 0)
        there = next((part for at, part in state.stored if at == place), None)
        known = state.row(place) is not None and rules.known_once
        if actor.at == "start":
            if there is None or known:
                yield "nothing new", after(state, me, state.step(me, "end"))
            else:
                seen = state.step(me, "listed", source=Row(place, there, "live"))
                yield f"list {there}", after(state, me, seen)
        elif actor.at == "listed":
            row = actor.source
            assert row is not None
            if rules.look_at_bytes:
                if there is None:
                    yield "gone", after(state, me, state.step(me, "end"))
                    return
                row = row._replace(part=there)
            looked = state.step(me, "looked", source=row)
            yield f"look at {row.part}", after(state, me, looked)
        elif actor.at == "looked":
            row = actor.source
            assert row is not None
            if known or state.object is not None:
                yield "passed over", after(state, me, state.step(me, "end"))
                return
            adopted = after(
                state,
                me,
                state.step(me, "end"),
                rows=frozenset(r for r in state.rows if r.place != place) | {row},
                object=(me, (row.part,)),
                committed=state.committed | {me},
                foreign=None if state.foreign == row.part else state.foreign,
            )
            yield f"adopt {row.part}", adopted


@frozen
class Sweep(Act):
    """`sweep --delete` of the first backend (rule 46)."""

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """List, then look up, and queue what has no row."""
        actor = state.actors[me]
        # Under an id of its own, or whoever asks after its claim finds this row.
        become = "swept" if world.rules.new_id else "garbage"
        listed = [
            Row(place, part, become)
            for place, part in sorted(state.stored)
            if place.backend == 0 and place.key != NATURAL
        ]
        if world.rules.list_first:
            if actor.at == "start":
                mine = state.step(me, "listed", reads=tuple(listed))
                yield "list", after(state, me, mine)
            elif actor.at == "listed":
                new = {row for row in actor.reads if state.row(row.place) is None}
                mine = state.step(me, "end", reads=())
                yield "queue", after(state, me, mine, rows=state.rows | new)
        elif actor.at == "start":
            known = tuple(sorted(state.rows))
            yield "look up", after(state, me, state.step(me, "looked", reads=known))
        elif actor.at == "looked":
            named = {row.place for row in actor.reads}
            new = {row for row in listed if row.place not in named}
            places = {row.place for row in new}
            kept = frozenset(row for row in state.rows if row.place not in places)
            mine = state.step(me, "end", reads=())
            yield "queue", after(state, me, mine, rows=kept | new)


@frozen
class Foreign(Act):
    """Somebody stores other bytes where ``sync`` once found some, and we hold none."""

    long = False

    def steps(self, world: World, state: State, me: int) -> Iterator[Step]:
        """What was there is replaced."""
        place = Place(NATURAL, 0)
        row = state.row(place)
        if state.actors[me].at != "start" or (row and row.state == "live"):
            return
        if any(actor.at == "looked" for actor in state.actors):
            # Nothing closes this gap; a GET compares the ETag, and says so.
            return
        stored = frozenset(each for each in state.stored if each[0] != place)
        yield (
            "a user stores",
            after(
                state,
                me,
                state.step(me, "end"),
                stored=stored | {(place, me)},
                foreign=me,
            ),
        )
