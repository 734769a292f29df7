"""The protocol keeps its promises in every interleaving; without a rule it does not."""

from __future__ import annotations

import pytest
from attrs import evolve, fields, frozen

from tests.model.actors import (
    Abort,
    Act,
    Complete,
    Delete,
    Drop,
    Foreign,
    Get,
    Put,
    Replicate,
    Sweep,
    Sync,
    UploadPart,
    World,
)
from tests.model.explore import explore
from tests.model.state import NATURAL, Actor, Place, Row, Rules, State

#: What a backend held before the first step.
FOUND = 100

#: What a late PUT left there, without a row.
ORPHAN = 200


@frozen
class Scenario:
    """
    :ivar held: Backends that hold the object at the start; none = there is none.
    :ivar found: Whether the first backend holds what ``sync`` may adopt.
    :ivar orphan: Whether it holds bytes of ours that no row names.
    """

    acts: tuple[Act, ...]
    limits: tuple[int, ...] = (9,)
    held: tuple[int, ...] = ()
    found: bool = False
    orphan: bool = False

    def world(self, rules: Rules) -> World:
        """Who acts, by which rules."""
        return World(self.limits, self.acts, rules)

    @property
    def start(self) -> State:
        """The first state."""
        state = State(tuple(Actor() for _ in self.acts))
        if self.held:
            places = [Place(FOUND, backend) for backend in self.held]
            state = state._replace(
                object=(FOUND, (FOUND,)),
                rows=frozenset(Row(place, FOUND, "live") for place in places),
                stored=frozenset((place, FOUND) for place in places),
            )
        if self.found:
            state = state._replace(
                stored=frozenset({(Place(NATURAL, 0), FOUND)}), foreign=FOUND
            )
        if self.orphan:
            place = Place(ORPHAN, 0)
            stored = state.stored | {(place, ORPHAN)}
            state = state._replace(stored=stored, orphans=frozenset({place}))
        return state


SCENARIOS = {
    "put, put, delete": Scenario((Put(), Put(), Delete())),
    "put, read, delete": Scenario((Put(), Get(), Delete()), held=(0,)),
    "room for one on each of two": Scenario((Put(), Put()), (1, 1), held=(0,)),
    "no room": Scenario((Put(), Put()), (1,)),
    "replicate, put": Scenario((Replicate(), Put()), (9, 9), held=(0,)),
    "move, read": Scenario((Replicate(moves=True), Get()), (9, 9), held=(0,)),
    "move, drop, read": Scenario(
        (Replicate(moves=True), Drop(), Get()), (9, 9, 9), held=(0, 1)
    ),
    "drop, drop": Scenario((Drop(), Drop()), (9, 9), held=(0, 1)),
    "part, part again, complete": Scenario(
        (UploadPart(), UploadPart(), Complete()), held=(0,)
    ),
    "part, complete, abort": Scenario((UploadPart(), Complete(), Abort())),
    "two parts, complete": Scenario(
        (UploadPart(), UploadPart(number=2), Complete((1, 2)))
    ),
    "part, complete, read": Scenario((UploadPart(), Complete(), Get()), held=(0,)),
    "sweep, put": Scenario((Sweep(), Put()), orphan=True),
    "sync, sync, delete": Scenario((Sync(), Sync(), Delete()), found=True),
    "sync, put, delete": Scenario((Sync(), Put(), Delete()), found=True),
    "sync, delete, a user": Scenario((Sync(), Delete(), Foreign(), Sync()), found=True),
}
#: As many states as take a while.
LARGE = {
    "sweep, put, delete": Scenario((Sweep(), Put(), Delete()), held=(0,), orphan=True),
    "sweep, put over": Scenario((Sweep(), Put()), held=(0,), orphan=True),
    "sweep, sweep, move": Scenario(
        (Sweep(), Sweep(), Replicate(moves=True)), (9, 9), held=(0,), orphan=True
    ),
    "replicate, move, delete": Scenario(
        (Replicate(), Replicate(moves=True), Delete()), (9, 9, 9), held=(0,)
    ),
    "put, move, delete": Scenario(
        (Put(), Replicate(moves=True), Delete()), (9, 9), held=(0,)
    ),
    "put, put, read, delete": Scenario((Put(), Put(), Get(), Delete()), held=(0,)),
    "part, part again, complete, abort, read": Scenario(
        (UploadPart(), UploadPart(), Complete(), Abort(), Get())
    ),
    "sync, put, delete, a user": Scenario(
        (Sync(), Put(), Delete(), Foreign(), Sync()), (9, 9), found=True
    ),
}


@pytest.mark.parametrize(
    "name", [*SCENARIOS, *(pytest.param(n, marks=pytest.mark.system) for n in LARGE)]
)
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    """Whoever dies when, whatever lands late."""
    scenario = (SCENARIOS | LARGE)[name]
    finding = explore(scenario.world(Rules()), scenario.start)
    assert finding.wrong is None, "\n".join([finding.wrong or "", *finding.way])
    assert finding.states > 20


#: Where a rule is missed, and what breaks.
MISSED = {
    "claim_first": ("put, put, delete", "I4"),
    "room_first": ("no room", "I3"),
    "lease_watch": ("put, put, delete", "I4"),
    "claim_stands": ("put, put, delete", "I1"),
    "ask_again": ("put, put, delete", "I2"),
    "upload_open": ("part, complete, abort", "I4"),
    "pins": ("put, read, delete", "a reader lost its bytes"),
    "look_again": ("put, read, delete", "a reader found nothing"),
    "source_live": ("replicate, put", "I4"),
    "last_copy": ("drop, drop", "I2"),
    "second_delete": ("put, put, delete", "I4"),
    "grace": ("put, read, delete", "a reader lost its bytes"),
    "rows_first": ("put, put, delete", "I4"),
    "look_at_bytes": ("sync, delete, a user", "I1"),
    "known_once": ("sync, sync, delete", "I1"),
    "compare": ("sync, delete, a user", "foreign bytes deleted"),
    "tombstones": ("sync, sync, delete", "I1"),
    "list_first": ("sweep, put", "I"),
    "new_id": ("sweep, put", "I2"),
}


@pytest.mark.parametrize("rule", [each.name for each in fields(Rules)])
def test_without_a_rule_a_promise_breaks(rule: str) -> None:
    """Each is needed: the model finds what it is there for."""
    name, wrong = MISSED[rule]
    scenario = SCENARIOS[name]
    world = scenario.world(evolve(Rules(), **{rule: False}))
    finding = explore(world, scenario.start)
    assert finding.wrong is not None and finding.wrong.startswith(wrong), finding.way
    assert finding.way
