"""
What may go wrong with a request to a backend, by its kind:

============  ==========================================================================
error         500 or 503 with an S3 error document; the server hears nothing
hang_before   the head is taken, the body is not; silence, then a reset
hang_after    the server does it; silence instead of the answer, then a reset
reset         half of the body reaches the server, then both connections are reset
lost          the server does it; a reset instead of the answer
cut           the answer's head and half of its body pass, then a reset
short         a smaller Content-Length, and no more than that of the body
long          a larger Content-Length, and the end where the body ends
late          a reset; the request reaches the server when *seconds* are over
missing       404 NoSuchKey; the server hears nothing
drip          the answer's body comes in small pieces, *seconds* in all
skewed        403 RequestTimeTooSkewed, dated 20 minutes ahead
clock         the answer's Date is 20 minutes ahead
============  ==========================================================================
"""

from __future__ import annotations

from datetime import timedelta
from random import Random

from attrs import define

from chaos.http_messages import Head

KINDS = (
    "error",
    "hang_before",
    "hang_after",
    "reset",
    "lost",
    "cut",
    "short",
    "long",
    "late",
    "missing",
    "drip",
    "skewed",
    "clock",
)

#: Kinds that would make the server a liar about what it was told to delete or stored,
#: which no client of it could survive, are kept to these methods.
METHODS: dict[str, frozenset[str]] = {
    "late": frozenset({"PUT", "DELETE"}),
    "missing": frozenset({"GET", "HEAD"}),
    "cut": frozenset({"GET"}),
    "short": frozenset({"GET"}),
    "long": frozenset({"GET"}),
    "drip": frozenset({"GET"}),
}

OFF_BY = timedelta(minutes=20)


@define(eq=False)
class Rule:
    """
    What is to go wrong.

    :ivar methods: Of which requests; none for all that the kind may meet.
    :ivar share: Of these requests, from 0 to 1.
    :ivar seconds: How long a silence, a delay or a drip is.
    :ivar left: So many more times; None for as long as the rule is there.
    """

    kind: str
    methods: frozenset[str] = frozenset()
    share: float = 1.0
    seconds: float = 1.0
    left: int | None = None

    def __attrs_post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def meets(self, head: Head, random: Random) -> bool:
        """Whether this request is broken; counts it."""
        allowed = METHODS.get(self.kind)
        if self.left == 0 or (allowed is not None and head.method not in allowed):
            return False
        if "?" in head.target and self.kind in METHODS:
            # Listings and the like are no reads of a key.
            return False
        if self.methods and head.method not in self.methods:
            return False
        if random.random() >= self.share:
            return False
        if self.left is not None:
            self.left -= 1
        return True
