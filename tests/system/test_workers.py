"""Workers under load, at their end, over TLS, and below twistd's own options."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.certificates import Authority
from tests.crew import Crew, is_alive, workers_in
from tests.daemon import BUCKET, KEY_ID, ROOT, SECRET
from tests.system.wire import make_body, md5, poll
from tests.test_twistd import CONFIG, twistd

pytestmark = pytest.mark.system

MIB = 1024 * 1024
MakeBackend = Callable[..., BackendConfig]


def test_a_stop_lets_every_worker_finish(
    database: DatabaseConfig, backend_config: MakeBackend
) -> None:
    """A body in flight at each gets its 200; nobody is left, no file either."""
    body = make_body(4, 2 * MIB)
    with Crew(database, [backend_config()]) as crew:
        pids = set(crew.workers().values())
        environment = Path(f"/proc/{min(pids)}/environ").read_bytes()
        found = re.search(rb"PROMETHEUS_MULTIPROC_DIR=([^\0]+)", environment)
        assert found is not None and Path(found[1].decode()).is_dir()
        uploads = crew.bodies_on_each("k", body)
        crew.signal(signal.SIGTERM)
        for finish in uploads.values():
            assert finish().startswith(b"HTTP/1.1 200 ")
        assert crew.wait(40) in (0, -signal.SIGTERM)
        assert not any(map(is_alive, pids))
        assert not Path(found[1].decode()).exists()
        text = crew.log.read_text()
        assert "Traceback" not in text and "killed" not in text
        crew.start()
        listed = crew.client().list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [each["ETag"] for each in listed] == [f'"{md5(body)}"'] * 2
        crew.wait_clean()


def test_workers_die_under_load(
    database: DatabaseConfig, backend_config: MakeBackend
) -> None:
    """
    Whatever was acknowledged is there, whole, and recovery alone makes ``check`` clean.

    One is told to end in between: it finishes what it has, and is replaced too.
    """
    backends = [backend_config(name, quota_bytes=10**9) for name in ("a", "b")]
    stored: dict[str, bytes] = {}
    broken: list[Exception] = []
    over = threading.Event()

    with Crew(database, backends, 3) as crew:

        def put(thread: int) -> None:
            chance, client = random.Random(thread), crew.client()
            for number in range(1000):
                if over.is_set():
                    return
                key = f"{thread}/{number}"
                size = chance.choice([0, 1000, 300_000, 2 * MIB])
                body = make_body(number + 1000 * thread, size)
                try:
                    client.put_object(Bucket=BUCKET, Key=key, Body=body)
                    stored[key] = body
                except (BotoCoreError, ClientError) as why:
                    broken.append(why)

        threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
        for each in threads:
            each.start()
        chance = random.Random(1)
        signals = [*[signal.SIGKILL] * 5, signal.SIGTERM]
        for number in signals:
            seen = len(stored)
            poll(lambda seen=seen: len(stored) > seen + 10, "the load goes on")
            worker = chance.randint(1, 3)
            dead = crew.workers()[worker]
            os.kill(dead, number)
            crew.wait_for_another(worker, dead)
        over.set()
        for each in threads:
            each.join(60)
            assert not each.is_alive()
        text = crew.log.read_text()
        assert text.count("has ended by SIGKILL") == 5
        assert text.count("has ended with exit code 0") == 1
        # What breaks is what the dead had in hand: never more than all threads had.
        assert 1 <= len(broken) <= 4 * len(signals), broken
        client = crew.client()
        for key, body in stored.items():
            got = client.get_object(Bucket=BUCKET, Key=key)
            assert md5(got["Body"].read()) == md5(body), key
        crew.wait_clean()


def test_connections_are_dealt_out(
    database: DatabaseConfig, backend_config: MakeBackend
) -> None:
    """Of many that come at once, no worker gets nearly all."""
    with Crew(database, [backend_config()]) as crew:
        opened = []
        for _ in range(100):
            connection = socket.socket()
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect(("127.0.0.1", crew.port))
            opened.append(connection)
        owners = [crew.owner_of(each) for each in opened]
        counts = [owners.count(pid) for pid in crew.workers().values()]
        assert sum(counts) == 100 and min(counts) >= 10, counts
        for each in opened:
            each.close()


def serials(crew: Crew, authority: Authority, times: int = 12) -> set[int]:
    """Of the certificates that so many new connections are shown."""
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    found = set()
    for _ in range(times):
        with (
            socket.create_connection(("localhost", crew.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            shown = wrapped.getpeercert()
            assert shown is not None
            found.add(int(str(shown["serialNumber"]), 16))
    return found


def test_a_certificate_is_exchanged_everywhere(
    database: DatabaseConfig, backend_config: MakeBackend, tmp_path: Path
) -> None:
    """At SIGHUP all workers show the new one; one that cannot be used changes none."""
    authority = Authority(tmp_path)
    one, two = authority.issue("one"), authority.issue("two")
    used = tmp_path / "cert.pem", tmp_path / "key.pem"

    def use(issued: object) -> None:
        shutil.copy(issued.cert_file, used[0])  # type: ignore[attr-defined]
        shutil.copy(issued.key_file, used[1])  # type: ignore[attr-defined]

    use(one)
    tls = {"cert_file": str(used[0]), "key_file": str(used[1])}
    with Crew(
        database,
        [backend_config()],
        server={"tls": tls},
        ca_file=authority.ca_file,
    ) as crew:
        crew.client().put_object(Bucket=BUCKET, Key="k", Body=b"over TLS")
        [first] = serials(crew, authority)
        use(two)
        assert "configuration reloaded" in crew.hang_up()
        [second] = serials(crew, authority)
        assert second != first
        used[1].write_text("no key")
        text = crew.hang_up()
        assert text.count(f"reload refused: server.tls.key_file: {used[1]}") == 1
        assert serials(crew, authority) == {second}
        # One that dies now finds files that cannot be used: it is tried again, and
        # the other goes on.
        dead = crew.workers()[2]
        os.kill(dead, signal.SIGKILL)
        poll(
            lambda: "has ended with exit code 1; another" in crew.log.read_text(),
            "the next one does not come up",
        )
        assert serials(crew, authority, 3) == {second}
        use(two)
        crew.wait_for_another(2, dead)
        assert serials(crew, authority) == {second}


@pytest.fixture
def here() -> Iterator[Path]:
    """A directory that embedded servers can enter; whoever is left there is ended."""
    made = Path(tempfile.mkdtemp(prefix="s3p-workers-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((made / "pid").read_text()), signal.SIGKILL)
    shutil.rmtree(made, ignore_errors=True)


def test_in_the_background_on_embedded_parts(here: Path) -> None:
    """
    One set of embedded servers for all workers, one pid file, one log with whole lines,
    each of which tells its worker; all gone at the end.
    """
    document = {**CONFIG, "server": {"listen_addr": "127.0.0.1:0", "workers": 3}}
    (here / "config.yaml").write_text(yaml.safe_dump(document))
    started = twistd(here, "--logfile", "log")
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    log = here / "log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "serving bucket" in log.read_text()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    pids = workers_in(log)
    assert set(pids) == {1, 2, 3}
    assert len(list((here / "data").rglob("postmaster.pid"))) == 1
    found = re.search(r"serving bucket unified on (\S+) from", log.read_text())
    assert found is not None
    for number in range(12):
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://{found[1]}",
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )
        client.put_object(Bucket="unified", Key="k", Body=b"%d" % number)
        got = client.get_object(Bucket="unified", Key="k")["Body"].read()
        assert got == b"%d" % number

    # Nobody's port twice: it says so and ends, with all that it has started.
    (here / "other").mkdir()
    other = {**document, "server": {"listen_addr": found[1], "workers": 2}}
    other["data_dir"] = "other-data"
    (here / "other" / "config.yaml").write_text(yaml.safe_dump(other))
    (here / "other").chmod(0o755)
    failed = twistd(here / "other", "--nodaemon")
    assert failed.returncode == 1
    assert "s3proxy cannot start: Couldn't listen on" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr

    master = int((here / "pid").read_text())
    os.kill(master, signal.SIGTERM)
    poll(lambda: not is_alive(master), "it ends")
    assert not any(map(is_alive, pids.values()))
    assert not list((here / "data").rglob("postmaster.pid"))
    text = log.read_text()
    assert "Traceback" not in text
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in text.splitlines())


def test_a_worker_of_another_version_is_not_started() -> None:
    """The package may be upgraded while the daemon runs; the log says what to do."""
    ended = subprocess.run(
        [sys.executable, "-c", "from s3proxy.worker import main; main()"],
        env={**os.environ, "S3PROXY_VERSION": "0.0.1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("the daemon is s3proxy 0.0.1, and ")
    assert "started again" in ended.stderr
