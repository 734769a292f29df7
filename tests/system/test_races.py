"""Many clients at once: limits hold, and a key has one winner that all agree on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import SHORT_LEDGER, Daemon
from tests.servers import PostgresServer, S3Server
from tests.system.wire import Answer, Client, make_body, md5

KIB = 1024
MakeBackend = Callable[..., BackendConfig]
#: Longer than anything here takes on a busy machine: a lost lease would be a 503, and
#: so would a read whose bytes were collected.
RACES = {**SHORT_LEDGER, "lease": "5s", "grace": "3s"}


@pytest.fixture(scope="module")
def racing(postgres: PostgresServer, s3server: S3Server) -> Iterator[Daemon]:
    """A daemon with room for all, for races over keys; clean in the end."""
    database = postgres.create_database()
    backends = [s3server.create_bucket("a"), s3server.create_bucket("b")]
    with Daemon(database, backends, ledger=RACES) as daemon:
        yield daemon
        daemon.wait_clean()
    postgres.drop_database(database)


def at_once(count: int, port: int, work: Callable[[int, Client], Any]) -> list[Any]:
    """Run *work* with a number and a client of its own in *count* threads at once."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        with Client(port) as client:
            # Connected before the start, so that only the requests race.
            assert client.request("HEAD").status == 200
            start.wait(30)
            return work(number, client)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


