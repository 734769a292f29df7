"""Which backends are asked for room for a body, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from typing import Literal

from attrs import frozen

#: ``pack``: the first with room. ``spread``: the one that is filled the least.
Strategy = Literal["pack", "spread"]


class Standing(IntEnum):
    """How well a backend does; a lower one is asked first."""

    #: Nothing is known against it.
    READY = 0
    #: Its last call failed, not long ago.
    DOUBTFUL = 1
    #: It is not to be asked now.
    RESTING = 2


@frozen
class Target:
    """
    What the configuration says of a backend as a place for bytes.

    :ivar weight: One of weight 2 is filled to twice the share of one of weight 1.
    :ivar max_object_size: The largest body that goes there, in bytes; None: any.
    :ivar is_read_only: Nothing new goes there.
    """

    name: str
    weight: float = 1.0
    max_object_size: int | None = None
    is_read_only: bool = False

    def takes(self, size_bytes: int) -> bool:
        """Whether a body of that size may go there at all."""
        too_large = (
            self.max_object_size is not None and size_bytes > self.max_object_size
        )
        return not (self.is_read_only or too_large)


@frozen
class Fill:
    """
    What is on a backend.

    :ivar used_bytes: All that is charged there, in every state.
    :ivar limit_bytes: 0: no limit.
    :ivar leaving_bytes: The share of *used_bytes* that is to be deleted.
    :ivar is_draining: Nothing new goes there.
    """

    used_bytes: int = 0
    limit_bytes: int = 0
    leaving_bytes: int = 0
    is_draining: bool = False

    @property
    def staying_bytes(self) -> int:
        """What will be there when all that is to be deleted is."""
        return self.used_bytes - self.leaving_bytes


@frozen
class Placement:
    """
    :ivar order: Backends to ask for room, the best first.
    :ivar resting: Backends that might have had room, and are not to be asked now.
    :ivar spent: Likewise, and have used up what they may be used for this month.
    """

    order: tuple[str, ...]
    resting: tuple[str, ...] = ()
    spent: tuple[str, ...] = ()


def place(
    targets: Sequence[Target],
    size_bytes: int,
    *,
    strategy: Strategy,
    fills: Mapping[str, Fill],
    standing: Callable[[str], Standing],
    without: Collection[str] = (),
    spent: Collection[str] = (),
) -> Placement:
    """
    Order the backends that may take a body of *size_bytes*.

    What is said of fills may be a little old: whether there is room is decided by the
    claim, in the ledger.

    :param targets: In order of preference.
    :param without: Names that are not asked, whatever their standing.
    :param spent: Likewise, for their budget is used up.
    """
    able = [each for each in targets if each.takes(size_bytes)]
    taking = [
        each for each in able if each.name not in without and each.name not in spent
    ]
    if strategy == "spread":
        filled = ratios(targets, fills)
        taking.sort(key=lambda each: filled[each.name])
    standings = {each.name: standing(each.name) for each in taking}
    taking.sort(key=lambda each: standings[each.name])
    return Placement(
        tuple(each.name for each in taking if standings[each.name] < Standing.RESTING),
        tuple(each.name for each in taking if standings[each.name] == Standing.RESTING),
        tuple(each.name for each in able if each.name in spent),
    )


def ratios(targets: Sequence[Target], fills: Mapping[str, Fill]) -> dict[str, float]:
    """
    How full each backend is, by its weight: used bytes that stay, to capacity.

    :returns: 1.0 is full for one of weight 1.
    """
    sizes = capacities(targets, fills)
    return {
        each.name: fills.get(each.name, Fill()).staying_bytes / sizes[each.name]
        for each in targets
    }


def capacities(
    targets: Sequence[Target], fills: Mapping[str, Fill]
) -> dict[str, float]:
    """
    What fills each backend, in bytes times its weight.

    One without a limit counts like the largest that has one, so that the others are
    not left empty beside it; where none has, each is as large as all that is stored.
    """
    known = {each.name: fills.get(each.name, Fill()) for each in targets}
    largest = max((fill.limit_bytes for fill in known.values()), default=0)
    if not largest:
        largest = sum(fill.staying_bytes for fill in known.values()) or 1
    return {
        each.name: (known[each.name].limit_bytes or largest) * each.weight
        for each in targets
    }
