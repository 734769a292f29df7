"""SIGTERM: what is under way comes to its end, and nothing new begins."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import Daemon
from tests.system.wire import Client, make_body, md5, open_get, open_put, poll

MIB = 1024 * 1024
MakeBackend = Callable[..., BackendConfig]


def refuses(port: int) -> bool:
    """Whether new connections are refused."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    pieces = []
    while data := connection.recv(65536):
        pieces.append(data)
    return b"".join(pieces)


def test_sigterm_lets_requests_finish(
    database: DatabaseConfig, backend_config: MakeBackend
) -> None:
    """An upload gets its 200, a download all its bytes; idle connections are closed."""
    old, new = make_body(1, 4 * MIB), make_body(2, 3 * MIB)
    with Daemon(database, [backend_config()]) as daemon:
        with Client(daemon.port) as client:
            assert client.put("old", old).status == 200
            idle = client.connection.sock
            upload = open_put(daemon.port, "new", len(new), is_begun=True)
            upload.sendall(new[: 2 * MIB])
            # A large part of it is still at the daemon or behind it.
            download = open_get(daemon.port, "old")
            head = download.recv(1000)
            assert head.startswith(b"HTTP/1.1 200 ")
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            idle.settimeout(20)
            assert idle.recv(1) == b""
            poll(lambda: refuses(daemon.port), "new connections are refused")
        whole = head + read_to_end(download)
        assert whole.partition(b"\r\n\r\n")[2] == old
        assert daemon.process is not None
        assert daemon.process.poll() is None
        upload.sendall(new[2 * MIB :])
        answer = read_to_end(upload)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"\r\nconnection: close\r\n" in answer.lower()
        upload.close()
        download.close()
        assert daemon.wait(20) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 25
        daemon.start()
        with Client(daemon.port) as client:
            assert client.get("new").body == new
            assert client.keys()["new"] == (md5(new), len(new))
        daemon.wait_clean()


def test_sigterm_breaks_off_what_takes_too_long(
    database: DatabaseConfig, backend_config: MakeBackend
) -> None:
    """After the limit the process ends all the same, and leaves nothing behind."""
    with Daemon(
        database, [backend_config()], module="tests.system.short_drain"
    ) as daemon:
        with Client(daemon.port) as client:
            assert client.put("k", b"old").status == 200
        with open_put(daemon.port, "k", 3 * MIB, is_begun=True) as upload:
            upload.sendall(make_body(1, 2 * MIB))
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            assert daemon.wait(20) in (0, -signal.SIGTERM)
            assert 1 <= time.monotonic() - began < 10
        daemon.start()
        with Client(daemon.port) as client:
            assert client.get("k").body == b"old"
        daemon.wait_clean()
