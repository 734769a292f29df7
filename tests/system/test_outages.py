"""
PostgreSQL or a backend goes away under load, and comes back.

Clients see 503 and nothing else; what was acknowledged is there afterwards; nobody
starts the daemon again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attrs import define, field

from s3proxy.config import BackendConfig
from tests.daemon import Daemon
from tests.servers import PostgresServer, S3Server
from tests.system.wire import Answer, Broken, Client, make_body, md5, poll

KIB = 1024
MakeBackend = Callable[..., BackendConfig]
READS = ("GET", "HEAD", "LIST")


@define
class Load:
    """
    Clients that write keys of their own, over and over, and read and list.

    :ivar seen: Kind of request, status and S3 code of every answer so far.
    :ivar possible: What each key may hold by now: the last acknowledged body, and every
        one since whose outcome its client does not know.
    """

    port: int
    seen: list[tuple[str, int, str]] = field(factory=list)
    possible: dict[str, set[bytes]] = field(factory=dict)
    acknowledged: set[str] = field(factory=set)
    broken: list[Broken] = field(factory=list)
    _over: threading.Event = field(factory=threading.Event)

    @contextmanager
    def running(self, writers: int = 6, readers: int = 3) -> Iterator[None]:
        """Keep it up while the block runs; failures of its clients are raised."""
        with ThreadPoolExecutor(writers + readers) as threads:
            work = [threads.submit(self._write, n) for n in range(writers)]
            work += [threads.submit(self._read, n) for n in range(readers)]
            try:
                yield
            finally:
                self._over.set()
            for each in work:
                each.result(60)

    def mark(self) -> int:
        """How many answers there are by now."""
        return len(self.seen)

    def since(self, mark: int) -> set[tuple[str, int, str]]:
        """The kinds of answers since a mark."""
        return set(self.seen[mark:])

    def check_kept(self) -> None:
        """Every key holds what it may, and those acknowledged are there."""
        assert self.acknowledged
        with Client(self.port) as client:
            for key, bodies in self.possible.items():
                answer = client.get(key)
                if answer.status == 404:
                    assert key not in self.acknowledged
                    continue
                assert answer.status == 200, (key, answer.body)
                assert answer.body in bodies, key
                assert answer.etag == md5(answer.body)

    def _write(self, number: int) -> None:
        with Client(self.port) as client:
            turn = 0
            while not self._over.is_set():
                turn += 1
                key = f"w{number}-{turn % 7}"
                size = (turn * 37 % 90) * KIB if turn % 10 else 1100 * KIB
                body = make_body(number * 1000 + turn, size)
                self.possible.setdefault(key, set()).add(body)
                answer = self._send(client, "PUT", key, body)
                if answer is not None and answer.status == 200:
                    self.possible[key] = {body}
                    self.acknowledged.add(key)

    def _read(self, number: int) -> None:
        with Client(self.port) as client:
            turn = 0
            while not self._over.is_set():
                turn += 1
                key = f"w{turn % 6}-{turn % 7}"
                kind = READS[turn % 3]
                if kind == "LIST":
                    query = {"list-type": "2", "prefix": f"w{turn % 6}"}
                    self._send(client, "GET", "", kind=kind, query=query)
                    continue
                answer = self._send(client, kind, key)
                if kind == "GET" and answer is not None and answer.status == 200:
                    assert answer.etag == md5(answer.body)

    def _send(
        self,
        client: Client,
        method: str,
        key: str,
        body: bytes = b"",
        *,
        kind: str | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer | None:
        try:
            answer = client.request(method, key, body, query=query)
        except Broken as why:
            self.broken.append(why)
            return None
        self.seen.append((kind or method, answer.status, answer.code))
        if answer.status >= 500:
            # As a client does: to try again at once would only heat the room.
            self._over.wait(0.02)
        return answer


def works(kinds: set[tuple[str, int, str]]) -> bool:
    """Whether every kind of request has been served."""
    good = {kind for kind, status, _ in kinds if status == 200}
    return good == {"PUT", *READS}


def children(pid: int) -> list[int]:
    """The process ids of the children of *pid*."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.fixture