@contextmanager
def watched_quotas(database: DatabaseConfig) -> Iterator[list[dict[str, int]]]:
    """What ``backend_quotas`` says, again and again while the block runs."""
    connection = psycopg2.connect(
        host=database.host,
        port=database.port,
        dbname=database.database,
        user=database.user,
    )
    connection.autocommit = True
    seen: list[dict[str, int]] = []
    over = threading.Event()

    def watch() -> None:
        with connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute("SELECT backend_name, bytes_used FROM backend_quotas")
                seen.append(dict(cursor.fetchall()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
        connection.close()


def check_agree(client: Client, key: str, bodies: dict[str, bytes]) -> None:
    """GET, HEAD and LIST tell of the same one of *bodies*, by ETag."""
    got, head = client.get(key), client.request("HEAD", key)
    assert (got.status, head.status) == (200, 200)
    assert got.body == bodies[got.etag]
    assert (head.etag, head.headers["content-length"]) == (got.etag, str(len(got.body)))
    assert client.keys()[key] == (got.etag, len(got.body))


@pytest.mark.parametrize(("count", "size"), [(50, 100 * KIB), (10, 1200 * KIB)])
def test_the_last_free_bytes(
    database: DatabaseConfig, backend_config: MakeBackend, count: int, size: int
) -> None:
    """
    Many PUTs for the room of half of them, on two backends: half get in and half are
    told that there is none, and no counter is over its limit at any time.
    """
    on_a, on_b = count // 5, count // 2 - count // 5
    limits = {"a": on_a * size + size // 2, "b": on_b * size + 1}
    backends = [backend_config(name, quota_bytes=limits[name]) for name in limits]
    body = make_body(1, size)
    with Daemon(database, backends, ledger=RACES) as daemon:
        with watched_quotas(database) as seen:
            answers: list[Answer] = at_once(
                count,
                daemon.port,
                lambda number, client: client.put(f"k{number}", body),
            )
        got = Counter((answer.status, answer.code) for answer in answers)
        half = count // 2
        assert got == {(200, ""): half, (507, "InsufficientStorage"): half}
        assert len(seen) > 10
        for used in seen:
            assert all(used[name] <= limits[name] for name in limits), used
        assert seen[-1] == {"a": on_a * size, "b": on_b * size}
        stored = {f"k{n}" for n, each in enumerate(answers) if each.status == 200}
        with Client(daemon.port) as client:
            assert client.keys() == dict.fromkeys(stored, (md5(body), size))
            assert all(client.get(key).body == body for key in stored)
            # What is freed can be had again.
            assert client.request("DELETE", min(stored)).status == 204
            daemon.wait_clean()
            assert client.put("again", body).status == 200
        daemon.wait_clean()


def test_refused_bodies_leave_the_room_to_others(
    database: DatabaseConfig, backend_config: MakeBackend
) -> None:
    """Wrong bodies hold the last room for a moment only, and never keep it."""
    size = 100 * KIB
    body, wrong = make_body(1, size), {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    backends = [backend_config("a", quota_bytes=3 * size)]
    with Daemon(database, backends, ledger=RACES) as daemon:

        def write(number: int, client: Client) -> int:
            return client.request("PUT", f"k{number}", body, wrong).status

        with watched_quotas(database) as seen:
            assert set(at_once(20, daemon.port, write)) <= {400, 507}
        assert all(used["a"] <= 3 * size for used in seen)
        assert seen[-1] == {"a": 0}
        with Client(daemon.port) as client:
            assert client.keys() == {}
            assert {client.put(f"k{n}", body).status for n in range(3)} == {200}
        daemon.wait_clean()


def test_one_key_written_and_read_by_many(racing: Daemon) -> None:
    """Readers see one write, whole, at any time; all agree on the last one."""
    key = "written-and-read"
    sizes = [0, 1, 70 * KIB, 300 * KIB, 1300 * KIB, 2000 * KIB]
    made = [make_body(n, sizes[n % len(sizes)] + n) for n in range(24)]
    bodies = {md5(body): body for body in made}
    with Client(racing.port) as client:
        assert client.put(key, made[0]).status == 200

        def work(number: int, client: Client) -> set[int]:
            if number < 4:
                mine = made[number * 6 : number * 6 + 6]
                return {client.put(key, body).status for body in mine}
            statuses = set()
            for _ in range(12):
                answer = client.get(key)
                statuses.add(answer.status)
                assert answer.body == bodies[answer.etag]
            return statuses

        assert at_once(10, racing.port, work) == [{200}] * 10
        check_agree(client, key, bodies)


def test_one_key_written_and_deleted_by_many(racing: Daemon) -> None:
    """At the end there is one of the writes, or nothing; and no byte too many."""
    key = "written-and-deleted"
    made = [make_body(n, (n + 1) * 20 * KIB) for n in range(40)]
    bodies = {md5(body): body for body in made}

    def work(number: int, client: Client) -> set[int]:
        if number < 8:
            mine = made[number * 5 : number * 5 + 5]
            return {client.put(key, body).status for body in mine}
        return {client.request("DELETE", key).status for _ in range(5)}

    assert at_once(12, racing.port, work) == [{200}] * 8 + [{204}] * 4
    with Client(racing.port) as client:
        held = client.keys()
        if key in held:
            check_agree(client, key, bodies)
        else:
            assert client.get(key).status == 404
            assert client.request("HEAD", key).status == 404


def test_fifty_racers_for_an_absent_key(racing: Daemon) -> None:
    """``If-None-Match: *`` lets exactly one in."""
    key = "wanted"
    bodies = [make_body(n, 50 * KIB + n) for n in range(50)]

    def write(number: int, client: Client) -> int:
        answer = client.request("PUT", key, bodies[number], {"if-none-match": "*"})
        return answer.status

    statuses = at_once(50, racing.port, write)
    assert Counter(statuses) == {200: 1, 412: 49}
    winner = bodies[statuses.index(200)]
    with Client(racing.port) as client:
        check_agree(client, key, {md5(winner): winner})


def test_no_update_is_lost_behind_if_match(racing: Daemon) -> None:
    """Read, add one, write if unchanged: every addition that got a 200 counts."""
    key = "count"
    with Client(racing.port) as client:
        assert client.put(key, b"0").status == 200

        def add(number: int, client: Client) -> None:
            done = 0
            while done < 5:
                read = client.get(key)
                assert read.status == 200
                written = client.request(
                    "PUT",
                    key,
                    b"%d" % (int(read.body) + 1),
                    {"if-match": read.headers["etag"]},
                )
                assert written.status in (200, 412)
                done += written.status == 200

        at_once(6, racing.port, add)
        assert client.get(key).body == b"30"
