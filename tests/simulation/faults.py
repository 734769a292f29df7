"""How calls fail, and how often, as the weather changes."""

from __future__ import annotations

from enum import Enum
from random import Random

from attrs import define


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


@define
class Weather:
    """:ivar ledger: Of calls of the ledger, how many fail; *backends* likewise."""

    ledger: float = 0.0
    backends: float = 0.0

    def change(self, random: Random) -> str:
        """For a while it is so."""
        self.ledger = random.choice((0.0, 0.0, 0.02, 0.1, 0.4))
        self.backends = random.choice((0.0, 0.02, 0.1, 0.4))
        return f"weather: ledger {self.ledger}, backends {self.backends}"

    def calm(self) -> None:
        """Nothing fails any more."""
        self.ledger = self.backends = 0.0

    def of_ledger(self, random: Random) -> Fate:
        """Of one call."""
        if random.random() >= self.ledger:
            return Fate.DONE
        return random.choice(FAILURES)

    def of_backend(self, random: Random, *, is_put: bool = False) -> Fate:
        """Of one call."""
        if random.random() >= self.backends:
            return Fate.DONE
        return random.choice((*FAILURES, Fate.CORRUPT) if is_put else FAILURES)
