"""How calls fail, and how often, as the weather changes."""

from __future__ import annotations

from enum import Enum
from random import Random

from attrs import define, frozen


class Fate(Enum):
    """What becomes of one call."""

    DONE = "done"
    #: Nothing happens, and the caller is told so.
    REFUSED = "refused"
    #: Nothing happens, and the caller does not know.
    LOST = "request lost"
    #: It happens; the caller does not know.
    NO_ANSWER = "answer lost"
    #: It happens after the caller has given it up.
    LATE = "late"
    #: The caller waits for long; nothing happens, or it does.
    HANGS = "hangs"
    HANGS_DONE = "hangs, done"
    #: A backend stores something else than was sent, and says so by its ETag.
    CORRUPT = "corrupt"


FAILURES = (
    Fate.REFUSED,
    Fate.LOST,
    Fate.NO_ANSWER,
    Fate.NO_ANSWER,
    Fate.LATE,
    Fate.HANGS,
    Fate.HANGS_DONE,
)


@frozen
class Temper:
    """
    What a schedule is made of, of which each has its own: many faults of one kind find
    more than a few of all (Groce et al., swarm testing, 2012).

    :ivar keys: How many there are.
    :ivar begins: How often, of all turns, an operation begins, and so on.
    :ivar ledger: How many calls of the ledger may fail at the worst; *commits* and
        *backends* likewise.
    :ivar slow: How many steps all others overtake.
    """

    keys: int
    begins: float
    passes: float
    jumps: float
    kills: float
    pauses: float
    changes: float
    drains: float
    ledger: float
    commits: float
    backends: float
    slow: float

    @classmethod
    def of(cls, random: Random) -> Temper:
        """As the seed has it."""
        return cls(
            random.choice((1, 1, 2, 3)),
            random.choice((0.1, 0.2)),
            random.choice((0.01, 0.03, 0.08)),
            random.choice((0.0, 0.003, 0.01)),
            random.choice((0.0, 0.002, 0.01)),
            random.choice((0.0, 0.005, 0.02)),
            0.02,
            random.choice((0.0, 0.0, 0.01)),
            random.choice((0.0, 0.0, 0.1, 0.3)),
            random.choice((0.0, 0.1, 0.5)),
            random.choice((0.0, 0.1, 0.4)),
            random.choice((0.0, 0.1, 0.3)),
        )


@define
class Weather:
    """:ivar ledger: How many of its calls fail now; *commits* of them, *backends*."""

    ledger: float = 0.0
    commits: float = 0.0
    backends: float = 0.0

    def change(self, random: Random, temper: Temper) -> str:
        """For a while it is so."""
        self.ledger = random.choice((0.0, 0.5, 1.0)) * temper.ledger
        self.commits = random.choice((0.0, 1.0)) * temper.commits
        self.backends = random.choice((0.0, 0.5, 1.0)) * temper.backends
        return f"weather: {self}"

    def calm(self) -> None:
        """Nothing fails any more."""
        self.ledger = self.commits = self.backends = 0.0

    def of_ledger(self, random: Random, *, is_commit: bool) -> Fate:
        """Of one call; commits are the ones that matter."""
        share = self.commits if is_commit else self.ledger
        return random.choice(FAILURES) if random.random() < share else Fate.DONE

    def of_backend(self, random: Random, *, is_put: bool = False) -> Fate:
        """Of one call."""
        if random.random() >= self.backends:
            return Fate.DONE
        return random.choice((*FAILURES, Fate.CORRUPT) if is_put else FAILURES)
