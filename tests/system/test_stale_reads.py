"""
``database.stale_reads``: the primary goes away, and reads go on from its standby.

A real primary with a real standby, which streams, and is held back where a test wants
it to be old.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import define, evolve

from chaos.pair import Pair
from s3proxy.config import BackendConfig
from s3proxy.store.standbys import ANSWER_SECONDS
from tests.daemon import BUCKET, Daemon
from tests.servers import PostgresServer
from tests.system.test_outages import children
from tests.system.wire import Answer, Client, md5, parse_listing, poll

# Takes long.
pytestmark = pytest.mark.system

STALE = "x-s3proxy-stale"
OLD, NEW = b"old " * 5000, b"newer " * 5000


@define
class Ground:
    """
    A daemon over a pair, and how to ask it.

    :ivar name: Of the ledger's database.
    """

    pair: Pair
    daemon: Daemon
    name: str

    @property
    def standby(self) -> PostgresServer:
        """The standby."""
        assert self.pair.standby is not None
        return self.pair.standby

    def ask(self, method: str, key: str = "", **options: Any) -> Answer:
        """One request, on a connection of its own."""
        with Client(self.daemon.port) as client:
            return client.request(method, key, **options)

    def ready(self) -> dict[str, Any]:
        """What ``/health/ready`` says, where it is 200."""
        url = f"{self.daemon.endpoint}/health/ready"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def count(self, server: PostgresServer, where: str) -> int:
        """Rows of the ledger."""
        connection = server.connect(self.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT count(*) FROM {where}")
                found: int = cursor.fetchone()[0]
                return found
        finally:
            connection.close()

    def hold_back(self) -> None:
        """What is committed from now on is not seen in the standby."""
        self.standby.execute("SELECT pg_wal_replay_pause()")
        connection = self.standby.connect()
        try:
            with connection.cursor() as cursor:

                def state() -> str:
                    cursor.execute("SELECT pg_get_wal_replay_pause_state()")
                    return str(cursor.fetchone()[0])

                poll(lambda: state() == "paused", "the standby is held back")
        finally:
            connection.close()


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """It and its sessions stand still, and say nothing to anybody."""
    stopped = [server.pid, *children(server.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.system)])
def ground(
    request: pytest.FixtureRequest, backend_config: Callable[..., BackendConfig]
) -> Iterator[Ground]:
    pair = Pair()
    try:
        pair.start()
        database = pair.primary.create_database()
        pair.follow()
        assert pair.standby is not None
        keys: dict[str, Any] = {
            # The standby first: an order that must not matter.
            "host": f"{pair.standby.directory},{pair.primary.directory}",
            "port": database.port,
            "database": database.database,
            "user": database.user,
            "stale_reads": True,
        }
        daemon = Daemon(
            database,
            [backend_config("a")],
            server={"workers": request.param},
            telemetry={"metrics": {"enabled": True}},
        )
        daemon.configure(database=keys)
        daemon.database = evolve(database, host=keys["host"])
        with daemon:
            yield Ground(pair, daemon, database.database)
    finally:
        pair.close()


def stays(answer: Answer) -> None:
    """It was looked up in the standby, and says so."""
    assert re.fullmatch(r"\d+|unknown", answer.headers.get(STALE, "no header"))


def fresh(answer: Answer, status: int = 200) -> Answer:
    """It was not."""
    assert answer.status == status, answer.body
    assert STALE not in answer.headers
    return answer


def test_primary_away_and_back_and_failed_over(ground: Ground) -> None:
    """Reads go on and are marked, writes do not; then neither; then it is promoted."""
    for key in ("kept", "deleted", "replaced", "a/b"):
        fresh(ground.ask("PUT", key, body=OLD))
    poll(lambda: ground.count(ground.standby, "objects") == 4, "replication")
    ground.hold_back()
    fresh(ground.ask("DELETE", "deleted"), 204)
    fresh(ground.ask("PUT", "replaced", body=NEW))
    fresh(ground.ask("PUT", "new", body=NEW))
    garbage = "object_locations WHERE state <> 'live'"
    poll(lambda: ground.count(ground.pair.primary, garbage) == 0, "bytes are gone")

    # While the primary answers nobody reads what the standby says.
    assert 's3proxy_stale_reads_total{operation="GetObject"} 0.0' in metrics(ground)
    fresh(ground.ask("GET", "deleted"), 404)
    assert fresh(ground.ask("GET", "replaced")).body == NEW
    assert ground.ready()["status"] == "ready"

    ground.pair.primary.stop()
    check_reads(ground)
    check_old_news(ground)
    check_refused(ground)
    told = ground.ready()
    assert (told["status"], told["database"]) == ("degraded", "standby")
    check_told(ground)

    # One that is held back does not look for its primary.
    ground.standby.execute("SELECT pg_wal_replay_resume()")
    ground.pair.primary.start()
    poll(lambda: STALE not in ground.ask("GET", "kept").headers, "the primary is back")
    assert fresh(ground.ask("GET", "new")).body == NEW
    fresh(ground.ask("GET", "deleted"), 404)
    poll(lambda: ground.ask("PUT", "later", body=OLD).status == 200, "writes go on")

    ground.pair.fail_over()
    poll(lambda: ground.ask("PUT", "kept", body=NEW).status == 200, "writes go on")
    assert fresh(ground.ask("GET", "kept")).body == NEW
    assert fresh(ground.ask("GET", "later")).body == OLD
    # A promotion holds up deletions until somebody has looked (rule 24).
    accepted = ground.daemon.run("sweep", "--accept-restore")
    assert accepted.returncode == 0, accepted
    ground.daemon.wait_clean()


@pytest.mark.system
def test_a_primary_that_says_nothing(ground: Ground) -> None:
    """The first reads wait for their statements to be given up, later ones do not."""
    fresh(ground.ask("PUT", "kept", body=OLD))
    poll(lambda: ground.count(ground.standby, "objects") == 1, "replication")
    with frozen(ground.pair.primary):
        poll(lambda: STALE in ground.ask("GET", "kept").headers, "a stale read", 90)
        began = time.monotonic()
        for _ in range(3):
            got = ground.ask("GET", "kept")
            assert (got.status, got.body) == (200, OLD)
            stays(got)
        # Each waits for one question, or the rest of one and its own.
        assert time.monotonic() - began < 3 * 2 * ANSWER_SECONDS + 5
    poll(lambda: STALE not in ground.ask("GET", "kept").headers, "the primary is back")
    poll(lambda: ground.ask("PUT", "kept", body=NEW).status == 200, "writes go on")


def check_reads(ground: Ground) -> None:
    """All that is to go on, does."""
    got = ground.ask("GET", "kept")
    assert (got.status, got.body) == (200, OLD)
    stays(got)
    etag = f'"{md5(OLD)}"'
    conditions = [
        ({}, 200),
        ({"Range": "bytes=4-7"}, 206),
        ({"If-Match": etag}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-None-Match": etag}, 304),
    ]
    for headers, status in conditions:
        answer = ground.ask("HEAD", "kept", headers=headers)
        assert answer.status == status, headers
        stays(answer)
    for query in ({"list-type": "2"}, {}, {"versions": ""}):
        answer = ground.ask("GET", query=query)
        assert answer.status == 200
        assert re.findall(rb"<Key>(.*?)</Key>", answer.body) == [
            *(b"a/b", b"deleted", b"kept", b"replaced")
        ]
        stays(answer)
    page = ground.ask(
        "GET", query={"list-type": "2", "delimiter": "/", "encoding-type": "url"}
    )
    assert parse_listing(page.body).common_prefixes == ["a/"]
    attributes = ground.ask(
        "GET",
        "kept",
        query={"attributes": ""},
        headers={"x-amz-object-attributes": "ETag,ObjectSize,ObjectParts"},
    )
    assert attributes.status == 200 and md5(OLD).encode() in attributes.body
    stays(attributes)
    assert ground.ask("HEAD").status == 200
    assert ground.ask("GET", query={"location": ""}).status == 200


def check_old_news(ground: Ground) -> None:
    """What is no more, or not yet, is never answered by guessing or other bytes."""
    for key in ("deleted", "replaced"):
        answer = ground.ask("GET", key)
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert b"standby" in answer.body
        stays(answer)
    new = ground.ask("GET", "new")
    assert (new.status, new.code) == (404, "NoSuchKey")
    stays(new)
    assert "integrity" not in ground.daemon.log.read_text()


def check_refused(ground: Ground) -> None:
    """What writes, or is no plain read."""
    copy = {"x-amz-copy-source": f"/{BUCKET}/kept"}
    refused = [
        ground.ask("PUT", "kept", body=NEW),
        ground.ask("PUT", "copy", headers=copy),
        ground.ask("DELETE", "kept"),
        ground.ask("POST", "kept", query={"uploads": ""}),
        ground.ask("GET", "kept", query={"tagging": ""}),
        ground.ask("GET", query={"uploads": ""}),
    ]
    for answer in refused:
        fresh(answer, 503)
    assert ground.ask("GET", "kept").body == OLD


def metrics(ground: Ground) -> str:
    """The page."""
    url = f"{ground.daemon.endpoint}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def check_told(ground: Ground) -> None:
    """The metric, and the line of a request."""
    counted = re.search(
        r'^s3proxy_stale_reads_total\{operation="GetObject"\} (\S+)$',
        metrics(ground),
        re.MULTILINE,
    )
    assert counted is not None and float(counted[1]) >= 5
    assert re.search(
        r'GetObject .*key="kept" status=200 .* stale=\d+ ',
        ground.daemon.log.read_text(),
    )
