"""How often a test that draws at random draws."""

from __future__ import annotations

from typing import Any

import pytest


def efforts(few: int, many: int) -> Any:
    """Decorate a test that takes ``effort``: *few* draws, and *many* in test-system."""
    return pytest.mark.parametrize(
        "effort",
        [
            pytest.param(few, id="few"),
            pytest.param(many, id="many", marks=pytest.mark.system),
        ],
    )
