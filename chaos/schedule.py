"""
What goes wrong, and in which order: all of it follows from the seed.

Lanes run beside each other: what happens to each daemon, to the database, and to
backends. Within a lane one fault follows the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal

from attrs import frozen

from chaos.http_rules import KINDS
from chaos.postgres_faults import FATES

Realm = Literal["daemon", "database", "backends"]

#: What a lane is of, and its number among such: of daemons, the daemon's.
Lane = tuple[Realm, int]
LANES: tuple[Lane, ...] = (
    ("daemon", 0),
    ("daemon", 1),
    ("database", 0),
    ("backends", 0),
    ("backends", 1),
)

#: Points at which daemons die or stop: those that this load comes by.
POINTS = (
    "claim.before",
    "claim.after",
    "claim.sent",
    "open_put.after",
    "write.after",
    "finish.before",
    "finish.after",
    "commit.before",
    "commit.sent",
    "commit.after",
    "answer.before",
    "settle.before",
    "release.before",
    "abandon.before",
    "delete.sent",
    "delete.after",
    "claim_part.after",
    "commit_part.before",
    "commit_part.sent",
    "complete.before",
    "complete.sent",
    "complete.after",
    "copy.before",
    "copy.after",
    "manifest_take.after",
    "manifest_claim.after",
    "manifest_commit.sent",
    "manifest_commit.after",
    "reap.after",
    "collect.after",
    "backend_delete.before",
    "backend_delete.after",
    "collected.before",
    "collected.sent",
    "collected.after",
)

#: How often each fault of a lane is chosen.
WEIGHTS: dict[Realm, dict[str, int]] = {
    "daemon": {
        "kill": 12,
        "kill_point": 20,
        "kill_all": 1,
        # Each of them silences a daemon for longer than all others do.
        "stop": 1,
        "stop_point": 2,
    },
    "database": {
        **{f"commit_{fate}": 5 for fate in FATES},
        "sessions_cut": 4,
        "postgres_kill": 2,
        "postgres_restart": 2,
        "postgres_failover": 2,
    },
    # What lands late is what the second delete is for, and nothing else meets it.
    "backends": {f"backend_{kind}": 3 if kind == "late" else 1 for kind in KINDS},
}

#: The quiet between two faults of a lane, in seconds.
GAPS: dict[Realm, tuple[float, float]] = {
    "daemon": (0.1, 1.5),
    "database": (1.0, 4.0),
    "backends": (0.2, 1.5),
}

#: And the work that is to be done meanwhile: a kill of what does nothing tells nothing.
ANSWERS: dict[Realm, tuple[int, int]] = {
    "daemon": (5, 120),
    "database": (50, 250),
    "backends": (0, 30),
}


@frozen
class Fault:
    """
    One thing that goes wrong.

    :ivar gap: Seconds to wait before it,
    :ivar answers: and until clients have had so many more answers.
    :ivar target: Which backend: a number to be taken modulo their number.
    :ivar seconds: How long it lasts.
    :ivar share: Of the requests that it meets.
    :ivar point: Where a daemon dies or stops.
    :ivar delay: Of one request, in seconds.
    """

    name: str
    gap: float
    answers: int
    target: int
    seconds: float
    share: float
    point: str = ""
    delay: float = 0.0


def faults(seed: int, lane: Lane) -> Iterator[Fault]:
    """Those of one lane, without end."""
    realm, number = lane
    random = Random(f"{seed}/{realm}/{number}")
    names, weights = list(WEIGHTS[realm]), list(WEIGHTS[realm].values())
    while True:
        name = random.choices(names, weights)[0]
        yield Fault(
            name,
            gap=random.uniform(*GAPS[realm]),
            answers=random.randint(*ANSWERS[realm]),
            target=random.randrange(1 << 16),
            seconds=random.uniform(1.0, 4.0),
            share=random.choice((0.1, 0.3, 0.6, 1.0)),
            point=random.choice(POINTS) if name.endswith("_point") else "",
            # Less than ledger.late, which is what late requests are promised.
            delay=random.uniform(0.2, 3.0),
        )
