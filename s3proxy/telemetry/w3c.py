"""``traceparent``: how one process tells the next which trace a request is part of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

_FORM = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)


@frozen
class TraceParent:
    """
    :ivar flags: Bit 0: the caller records this trace.
    """

    trace_id: int
    span_id: int
    flags: int

    @property
    def trace_id_hex(self) -> str:
        """As it is written."""
        return f"{self.trace_id:032x}"

    def render(self) -> bytes:
        """The header's value."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}".encode()


def parse(values: Sequence[bytes]) -> TraceParent | None:
    """
    What a request's headers say; None = nothing, and a new trace begins.

    Whatever is not exactly as W3C's Trace Context has it counts as nothing, and so do
    two of them. Later versions may say more behind the four fields.

    :param values: Of every ``traceparent`` header.
    """
    found = _FORM.fullmatch(values[0].strip(b" \t")) if len(values) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    parent = TraceParent(int(trace_id, 16), int(span_id, 16), int(flags, 16) & 1)
    return parent if parent.trace_id and parent.span_id else None
