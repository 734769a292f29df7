"""Free TCP ports on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """
    *count* different ports that nobody listens on now.

    Another process may take one before it is used: who uses them must try again.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def all_free(ports: Iterable[int]) -> bool:
    """Whether a server could listen on every one of *ports* now."""
    with ExitStack() as held:
        for port in ports:
            each = held.enter_context(socket.socket())
            # As servers do: connections of before in TIME_WAIT do not count.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True
