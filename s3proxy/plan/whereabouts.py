"""Where an object's copies are, and what is left of it when a backend dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from attrs import define, field, frozen


@frozen
class CopyAt:
    """
    A copy's row.

    :ivar state: ``claimed``, ``live``, ``garbage`` or ``abandoned``; only what is live
        is read.
    """

    backend: str
    backend_key: str
    size_bytes: int
    state: str
    is_adopted: bool = False


@frozen
class PartAt:
    """A part, and its copies in any state."""

    part_number: int
    offset_bytes: int
    size_bytes: int
    copies: tuple[CopyAt, ...]

    def readable_on(self, configured: Collection[str]) -> set[str]:
        """The backends from which it can be read."""
        return {
            each.backend
            for each in self.copies
            if each.state == "live" and each.backend in configured
        }


@define
class Toll:
    """
    What the death of each backend would cost an object, from its parts one by one.

    :ivar configured: The backends that can be read from.
    :ivar parts: How many parts were added; *size_bytes* of them.
    :ivar lost_parts: By backend: parts of which it has the only copy; *lost_bytes* of
        them.
    :ivar gone_parts: Parts that cannot be read now; *gone_bytes* of them.
    """

    configured: Collection[str]
    parts: int = 0
    size_bytes: int = 0
    lost_parts: Counter[str] = field(factory=Counter)
    lost_bytes: Counter[str] = field(factory=Counter)
    gone_parts: int = 0
    gone_bytes: int = 0

    def add(self, part: PartAt) -> None:
        """One more part of the object."""
        self.parts += 1
        self.size_bytes += part.size_bytes
        holders = part.readable_on(self.configured)
        if not holders:
            self.gone_parts += 1
            self.gone_bytes += part.size_bytes
        elif len(holders) == 1:
            (only,) = holders
            self.lost_parts[only] += 1
            self.lost_bytes[only] += part.size_bytes


@define
class Losses:
    """
    What would be left of many objects; pages of them add up.

    :ivar objects: All; *size_bytes* of them.
    :ivar whole_objects: Those that can be read whole.
    :ivar readable_bytes: Of parts that can be read, also of objects that have lost
        others.
    :ivar lost_objects: Those of which some part is gone; *lost_bytes* of such parts.
    :ivar gone_objects: The share of *lost_objects* that is so now already.
    :ivar few_objects: Whole ones with parts of fewer copies than wanted; *few_bytes* of
        such parts.
    :ivar bare_objects: Whole ones that lose their manifest copy.
    """

    objects: int = 0
    size_bytes: int = 0
    whole_objects: int = 0
    readable_bytes: int = 0
    lost_objects: int = 0
    lost_bytes: int = 0
    gone_objects: int = 0
    few_objects: int = 0
    few_bytes: int = 0
    bare_objects: int = 0

    def add(self, other: Losses) -> None:
        """Add those of another page."""
        self.objects += other.objects
        self.size_bytes += other.size_bytes
        self.whole_objects += other.whole_objects
        self.readable_bytes += other.readable_bytes
        self.lost_objects += other.lost_objects
        self.lost_bytes += other.lost_bytes
        self.gone_objects += other.gone_objects
        self.few_objects += other.few_objects
        self.few_bytes += other.few_bytes
        self.bare_objects += other.bare_objects
