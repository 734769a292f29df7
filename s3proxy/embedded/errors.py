"""The one error of this room."""

from __future__ import annotations


class EmbeddedError(Exception):
    """
    An embedded server cannot be started.

    The text says what is wrong, where, and what mends it; a person reads it.
    """
