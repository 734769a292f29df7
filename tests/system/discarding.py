"""
An S3 server that throws bodies away and makes answers up.

A child process, so that neither the daemon nor the test pays for it. It remembers sizes
and nothing else; its ETag is no MD5, so that nobody compares it with one.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from types import TracebackType
from typing import Self
from urllib.parse import unquote
from xml.sax.saxutils import escape

from s3proxy.config import BackendConfig

ETAG = '"thrown-away"'
_CHUNK = bytes(range(256)) * 1024
_READ = bytearray(1024 * 1024)
_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.BufferedProtocol):
    """One client, whose requests come one after the other."""

    transport: asyncio.Transport

    def __init__(self, sizes: dict[str, int]) -> None:
        self._sizes = sizes
        self._head = b""
        self._key = ""
        self._length = 0
        self._missing = 0
        self._to_send = 0
        self._can_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        # One for all: what is in it has been looked at before the next read.
        return _READ

    def buffer_updated(self, nbytes: int) -> None:
        if self._missing >= nbytes:
            self._missing -= nbytes
            if not self._missing:
                self._stored()
            return
        data, self._missing = bytes(_READ[self._missing : nbytes]), 0
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            return
        head, rest = self._head[:end], self._head[end + len(_HEAD_END) :]
        self._head = b""
        self._begin(head.decode("latin-1"), len(rest))

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._go_on()

    def _begin(self, head: str, already: int) -> None:
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        path, _, query = target.partition("?")
        key = unquote(path).removeprefix("/bucket").removeprefix("/")
        if method == "PUT":
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            assert length is not None
            self._key, self._length = key, int(length[1])
            self._missing = self._length - already
            if not self._missing:
                self._stored()
        elif not key:
            self._answer(self._listing() if "list-type" in query else b"<Nothing/>")
        elif method == "DELETE":
            self._sizes.pop(key, None)
            self._send_head(204, 0)
        elif key not in self._sizes:
            self._answer(b"<Error><Code>NoSuchKey</Code></Error>", 404)
        else:
            self._send_head(200, self._sizes[key])
            if method == "GET":
                self._to_send = self._sizes[key]
                self._go_on()

    def _stored(self) -> None:
        self._sizes[self._key] = self._length
        self._send_head(200, 0)

    def _go_on(self) -> None:
        while self._to_send and self._can_write and not self.transport.is_closing():
            size = min(self._to_send, len(_CHUNK))
            self._to_send -= size
            self.transport.write(_CHUNK[:size] if size < len(_CHUNK) else _CHUNK)

    def _listing(self) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><ETag>{ETAG}</ETag>"
            f"<Size>{size}</Size></Contents>"
            for key, size in self._sizes.items()
        )
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        ).encode()

    def _answer(self, body: bytes, status: int = 200) -> None:
        self._send_head(status, len(body))
        self.transport.write(body)

    def _send_head(self, status: int, length: int) -> None:
        self.transport.write(
            f"HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n"
            f"ETag: {ETAG}\r\n\r\n".encode()
        )


class DiscardingServer:
    """The server as a child process, on a free port of loopback."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", __name__],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT make a server that does not read."""
        assert self._process is not None
        self._process.send_signal(number)

    def config(self, name: str = "discarding") -> BackendConfig:
        """A backend without a limit."""
        return BackendConfig(
            name=name,
            endpoint=f"http://127.0.0.1:{self._port}",
            region="us-east-1",
            bucket="bucket",
            access_key_id="key",
            secret_access_key="secret",
            force_path_style=True,
            quota_bytes=0,
        )


async def serve() -> None:
    """Listen, tell where on standard output, and serve for ever."""
    sizes: dict[str, int] = {}
    listening = socket.socket()
    # Or the kernel reads up to 32 MiB of each upload while this process is stopped.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(sizes), sock=listening, backlog=500
    )
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
