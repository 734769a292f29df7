"""
Free TCP ports on loopback.

They lie below the range that the system takes for outgoing connections, so a port that
is free stays so over a restart, and no connection attempt meets itself.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack

from s3proxy.embedded.commandlines import WeedPorts
from s3proxy.embedded.errors import EmbeddedError

FIRST_PORT, LAST_PORT = 12_000, 21_999
#: Whatever it is told, SeaweedFS's worker looks for its admin server here above the
#: admin server's plain port.
ADMIN_GRPC_DISTANCE = 10_000
TRIES = 100


def free_ports(count: int) -> list[int]:
    """
    *count* different ports that nobody listens on now.

    Another process may take one before it is used: who uses them must try again.

    :raises EmbeddedError: They are not found.
    """
    for _attempt in range(TRIES):
        ports = random.sample(range(FIRST_PORT, LAST_PORT + 1), count)
        if all_free(ports):
            return ports
    raise EmbeddedError(f"no {count} free ports on 127.0.0.1 for embedded servers")


def free_weed_ports() -> WeedPorts:
    """
    As :func:`free_ports`, for one ``weed mini``.

    :raises EmbeddedError: They are not found.
    """
    for _attempt in range(TRIES):
        ports = free_ports(9)
        ports.append(ports[-1] + ADMIN_GRPC_DISTANCE)
        if all_free(ports):
            return WeedPorts(*ports)
    raise EmbeddedError("no free ports on 127.0.0.1 for the embedded S3 server")


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
