"""
Is one key's history that of a register? Wing and Gong's search, with a memory.

A history is linearizable when every operation can be given one instant between its
begin and its end such that, in the order of these instants, each sees what the one
before left. The search goes through orders; what it has seen once (which operations are
done, and what the register holds) it never looks at again, which is Lowe's addition.

What keeps it short:

- an operation that only looks and agrees is done at once: that can never be wrong;
- an operation of unknown outcome need not have happened. It is only taken where the
  very next one looks at what it left: else it can be left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf

from attrs import evolve, frozen

#: What a register may hold: the number of the write that it stands for, or nothing.
State = int | None


@frozen
class Sees:
    """
    What an operation saw, or demanded.

    :ivar states: One of these;
    :ivar is_other: or, where this is set, none of them.
    """

    states: frozenset[State]
    is_other: bool = False

    @classmethod
    def only(cls, *states: State) -> Sees:
        """It saw one of *states*."""
        return cls(frozenset(states))

    @classmethod
    def none_of(cls, *states: State) -> Sees:
        """It saw something else than *states*."""
        return cls(frozenset(states), is_other=True)

    def holds(self, state: State) -> bool:
        """Whether *state* agrees."""
        return (state in self.states) != self.is_other


@frozen
class Op:
    """
    An operation on one key.

    :ivar begin: When its client began, and *end*, after when it cannot take effect any
        more: its answer, or for one of unknown outcome when everything had settled.
    :ivar sees: What it saw; None for one that does not look.
    :ivar writes: Whether it leaves *value*.
    :ivar is_sure: False where it may not have happened at all.
    :ivar words: What it was, for people.
    """

    begin: float
    end: float
    sees: Sees | None = None
    writes: bool = False
    value: State = None
    is_sure: bool = True
    words: str = ""


@frozen
class Failure:
    """
    No order explains the history.

    :ivar stuck: The operations of which none could be next where the search came
        furthest, in the order of their begin.
    :ivar states: What the register could hold there.
    :ivar done: How many operations had been put in order.
    """

    stuck: tuple[Op, ...]
    states: tuple[State, ...]
    done: int


class TooHard(Exception):
    """The search was given up; the history is neither good nor bad."""


def check(
    history: Iterable[Op], initial: State = None, *, budget: int = 2_000_000
) -> Failure | None:
    """
    None where the history is a register's.

    :param budget: How many steps are made before it is given up.
    :raises TooHard: They were not enough.
    """
    history = list(history)
    sure = sorted((op for op in history if op.is_sure), key=lambda op: op.begin)
    unsure = sorted((op for op in history if not op.is_sure), key=lambda op: op.begin)
    return _Search(sure, _useful(unsure, sure), budget).run(initial)


def _useful(unsure: Sequence[Op], sure: Sequence[Op]) -> list[Op]:
    """Those that anybody looks at after them; another can always be left out."""
    named: dict[State, list[Op]] = defaultdict(list)
    other: list[Op] = []
    for op in (*sure, *unsure):
        if op.sees is not None and op.sees.is_other:
            other.append(op)
        elif op.sees is not None:
            for state in op.sees.states:
                named[state].append(op)

    def is_seen(op: Op) -> bool:
        return any(
            look is not op and look.end >= op.begin
            for look in (*named[op.value], *other)
        )

    return [op for op in unsure if op.writes and is_seen(op)]


#: Stands for every value that no look names.
_ANY = -1

#: A place in the search: sure operations before *base* are done, and those of *ahead*;
#: of the unsure, those of *used*; what the register holds; whether the operation that
#: comes next must look, since the last one was unsure; and the latest begin so far.
_Place = tuple[int, int, int, State, bool, float]


class _Search:
    def __init__(self, sure: list[Op], unsure: list[Op], budget: int) -> None:
        self._budget = budget
        self._best = -1
        self._best_places: list[_Place] = []
        self._known: dict[object, list[int]] = defaultdict(list)
        self._named = {
            state
            for op in (*sure, *unsure)
            if op.sees is not None
            for state in op.sees.states
        }
        # Values that no look names are all the same to every look.
        self._sure = [self._anonymous(op) for op in sure]
        self._unsure = [self._anonymous(op) for op in unsure]
        # Of the unsure that are alike, one that began earlier stands for all.
        self._twins: list[int | None] = []
        last: dict[object, int] = {}
        for index, op in enumerate(self._unsure):
            alike = (op.value, op.end, op.sees)
            self._twins.append(last.get(alike))
            last[alike] = index
        self._ends = sorted({op.end for op in unsure})
        self._latest_ends = list(accumulate((op.end for op in unsure), max))

    def run(self, initial: State) -> Failure | None:
        waiting: list[_Place] = [(0, 0, 0, initial, False, -inf)]
        while waiting:
            place = self._look(waiting.pop())
            if place[0] == len(self._sure) and not place[4]:
                return None
            waiting += [each for each in self._next(place) if self._is_new(each)]
            self._budget -= 1
            if self._budget < 0:
                raise TooHard(f"{len(self._sure)} operations")
        return self._failure()

    def _anonymous(self, op: Op) -> Op:
        if not op.writes or op.value in self._named or op.value is None:
            return op
        return evolve(op, value=_ANY)

    def _is_new(self, place: _Place) -> bool:
        """Whether none is known that is as far and has taken no more of the unsure."""
        base, ahead, used, state, must_look, _ = place
        known = self._known[base, ahead, state, must_look]
        if any(each & used == each for each in known):
            return False
        known[:] = [each for each in known if each & used != used]
        known.append(used)
        return True

    def _look(self, place: _Place) -> _Place:
        """Whatever only looks, and agrees, is done."""
        while True:
            base, ahead, used, state, _, latest = place
            for index in self._enabled(base, ahead):
                op = self._sure[index]
                if op.writes or op.sees is None or not op.sees.holds(state):
                    continue
                # Done now, it would come before what was over when it began.
                if self._is_between(latest, op.begin):
                    continue
                base, ahead = self._done(base, ahead, index)
                place = (base, ahead, used, state, False, max(latest, op.begin))
                break
            else:
                return place

    def _is_between(self, latest: float, begin: float) -> bool:
        """Whether an unsure operation that may still be taken ends before *begin*."""
        at = bisect_left(self._ends, latest)
        return at < len(self._ends) and self._ends[at] < begin

    def _enabled(self, base: int, ahead: int) -> list[int]:
        """The sure operations that may be next: nothing undone ended before them."""
        found = []
        bound = inf
        index = base
        while index < len(self._sure):
            op = self._sure[index]
            if op.begin > bound:
                break
            if not ahead >> (index - base) & 1:
                found.append(index)
                bound = min(bound, op.end)
            index += 1
        return [index for index in found if self._sure[index].begin <= bound]

    @staticmethod
    def _done(base: int, ahead: int, index: int) -> tuple[int, int]:
        ahead |= 1 << (index - base)
        while ahead & 1:
            ahead >>= 1
            base += 1
        return base, ahead

    def _next(self, place: _Place) -> list[_Place]:
        base, ahead, used, state, must_look, latest = place
        count = base + ahead.bit_count()
        if count > self._best:
            self._best, self._best_places = count, []
        if count == self._best and len(self._best_places) < 16:
            self._best_places.append(place)
        enabled = [(index, self._sure[index]) for index in self._enabled(base, ahead)]
        bound = min((op.end for _, op in enabled), default=inf)
        unsure = list(self._takeable(used, latest, bound))
        looks = [op.sees for _, op in (*enabled, *unsure) if op.sees is not None]

        def fits(op: Op) -> bool:
            if op.sees is None:
                return not must_look
            return op.sees.holds(state)

        # What is pushed last is tried first: what is sure, in the order of its end.
        found: list[_Place] = [
            (base, ahead, used | 1 << index, op.value, True, max(latest, op.begin))
            for index, op in unsure
            if fits(op) and any(look.holds(op.value) for look in looks)
        ]
        for index, op in sorted(enabled, key=lambda each: -each[1].end):
            if fits(op):
                done = self._done(base, ahead, index)
                after = op.value if op.writes else state
                found.append((*done, used, after, False, max(latest, op.begin)))
        return found

    def _takeable(
        self, used: int, latest: float, bound: float
    ) -> Iterator[tuple[int, Op]]:
        """The unsure operations that may be next."""
        start = bisect_left(self._latest_ends, latest)
        for index in range(start, len(self._unsure)):
            op = self._unsure[index]
            if op.begin > bound:
                return
            twin = self._twins[index]
            is_free = twin is None or used >> twin & 1
            if is_free and not used >> index & 1 and op.end >= latest:
                yield index, op

    def _failure(self) -> Failure:
        stuck: list[Op] = []
        for base, ahead, *_ in self._best_places:
            stuck += [self._sure[index] for index in self._enabled(base, ahead)]
        return Failure(
            tuple(dict.fromkeys(stuck)),
            tuple(dict.fromkeys(place[3] for place in self._best_places)),
            self._best,
        )
