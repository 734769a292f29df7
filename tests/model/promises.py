"""What must hold at every instant, and at the end."""

from __future__ import annotations

from tests.model.actors import Sweep, World
from tests.model.state import NATURAL, Place, State


def broken(world: World, state: State) -> str | None:
    """Which promise a state breaks."""
    live = [row for row in state.rows if row.state == "live"]
    parts = set(state.object[1]) if state.object else set()
    if state.upload == "open":
        parts |= {part for _, part in state.sent}
    named = {row.place for row in state.rows} | state.orphans
    held = {place for place, _ in state.stored | state.landing}
    ends = {actor.at for actor in state.actors}
    if any((row.place, row.part) not in state.stored for row in live):
        return "I1: a live row without its bytes"
    if not parts <= {row.part for row in live}:
        return "I2: a committed part without a live copy"
    if not {row.part for row in live} <= parts:
        return "I4: a live copy of nothing"
    if not state.told <= state.committed:
        return "I2: acknowledged and not committed"
    if any(place not in named for place in held if place.key != NATURAL):
        return "I4: bytes that no row names"
    if any(
        state.used(backend) > limit + any(p.key == NATURAL for p in named)
        for backend, limit in enumerate(world.limits)
    ):
        return "I3: over the limit"
    users = (Place(NATURAL, 0), state.foreign)
    if state.foreign is not None and users not in state.stored:
        return "foreign bytes deleted"
    if "alarm" in ends:
        return "a reader found nothing"
    if "cut off" in ends:
        return "a reader lost its bytes"
    return None


def unsettled(world: World, state: State) -> str | None:
    """What recovery left behind where nothing more can happen."""
    if any(row.state != "live" for row in state.rows):
        return "I4: a row that recovery does not end"
    ours = {each for each in state.stored if each[1] != state.foreign}
    if not any(
        isinstance(act, Sweep) and actor.at == "end"
        for act, actor in zip(world.acts, state.actors, strict=True)
    ):
        # Recovery alone does not find them.
        ours = {each for each in ours if each[0] not in state.orphans}
    if ours != {(row.place, row.part) for row in state.rows}:
        return "I4: bytes that recovery leaves"
    if any(
        not actor.over and act.long
        for act, actor in zip(world.acts, state.actors, strict=True)
    ):
        return "an actor that cannot go on"
    return None
