"""What a backend's calls take of its budget for a month."""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

from attrs import frozen

#: Class A: PUT, COPY, POST, LIST. Class B: GET, HEAD. Egress is what comes from the
#: backend, ingress what goes to it. A DELETE is of no class.
Kind = Literal["class_a", "class_b", "egress_bytes", "ingress_bytes"]

KINDS: Final[tuple[Kind, ...]] = (
    "class_a",
    "class_b",
    "egress_bytes",
    "ingress_bytes",
)

#: Asked of the database ahead, at the most: so much a killed process may leave counted
#: and not used. Near the end of a budget it is less.
BATCHES: Final[dict[Kind, int]] = {
    "class_a": 100,
    "class_b": 100,
    "egress_bytes": 32 * 1024 * 1024,
    "ingress_bytes": 32 * 1024 * 1024,
}


@frozen
class Grant:
    """
    What the database has reserved for a process.

    :ivar granted: At least what was asked for, or 0: there is not so much left.
    :ivar room: What nobody has reserved after this.
    :ivar month: Whose budget it is of: the first day, in UTC.
    :ivar seconds: Until that month ends.
    """

    granted: int
    room: int
    month: date
    seconds: float


@frozen
class Used:
    """
    :ivar amount: Of this month: used, or reserved by a process that runs.
    """

    backend: str
    kind: Kind
    amount: int


def class_of(method: bytes, target: bytes) -> Kind | None:
    """
    Of which class a request is.

    :param target: Path and query, as sent.
    :returns: None: it costs nothing.
    """
    if method == b"DELETE":
        return None
    if method in (b"PUT", b"POST"):
        return "class_a"
    if method == b"GET" and b"list-type=" in target.partition(b"?")[2]:
        return "class_a"
    return "class_b"
