"""Continuation tokens: every place comes back, nothing else is taken."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import InvalidArgument
from s3proxy.s3 import tokens
from tests import strategies


@given(strategies.texts(max_size=100))
def test_any_place_round_trips(after: str) -> None:
    """And the token needs no escaping, in a URL or in XML."""
    token = tokens.encode(after)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert tokens.decode(token) == after


@given(strategies.texts(), st.integers(0, 1000), st.integers(0, 6))
def test_a_changed_token_is_refused(after: str, position: int, bit: int) -> None:
    """One flipped bit is enough."""
    raw = bytearray(tokens.encode(after).encode())
    raw[position % len(raw)] ^= 1 << bit
    with pytest.raises(InvalidArgument):
        tokens.decode(raw.decode("latin-1"))


@given(st.text(max_size=40) | st.binary(max_size=30).map(base64.urlsafe_b64encode))
def test_what_is_no_token_is_refused(token: str | bytes) -> None:
    """Whatever is sent, it is InvalidArgument (400)."""
    text = token.decode() if isinstance(token, bytes) else token
    with pytest.raises(InvalidArgument) as raised:
        tokens.decode(text)
    assert raised.value.fields == {"ArgumentName": "continuation-token"}


def test_a_token_has_one_form() -> None:
    """Unused bits of its last character must be as written, and no padding."""
    token = tokens.encode("ab")
    following = {"A": "B", "Q": "R", "g": "h", "w": "x"}[token[-1]]
    for changed in (token[:-1] + following, token + "==", f" {token}", f"{token}\n"):
        with pytest.raises(InvalidArgument):
            tokens.decode(changed)


def test_no_token_brings_a_nul() -> None:
    """What a target may not hold, a token may not either: the ledger takes no NUL."""
    with pytest.raises(InvalidArgument):
        tokens.decode(tokens.encode("a\0b"))
