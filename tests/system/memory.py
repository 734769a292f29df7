"""What a process holds, and transfers that the one who makes them does not hold."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.system.wire import open_get, open_put

MIB = 1024 * 1024
_BLOCK = bytes(range(256)) * 4096


def resident_bytes(pid: int) -> int:
    """What the process holds now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that it has held since its start or :func:`forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let :func:`peak_bytes` begin again from now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def upload(port: int, key: str, size: int) -> str:
    """
    PUT *size* bytes.

    :returns: The status line.
    """
    with open_put(port, key, size) as connection:
        connection.settimeout(600)
        for start in range(0, size, len(_BLOCK)):
            connection.sendall(_BLOCK[: size - start])
        return _status_line(connection.recv(65536))


def download(port: int, key: str) -> tuple[str, int]:
    """
    GET, and throw away.

    :returns: The status line, and how many bytes came after the headers.
    """
    with open_get(port, key) as connection:
        connection.settimeout(600)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, head
        count = len(head.partition(b"\r\n\r\n")[2])
        buffer = bytearray(MIB)
        while count < int(length[1]):
            got = connection.recv_into(buffer)
            if not got:
                break
            count += got
        return _status_line(head), count


def upload_many(port: int, count: int, size: int) -> None:
    """*count* uploads at once; each must succeed."""
    with ThreadPoolExecutor(count) as threads:
        answers = threads.map(lambda n: upload(port, f"big-{n}", size), range(count))
        assert set(answers) == {"HTTP/1.1 200 OK"}


def download_many(port: int, count: int, size: int) -> None:
    """Downloads of what :func:`upload_many` stored, at once; each must be whole."""
    with ThreadPoolExecutor(count) as threads:
        answers = threads.map(lambda n: download(port, f"big-{n}"), range(count))
        assert set(answers) == {("HTTP/1.1 200 OK", size)}


def stalled_download(port: int, key: str) -> socket.socket:
    """A client that reads the first bytes of an answer and then nothing."""
    connection = open_get(port, key, buffer_bytes=64 * 1024)
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def send_all_it_takes(connection: socket.socket, size: int) -> int:
    """
    Send up to *size* bytes until nobody takes more for half a second.

    :returns: How many were taken.
    """
    connection.settimeout(0.5)
    sent = 0
    with suppress(TimeoutError):
        while sent < size:
            sent += connection.send(_BLOCK[: size - sent])
    return sent


def wait_idle(pid: int) -> None:
    """Wait until a process has done nothing for a while."""
    deadline = time.monotonic() + 30
    ticks, since = _ticks(pid), time.monotonic()
    while time.monotonic() - since < 0.3:
        assert time.monotonic() < deadline, "it is never idle"
        time.sleep(0.02)
        if _ticks(pid) != ticks:
            ticks, since = _ticks(pid), time.monotonic()


def _ticks(pid: int) -> int:
    """CPU time, of user and system, in hundredths of a second (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _status(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


def _status_line(answer: bytes) -> str:
    return answer.partition(b"\r\n")[0].decode()
