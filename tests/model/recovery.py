"""What happens by itself: bodies land, leases end, the collector works (20 to 22)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.actors import Step, World
from tests.model.state import NATURAL, Row, State


def recovery(world: World, state: State) -> Iterator[Step]:
    """Every step that no actor takes."""
    yield from _backends(state)
    for row in state.rows:
        if row.state == "claimed":
            yield f"lease over {row.place}", _moved(state, row, "abandoned")
        elif row.state == "garbage":
            if not world.rules.grace or _grace_over(world, state, row):
                yield f"grace over {row.place}", _moved(state, row, "due")
        elif row.state == "due":
            pinned = world.rules.pins and any(at == row.place for _, at in state.pins)
            if not pinned:
                yield from _collect(world, state, row)
        elif row.state == "swept":
            yield from _delete(world, state, row, None)
        elif row.state == "abandoned":
            yield from _delete(world, state, row, "late")
        elif row.state == "late":
            # ledger.late is longer than any backend takes to let a body land.
            if row.place not in {place for place, _ in state.landing}:
                yield from _delete(world, state, row, None)
        elif row.state == "tombstone":
            # ledger.late is longer than a deletion is on its way, or a page of sync.
            deleting = any(place == row.place for place, _ in state.deleting)
            looking = any(actor.at in ("listed", "looked") for actor in state.actors)
            if not deleting and not looking:
                yield f"forget {row.place}", _moved(state, row, None)


def _backends(state: State) -> Iterator[Step]:
    for body in state.landing:
        landed = state._replace(
            landing=state.landing - {body}, stored=state.stored | {body}
        )
        yield f"{body} lands", landed
    for each in state.deleting:
        place, meant = each
        kept = frozenset(
            (at, part)
            for at, part in state.stored
            if at != place or meant not in (None, part)
        )
        gone = state._replace(stored=kept, deleting=state.deleting - {each})
        yield f"deletion of {place} lands", gone
        if place.key == NATURAL and kept != state.stored:
            # It was sent twice, and the other one is still on its way.
            yield f"deletion of {place} lands first", state._replace(stored=kept)


def _grace_over(world: World, state: State, row: Row) -> bool:
    """
    Whether ``ledger.grace`` may be over for a copy.

    A running reader pins what it reads after half of it; one that has not yet opened
    its copy may be late.
    """
    return not world.rules.pins or all(
        (number, row.place) in state.pins
        for number, actor in enumerate(state.actors)
        if actor.at == "stream" and any(r.place == row.place for r in actor.reads)
    )


def _collect(world: World, state: State, row: Row) -> Iterator[Step]:
    if row.place.key != NATURAL:
        yield from _delete(world, state, row, None)
        return
    there = next((part for at, part in state.stored if at == row.place), None)
    if there is None:
        after = "tombstone" if world.rules.tombstones else None
        yield f"{row.place} is gone", _moved(state, row, after)
    elif world.rules.compare and there != row.part:
        yield f"let go {row.place}", _moved(state, row, None)
    else:
        meant = row.part if world.rules.compare else None
        yield (
            f"delete {row.place}",
            state._replace(deleting=state.deleting | {(row.place, meant)}),
        )


def _delete(world: World, state: State, row: Row, after: str | None) -> Iterator[Step]:
    there = any(at == row.place for at, _ in state.stored)
    if not world.rules.second_delete:
        after = None
    if there:
        deleting = state.deleting | {(row.place, None)}
        sent = state._replace(deleting=deleting)
        if not world.rules.rows_first:
            sent = _moved(state, row, after)
        yield f"delete {row.place}", sent
    else:
        yield f"{row.place} is gone", _moved(state, row, after)


def _moved(state: State, row: Row, to: str | None) -> State:
    rows = state.moved(row, to) if to else state.rows - {row}
    return state._replace(rows=rows)