def durable_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that keeps what it acknowledged over a kill -9 of it."""
    with PostgresServer({"synchronous_commit": "on"}) as server:
        yield server


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgres_goes_away_and_comes_back(
    durable_postgres: PostgresServer, backend_config: MakeBackend, end: str
) -> None:
    """In order or by SIGKILL, under load."""
    backends = [backend_config("a"), backend_config("b")]
    with Daemon(durable_postgres.create_database(), backends) as daemon:
        load = Load(daemon.port)
        with load.running():
            poll(lambda: works(load.since(0)), "the load runs")
            before = load.mark()
            getattr(durable_postgres, end)()
            away = load.mark()
            poll(
                lambda: {kind for kind, _, _ in load.since(away)} >= {"PUT", *READS},
                "answers without a database",
            )
            # From here on no answer began before the end.
            away = load.mark()
            poll(lambda: load.mark() > away + 50, "more answers")
            assert {(s, c) for _, s, c in load.since(away)} <= {
                (503, "ServiceUnavailable"),
                (503, ""),
            }
            assert daemon.health()
            durable_postgres.start()
            back = load.mark()
            poll(lambda: works(load.since(back)), "recovery")
        bad = {(s, c) for _, s, c in load.since(before) if s >= 500}
        assert bad <= {(503, "ServiceUnavailable"), (503, "")}
        assert {s for _, s, _ in load.seen} <= {200, 404, 503}
        # Nothing needs a connection broken: no download was under way for long.
        assert load.broken == []
        load.check_kept()
        daemon.wait_clean()


def test_postgres_freezes_for_a_while(
    durable_postgres: PostgresServer, backend_config: MakeBackend
) -> None:
    """The daemon answers what needs no database, and goes on when it can."""
    with Daemon(durable_postgres.create_database(), [backend_config()]) as daemon:
        load = Load(daemon.port)
        with load.running():
            poll(lambda: works(load.since(0)), "the load runs")
            frozen = [durable_postgres.pid, *children(durable_postgres.pid)]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                until = time.monotonic() + 4
                while time.monotonic() < until:
                    began = time.monotonic()
                    assert daemon.health()
                    assert time.monotonic() - began < 2
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
            back = load.mark()
            poll(lambda: works(load.since(back)), "recovery")
        assert {s for _, s, _ in load.seen} <= {200, 404, 503}
        assert load.broken == []
        load.check_kept()
        daemon.wait_clean()


def test_backends_go_away_and_come_back(own_postgres: PostgresServer) -> None:
    """One: the other takes the writes. Both: what needs no backend is served."""
    small, large = make_body(1, 50 * KIB), make_body(2, 3000 * KIB)
    with ExitStack() as stack:
        first = stack.enter_context(S3Server())
        second = stack.enter_context(S3Server())
        daemon = stack.enter_context(
            Daemon(
                own_postgres.create_database(),
                [first.create_bucket("first"), second.create_bucket("second")],
            )
        )
        client = stack.enter_context(Client(daemon.port))

        def write(name: str) -> list[tuple[int, str]]:
            answers = [
                client.put(f"{name}-small", small),
                client.put(f"{name}-large", large),
            ]
            return [(answer.status, answer.code) for answer in answers]

        def check_readable(*keys: str) -> None:
            for key in keys:
                assert client.get(key).body == (small if "small" in key else large)

        def check_unreadable(*keys: str) -> None:
            for key in keys:
                answer = client.get(key)
                assert (answer.status, answer.code) == (503, "ServiceUnavailable")

        fine, unavailable = [(200, "")] * 2, [(503, "ServiceUnavailable")] * 2
        assert write("one") == fine

        first.kill()
        check_unreadable("one-small", "one-large")
        assert write("two") == fine
        check_readable("two-small", "two-large")
        # An overwrite needs none of the old bytes; a delete no backend at all.
        assert client.put("one-small", small).status == 200
        check_readable("one-small")
        assert client.request("DELETE", "two-large").status == 204

        second.kill()
        check_unreadable("one-small", "one-large", "two-small")
        assert write("three") == unavailable
        assert client.request("HEAD", "one-large").etag == md5(large)
        assert client.keys() == {
            "one-small": (md5(small), len(small)),
            "one-large": (md5(large), len(large)),
            "two-small": (md5(small), len(small)),
        }
        answer = client.get("one-large", **{"if-none-match": f'"{md5(large)}"'})
        assert answer.status == 304

        first.start()
        check_readable("one-large")
        check_unreadable("one-small", "two-small")
        assert write("four") == fine
        second.start()
        check_readable("one-small", "one-large", "two-small", "four-small")
        daemon.wait_clean()
