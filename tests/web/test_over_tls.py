"""
The front door through TLS: what holds on a plain connection holds here too.

The tests are those of the other modules, with doors and clients that speak TLS.
"""

from __future__ import annotations

import pytest

from tests.certificates import Authority
from tests.web.test_channel import (  # noqa: F401
    TestBackPressure,
    TestClientGone,
    TestContinue,
    TestEarlyAnswer,
    TestKeepAlive,
    TestRefusals,
    TestSlowBody,
)
from tests.web.test_drain import (  # noqa: F401
    test_after_the_limit_the_rest_is_broken_off,
    test_an_answer_that_is_still_being_taken_is_taken,
    test_idle_connections_are_closed_now,
    test_requests_at_work_end_and_close_their_connections,
)
from tests.web.test_relay import (  # noqa: F401
    test_a_client_that_leaves_during_a_read,
    test_a_client_that_leaves_while_paused,
    test_a_client_that_stalls_is_cut_off,
    test_a_failure_on_the_way_breaks_the_connection,
    test_a_slow_client_slows_the_reader,
    test_every_size_of_piece_comes_through,
)


@pytest.fixture
def tls_by(authority: Authority) -> Authority:
    """Doors speak TLS."""
    return authority
