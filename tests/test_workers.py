"""
``server.workers``: several real processes behind one port.

Starts are dear, so there is one daemon here, and its tests follow each other to its
end. What needs more of them is in tests/system/test_workers.py.
"""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from tests.crew import Crew, is_alive
from tests.daemon import BUCKET, KEY_ID, SECRET, TOKEN
from tests.servers import PostgresServer, S3Server
from tests.system.wire import Client, make_body, md5, poll

MIB = 1024 * 1024
AUTH = {"access_key_id": KEY_ID, "secret_access_key": SECRET, "token": TOKEN}


@pytest.fixture(scope="module")
def crew(postgres: PostgresServer, s3server: S3Server) -> Iterator[Crew]:
    """Two workers; the last test kills them."""
    database, backend = postgres.create_database(), s3server.create_bucket()
    with Crew(database, [backend]) as daemon:
        yield daemon
    postgres.drop_database(database)
    s3server.remove_bucket(backend)


@pytest.fixture
def each(crew: Crew) -> Iterator[list[Client]]:
    """A client of every worker, on a connection that it keeps."""
    clients = []

    def connect() -> socket.socket:
        client = Client(crew.port)
        client.connection.connect()
        clients.append(client)
        connected: socket.socket = client.connection.sock
        return connected

    kept = crew.open_on_each(connect).values()
    yield [one for one in clients if one.connection.sock in kept]
    for one in clients:
        one.connection.close()


def test_one_upload_through_all(crew: Crew, each: list[Client]) -> None:
    """What one begins the next goes on with, and any of them reads the whole."""
    assert len(each) == 2 and crew.pid not in crew.workers().values()
    client = crew.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="large")["UploadId"]
    parts = [make_body(number, 3 * MIB) * 2 for number in range(2)]
    etags = []
    for number, (one, part) in enumerate(zip(each, parts, strict=True), 1):
        query = {"partNumber": str(number), "uploadId": upload}
        answer = one.request("PUT", "large", part, query=query)
        assert answer.status == 200, answer.body
        etags.append({"PartNumber": number, "ETag": answer.headers["etag"]})
    client.complete_multipart_upload(
        Bucket=BUCKET,
        Key="large",
        UploadId=upload,
        MultipartUpload={"Parts": etags},
    )
    for one in each:
        assert md5(one.get("large").body) == md5(b"".join(parts))


def test_a_reload_reaches_all_or_none(crew: Crew, each: list[Client]) -> None:
    """What is wrong with it is told once; what waits for a restart is named."""
    first, second = each
    crew.configure(ledger={"lease": 0})
    text = crew.hang_up()
    assert text.count("reload refused: ") == 1 and "stays in force" in text
    crew.configure(ledger=None, auth=None)  # The workers' own objection.
    text = crew.hang_up()
    assert text.count("turn authentication off needs a restart") == 1
    assert [one.request("HEAD").status for one in each] == [200, 200]

    # Both make the new bucket at once, and each knows it.
    alice = {"access_key_id": "alice", "secret_access_key": "of alice"}
    granted = {name: {} for name in ("photos", "films", "a-third")}
    crew.configure(
        auth={**AUTH, "token": "another"}, credentials=[{**alice, "buckets": granted}]
    )
    assert "configuration reloaded" in crew.hang_up()
    assert [one.request("HEAD").status for one in each] == [403, 403]
    clients = [crew.client(("alice", "of alice")) for _ in range(4)]
    for client, name in product(clients, granted):
        client.head_bucket(Bucket=name)
    crew.configure(
        auth=AUTH,
        credentials=None,
        server={"listen_addr": "127.0.0.1:0", "workers": 3},
        rate_limit={"enabled": True, "requests_per_sec": 0.001, "burst": 5},
    )
    crew.hang_up()
    waiting = "waiting for a restart: server.workers"
    poll(lambda: waiting in crew.log.read_text(), waiting)
    # One account for all of them: five in all, wherever they come in.
    order = [first, second, second, second, first, first, second]
    told = [one.request("HEAD").status for one in order]
    assert told == [200] * 5 + [429] * 2
    crew.configure(rate_limit=None)
    crew.hang_up()
    assert [one.request("HEAD").status for one in each] == [200, 200]


def test_one_of_them_dies(crew: Crew) -> None:
    """The other goes on; what was in the middle at the dead one leaves nothing."""
    body = make_body(3, 2 * MIB)
    uploads = crew.bodies_on_each("k", body)
    workers = crew.workers()
    whole = crew.config.read_text()
    # Whoever is started later goes by what the others go by, not by the file.
    crew.config.write_text("auth: {token: 'is not in force'}")
    os.kill(workers[2], signal.SIGKILL)
    assert uploads[workers[1]]().startswith(b"HTTP/1.1 200 ")
    with suppress(ConnectionError):
        assert uploads[workers[2]]() == b""
    crew.wait_for_another(2, workers[2])
    assert (
        f"worker 2 (process {workers[2]}) has ended by SIGKILL; another one is started "
        "in 0.5 s"
    ) in crew.log.read_text()
    for finish in crew.bodies_on_each("again", body).values():
        assert finish().startswith(b"HTTP/1.1 200 ")
    crew.config.write_text(whole)
    with Client(crew.port) as client:
        found = client.keys()
    keys = sorted(key.rstrip("0123456789") for key in found)
    assert keys == ["again", "again", "k", "large"]
    crew.wait_clean()


def test_metrics_of_the_living(crew: Crew) -> None:
    """A dead worker's gauge counts no more; the listener answers."""
    environment = Path(f"/proc/{crew.workers()[1]}/environ").read_bytes()
    [directory] = [
        value.decode()
        for name, _, value in (one.partition(b"=") for one in environment.split(b"\0"))
        if name == b"PROMETHEUS_MULTIPROC_DIR"
    ]
    assert Path(directory).stat().st_mode & 0o777 == 0o700
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    assert b"\ns3proxy_workers 2.0\n" in generate_latest(registry)
    url = f"http://127.0.0.1:{crew.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.status == 200


def test_nobody_outlives_the_master(crew: Crew) -> None:
    """Not even one that is stopped."""
    pids = crew.workers()
    os.kill(pids[1], signal.SIGSTOP)
    crew.kill()
    poll(lambda: not any(map(is_alive, pids.values())), "all workers are gone")
    assert not crew.health()
