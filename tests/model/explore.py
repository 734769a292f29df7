"""Every state that can be reached, breadth first, and the way to one that is wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from attrs import frozen

from tests.model.actors import Step, World, after
from tests.model.promises import broken, unsettled
from tests.model.recovery import recovery
from tests.model.state import State


@frozen
class Finding:
    """
    :ivar states: How many were looked at.
    :ivar wrong: The promise that is broken; None = none is.
    :ivar way: Steps that lead there, the fewest.
    """

    states: int
    wrong: str | None = None
    way: tuple[str, ...] = ()


def steps(world: World, state: State) -> Iterator[Step]:
    """What can happen next."""
    for number, (act, actor) in enumerate(zip(world.acts, state.actors, strict=True)):
        if actor.over:
            continue
        for label, there in act.steps(world, state, number):
            yield f"{type(act).__name__} {number}: {label}", there
        if act.long:
            pins = frozenset(each for each in state.pins if each[0] != number)
            dead = after(state, number, state.step(number, "dead"), pins=pins)
            yield f"{type(act).__name__} {number}: dies", dead
    yield from recovery(world, state)


def explore(world: World, start: State, most: int = 2_000_000) -> Finding:
    """Look at every state; the first that breaks a promise ends it."""
    came: dict[State, tuple[State, str] | None] = {start: None}
    left = deque([start])
    while left:
        state = left.popleft()
        wrong = broken(world, state)
        stuck = True
        if wrong is None:
            for label, there in steps(world, state):
                stuck = stuck and there == state
                if there not in came:
                    came[there] = state, label
                    left.append(there)
            if stuck:
                wrong = unsettled(world, state)
        if wrong is not None:
            return Finding(len(came), wrong, _way(came, state))
        if len(came) > most:
            raise RuntimeError(f"over {most} states: make the scenario smaller")
    return Finding(len(came))


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    way = []
    while (step := came[state]) is not None:
        state, label = step
        way.append(label)
    return tuple(reversed(way))
