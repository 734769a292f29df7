"""The front door of tests/web, with one object in it."""

from __future__ import annotations

import pytest

from tests.security.sending import AUTH, Front
from tests.web.conftest import MakeDoor, authority, logged, make_door, tls_by

__all__ = ["authority", "front", "logged", "make_door", "make_front", "tls_by"]


@pytest.fixture
def make_front(make_door: MakeDoor):  # type: ignore[no-untyped-def]
    """``make_front(**options of make_door)``"""

    def make(**options: object) -> Front:
        door = make_door(**{"auth": AUTH, **options})
        return Front(door)

    return make


@pytest.fixture
def front(make_front) -> Front:  # type: ignore[no-untyped-def]
    """Signatures count, and nothing else."""
    made: Front = make_front()
    return made
