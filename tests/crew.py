"""A real daemon with workers, and ways to tell which of them a client has."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import Daemon
from tests.system.wire import open_put, poll


class Crew(Daemon):
    """A daemon with workers; its metrics have a listener of their own."""

    def __init__(
        self,
        database: DatabaseConfig,
        backends: Sequence[BackendConfig],
        workers: int = 2,
        *,
        server: dict[str, Any] | None = None,
        **sections: Any,
    ) -> None:
        metrics = {"enabled": True, "listen_addr": "127.0.0.1:0"}
        super().__init__(
            database,
            backends,
            server={"workers": workers, **(server or {})},
            telemetry={"metrics": metrics},
            **sections,
        )

    def workers(self) -> dict[int, int]:
        """Process ids of the last that have said that they serve, by number."""
        return workers_in(self.log)

    def wait_for_another(self, number: int, dead: int) -> None:
        """The next one of that number serves."""
        poll(lambda: self.workers()[number] != dead, "another worker serves")

    @property
    def metrics_port(self) -> int:
        """Where metrics are."""
        found = re.findall(r"metrics on http://127.0.0.1:(\d+)", self.log.read_text())
        return int(found[-1])

    def owner_of(self, connection: socket.socket) -> int:
        """The process id of the worker that has accepted a client's connection."""
        address = connection.getsockname()[1], self.port
        found: list[int] = []

        def look() -> bool:
            # The table changes while it is read: a line may come twice, or not yet.
            sockets = {
                f"socket:[{fields[9]}]"
                for fields in map(str.split, _lines("/proc/net/tcp"))
                if (_port(fields[2]), _port(fields[1])) == address
            }
            found.extend(
                pid
                for pid in self.workers().values()
                if is_alive(pid) and sockets & _files(pid)
            )
            return bool(found)

        poll(look, "a worker has accepted")
        return found[0]

    def open_on_each(self, connect: Callable[[], socket.socket]) -> dict[int, Any]:
        """Connect until every worker has a connection; one of each, by process id."""
        found: dict[int, socket.socket] = {}
        more = []
        wanted = set(self.workers().values())
        for _ in range(60):
            connection = connect()
            more.append(connection)
            found.setdefault(self.owner_of(connection), connection)
            if set(found) == wanted:
                break
        for each in more:
            if each not in found.values():
                each.close()
        assert set(found) == wanted, "a worker gets no connection"
        return found

    def bodies_on_each(self, key: str, body: bytes) -> dict[int, Callable[[], bytes]]:
        """
        A PUT in the middle of its body at every worker.

        :returns: By process id: send the rest, and read the answer's beginning.
        """
        numbers = iter(range(100))
        uploads = self.open_on_each(
            lambda: open_put(
                self.port, f"{key}{next(numbers)}", len(body), is_begun=True
            )
        )
        half = len(body) // 2

        def finish(upload: socket.socket) -> bytes:
            with upload:
                upload.sendall(body[half:])
                return upload.recv(4096)

        for each in uploads.values():
            each.sendall(body[:half])
        return {pid: lambda each=each: finish(each) for pid, each in uploads.items()}


def workers_in(log: Path) -> dict[int, int]:
    """Process ids by worker, by what a log says."""
    found = re.findall(r"\[worker (\d+), [^]]*\] process (\d+) serves", log.read_text())
    return {int(number): int(pid) for number, pid in found}


def is_alive(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()[1:]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _files(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(each))
        except FileNotFoundError:
            continue
    return found
