"""The search: against trying every order, on right and on wrong histories."""

from __future__ import annotations

import time
from itertools import combinations, permutations
from math import inf
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.register import Op, Sees, State, TooHard, check

values = st.sampled_from([None, 1, 2, 3])
looks = st.none() | st.builds(
    Sees, st.frozensets(values, min_size=1, max_size=2), st.booleans()
)


@st.composite
def operations(draw: st.DrawFn) -> Op:
    """Any operation on one key, within ten seconds."""
    begin = draw(st.integers(0, 9))
    end = begin + draw(st.integers(0, 6))
    sees, writes = draw(looks), draw(st.booleans())
    if sees is None:
        writes = True
    is_sure = draw(st.booleans()) or not writes
    if not is_sure and draw(st.booleans()):
        return Op(begin, inf, sees, writes, draw(values), is_sure)
    return Op(begin, end, sees, writes, draw(values), is_sure)


def is_register(order: tuple[Op, ...]) -> bool:
    """Whether it happened in this very order."""
    state: State = None
    latest = -inf
    for op in order:
        latest = max(latest, op.begin)
        if op.end < latest or (op.sees is not None and not op.sees.holds(state)):
            return False
        if op.writes:
            state = op.value
    return True


def is_register_somehow(history: list[Op]) -> bool:
    """Every order of everything that may have happened is tried."""
    sure = [op for op in history if op.is_sure]
    unsure = [op for op in history if not op.is_sure]
    return any(
        is_register(order)
        for count in range(len(unsure) + 1)
        for taken in combinations(unsure, count)
        for order in permutations([*sure, *taken])
    )


@settings(max_examples=200)
@given(st.lists(operations(), max_size=6))
def test_it_agrees_with_trying_everything(history: list[Op]) -> None:
    """On small histories of every kind, most of them wrong."""
    assert (check(history) is None) == is_register_somehow(history)


WHAT = ["read", "read", "put", "put", "delete", "absent", "match"]
EPOCH = 50


def simulated(random: Random, count: int, clients: int, *, unsure: float) -> list[Op]:
    """What *clients* see of a register that is right, at *count* operations."""
    state: State = None
    free = [0.0] * clients
    instants = []
    for number in range(count):
        client = min(range(clients), key=free.__getitem__)
        begin = free[client] + random.random()
        end = free[client] = begin + random.expovariate(0.2)
        instants.append((random.uniform(begin, end), begin, end, number))
    history = []
    written: list[State] = [None]
    for _, begin, end, number in sorted(instants):
        what = random.choice(
            ["read", "read", "put", "put", "delete", "absent", "match"]
        )
        is_sure = random.random() >= unsure
        sees: Sees | None = None
        writes, value, is_met = False, None, True
        if what == "read":
            sees, is_sure = Sees.only(state), True
        elif what == "absent":
            sees, is_met = Sees.only(None), state is None
        elif what == "match":
            wanted = random.choice(written[-3:])
            sees, is_met = Sees.only(wanted), state == wanted
        if what != "read":
            writes, value = True, None if what == "delete" else number
        if not is_met:
            assert sees is not None
            sees, writes, is_sure = Sees.none_of(*sees.states), False, True
        happened = is_sure or random.random() < 0.5
        if writes and happened:
            state = value
            written.append(value)
        over = end if is_sure else (end // EPOCH + 1) * EPOCH
        history.append(Op(begin, over, sees, writes, value, is_sure))
    return history


@pytest.mark.parametrize("seed", range(8))
def test_right_histories_are_right(seed: int) -> None:
    """Long ones, with many clients at once and much that is unknown."""
    history = simulated(Random(seed), 600, 1 + seed, unsure=0.05 * seed)
    assert check(history) is None


@pytest.mark.parametrize("seed", range(4))
def test_one_wrong_look_is_found(seed: int) -> None:
    """A read, late in a long history, of what was overwritten long before."""
    history = sorted(
        simulated(Random(seed), 400, 3, unsure=0.1), key=lambda op: op.begin
    )
    old = next(op.value for op in history if op.writes and op.value is not None)
    at = max(i for i, op in enumerate(history) if op.sees is not None and op.is_sure)
    history[at] = evolve(history[at], sees=Sees.only(old))
    failure = check(history)
    assert failure is not None
    assert history[at] in failure.stuck


def test_ten_thousand_operations_take_seconds() -> None:
    """A chaos run has some 10^5, of forty keys."""
    history = simulated(Random(1), 10_000, 4, unsure=0.05)
    began = time.process_time()
    assert check(history) is None
    assert time.process_time() - began < 10


def test_too_hard_is_neither_right_nor_wrong() -> None:
    """It says so."""
    history = [Op(0, 9, writes=True, value=n) for n in range(20)]
    with pytest.raises(TooHard):
        check([*history, Op(10, 11, Sees.only(99))], budget=500)
