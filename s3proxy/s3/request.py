"""A request before it is an operation."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from s3proxy.model import WriteConditions
from s3proxy.s3.conditions import parse_etags


@frozen
class Request:
    """
    A request of which is known what kind of operation it asks for.

    :ivar query: Parameters by name, decoded.
    :ivar headers: By lower-case name, repeats joined.
    """

    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def write_conditions(self) -> WriteConditions:
        """``If-Match`` and ``If-None-Match`` of a write."""
        return WriteConditions(
            parse_etags(self.headers.get("if-match")),
            parse_etags(self.headers.get("if-none-match")),
        )
