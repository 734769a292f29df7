"""Numbers in units that people read."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count_bytes: int) -> str:
    """In a unit that people read."""
    value, unit = float(count_bytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count_bytes} bytes"


def span(seconds: float) -> str:
    """A length of time in a unit that people read."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def usage(kind: str, used: int, limit: int) -> str:
    """A month's use of a kind of ``plan.usage``, for people."""
    name, is_bytes = kind.removesuffix("_bytes"), kind.endswith("_bytes")
    if is_bytes:
        return f"{name} {size(used)} of {size(limit)}"
    return f"{name} {used} of {limit} calls"
