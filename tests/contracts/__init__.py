"""What a port promises, as tests that every implementation of it passes."""

import pytest

pytest.register_assert_rewrite("tests.contracts.backend")
