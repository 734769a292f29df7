"""Names for requests, which an answer and the log share."""

from __future__ import annotations

import secrets


def request_id() -> str:
    """Make a value of ``x-amz-request-id``: 16 upper-case hex digits."""
    return secrets.token_hex(8).upper()
