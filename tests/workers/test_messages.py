"""s3proxy.workers.messages: whatever the cuts of a pipe, what was told arrives."""

from __future__ import annotations

import io
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy.workers.messages import (
    Act,
    Acted,
    Answer,
    Drop,
    Lines,
    Order,
    Orders,
    Prepare,
    Prepared,
    Ready,
    Socket,
    Start,
    Stop,
    answer_line,
    pack,
    read_answer,
    read_first,
)
from s3proxy.workers.shares import share_of
from tests.config_documents import BACKEND, DATABASE, read

CONFIG = read(
    {
        "server": {"trusted_proxies": ["10.0.0.0/8"], "workers": 3},
        "auth": {"token": "canary"},
        "credentials": [
            {
                "access_key_id": "alice",
                "secret_access_key": "of alice",
                "buckets": {"photos": {"mode": "ro", "prefix": "a/"}},
            }
        ],
        "database": DATABASE,
        "backends": [BACKEND],
    }
)
START = Start(
    2,
    CONFIG,
    frozenset({"b"}),
    {"server.listen_addr": Socket(6, int(socket.AF_INET6))},
    5,
)
ORDERS: list[Order] = [START, Prepare(1, CONFIG), Act(1), Drop(2), Stop()]


@settings(max_examples=30)
@given(st.data())
def test_no_cut_changes_the_orders(data: st.DataObject) -> None:
    """A configuration comes out as it went in, secrets, networks and grants too."""
    stream = b"".join(map(pack, ORDERS))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    orders, found = Orders(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += orders.feed(stream[start:end])
    assert found == ORDERS


def test_the_first_order_is_waited_for() -> None:
    assert read_first(io.BytesIO(pack(START) + pack(Stop())).read) == START
    for end in (0, 3, 4, 50):
        assert read_first(io.BytesIO(pack(START)[:end]).read) is None


@pytest.mark.parametrize(
    "answer",
    [
        Ready(("auth", "server.tls")),
        Prepared(7, ()),
        Prepared(8, ("a", "ü")),
        Acted(7),
    ],
)
def test_answers(answer: Answer) -> None:
    line = answer_line(answer)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert read_answer(line) == answer


@pytest.mark.parametrize("line", [b"", b"[]", b'{"prepared": "x"}', b"\xff", b"{}"])
def test_what_is_no_answer(line: bytes) -> None:
    with pytest.raises(ValueError):
        read_answer(line)


@settings(max_examples=50)
@given(st.binary(), st.lists(st.integers(0, 100), max_size=5))
def test_no_cut_changes_the_lines(text: bytes, cuts: list[int]) -> None:
    lines, found = Lines(), []
    cuts = sorted(min(cut, len(text)) for cut in cuts)
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += lines.feed(text[start:end])
    assert [*found, lines.rest()] == text.split(b"\n")


def test_a_line_without_an_end_is_not_kept() -> None:
    lines = Lines(10)
    assert lines.feed(b"0123456789") == []
    assert lines.feed(b"a") == [b"0123456789a"]
    assert lines.feed(b"b\n") == [b"b"]


def test_shares() -> None:
    """Together no less than the whole, and at most one more for each; nobody has 0."""
    config = read({"server": {"workers": 3, "max_requests": 1, "max_connections": 10}})
    server = share_of(config, 3).server
    assert (server.max_requests, server.max_connections) == (1, 4)
    assert server.max_connections_per_ip == 334
    assert server.max_buffer_bytes * 3 >= config.server.max_buffer_bytes
    assert share_of(config, 1) == config
    assert share_of(config, 3).rate_limit == config.rate_limit
