"""Reading the configuration again: all or nothing, in words that an operator reads."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from botocore.exceptions import ClientError
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from s3proxy.config import BackendConfig, Config, DatabaseConfig, LedgerConfig
from s3proxy.errors import ConfigError, StoreUnavailable
from s3proxy.reload import Act, Applier, Reloader, changes, in_force
from tests.config_documents import BACKEND, DATABASE, OTHER, read
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon

STARTED = read({"database": DATABASE, "backends": [BACKEND]})


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What was logged, a line each."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(str(formatEvent(event)))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


class Follower:
    """
    An applier that notes what it does.

    :ivar failure: Raised by its preparation.
    """

    def __init__(self, *settings: str) -> None:
        self.settings = settings
        self.failure: Exception | None = None
        self.prepared: list[Config] = []
        self.acted: list[Config] = []
        self.gate: Deferred[None] | None = None

    async def prepare(self, config: Config) -> Act:
        self.prepared.append(config)
        if self.gate is not None:
            await self.gate
        if self.failure is not None:
            raise self.failure
        return lambda: self.acted.append(config)

    @property
    def applier(self) -> Applier:
        return Applier(self.settings, self.prepare)


def reader(*configs: Config | Exception) -> Callable[[], Config]:
    """Reads one after the other."""
    left = list(configs)

    def read_next() -> Config:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return read_next


NEW = read({"database": DATABASE, "backends": [BACKEND], "auth": {"token": "canary"}})


@ensureDeferred
async def test_every_follower_acts_on_the_new_one(logged: list[str]) -> None:
    first, second = Follower("auth"), Follower("server.tls")
    followers = [first.applier, second.applier]
    assert await Reloader(STARTED, reader(NEW), followers).reload()
    assert first.acted == second.acted == [NEW]
    assert logged == ["configuration reloaded"]


@pytest.mark.parametrize(
    ("why", "lines"),
    [
        (ConfigError("x: is wrong\ny: too"), ["x: is wrong", "y: too"]),
        (StoreUnavailable("away"), ["away"]),
    ],
)
@ensureDeferred
async def test_one_objection_and_nothing_is_changed(
    logged: list[str], why: Exception, lines: list[str]
) -> None:
    first, second = Follower("auth"), Follower("server.tls")
    second.failure = why
    reloader = Reloader(STARTED, reader(NEW, NEW), [first.applier, second.applier])
    assert not await reloader.reload()
    assert first.acted == second.acted == []
    assert logged == [
        *(f"reload refused: {line}" for line in lines),
        "the configuration of before stays in force",
    ]
    second.failure = None
    assert await reloader.reload()
    assert first.acted == [NEW]


@ensureDeferred
async def test_a_bad_file_is_refused_whole(logged: list[str]) -> None:
    follower = Follower("auth")
    bad = ConfigError("config.yaml: x: unknown key\nconfig.yaml: y: unknown key")
    assert not await Reloader(STARTED, reader(bad), [follower.applier]).reload()
    assert follower.prepared == []
    assert logged == [
        "reload refused: config.yaml: x: unknown key",
        "reload refused: config.yaml: y: unknown key",
        "the configuration of before stays in force",
    ]


@ensureDeferred
async def test_a_mistake_of_ours_changes_nothing_either(logged: list[str]) -> None:
    first, second = Follower("auth"), Follower("server.tls")
    second.failure = RuntimeError("oops")
    followers = [first.applier, second.applier]
    assert not await Reloader(STARTED, reader(NEW), followers).reload()
    assert first.acted == []
    assert logged[-1] == "the configuration of before stays in force"


@ensureDeferred
async def test_one_that_fails_when_it_acts_keeps_the_others_from_nothing(
    logged: list[str],
) -> None:
    seen: list[Config] = []

    def fail(config: Config) -> None:
        raise RuntimeError("oops")

    appliers = [Applier.of(("auth",), fail), Applier.of((), seen.append)]
    assert await Reloader(STARTED, reader(NEW), appliers).reload()
    assert seen == [NEW]
    assert logged == ["a part of the reload failed", "configuration reloaded"]


@ensureDeferred
async def test_without_a_file(logged: list[str]) -> None:
    follower = Follower("auth")
    assert not await Reloader(STARTED, None, [follower.applier]).reload()
    assert follower.prepared == []
    [line] = logged
    assert "nothing to reload" in line


@ensureDeferred
async def test_what_waits_for_a_restart_is_named_each_time(logged: list[str]) -> None:
    """And no value of it: it may be a secret."""
    other = evolve(
        NEW, ledger=LedgerConfig(lease_seconds=5.0), database=None, backends=()
    )
    reloader = Reloader(STARTED, reader(other, other), [Follower("auth").applier])
    for _ in range(2):
        logged.clear()
        assert await reloader.reload()
        assert logged == [
            "configuration reloaded",
            "changed, and waiting for a restart: database, backends, ledger.lease",
        ]


@ensureDeferred
async def test_signals_while_one_is_at_work(logged: list[str]) -> None:
    """Many are one more: it reads what the last of them meant."""
    follower = Follower("auth")
    gate: Deferred[None] = Deferred()
    follower.gate = gate
    reloader = Reloader(STARTED, reader(STARTED, NEW), [follower.applier])
    for _ in range(5):
        reloader.soon()
    assert follower.prepared == [STARTED]
    follower.gate = None
    gate.callback(None)
    assert follower.acted == [STARTED, NEW]
    assert logged == ["configuration reloaded"] * 2


def test_changes_have_the_names_of_keys() -> None:
    def told(**sections: Any) -> list[str]:
        document = {"database": DATABASE, "backends": [BACKEND], **sections}
        return changes(STARTED, read(document))

    assert told() == []
    assert told(server={"listen_addr": ":1"}) == ["server.listen_addr"]
    assert told(database={**DATABASE, "max_conn_lifetime": 5}) == [
        "database.max_conn_lifetime"
    ]
    assert told(backends=[BACKEND, OTHER]) == ["backends"]
    assert told(telemetry={"metrics": {"path": "/m"}}) == ["telemetry.metrics.path"]
    assert told(multipart={"max_age": "1h"}, ledger={"grace": 1}) == [
        "ledger.grace",
        "multipart.max_age",
    ]


def test_what_counts_after_a_reload() -> None:
    """
    The followed keys alone: a process started later goes by what the others go by.

    A section that came or went waits for a start, as with the others.
    """
    tls = {"cert_file": "/c", "key_file": "/k"}
    document = {"database": DATABASE, "backends": [BACKEND]}
    new = read(
        {
            **document,
            "auth": {"token": "canary"},
            "ledger": {"lease": 7, "grace": 8},
            "server": {"tls": tls, "virtual_bucket": "main", "max_requests": 7},
        }
    )
    followed = ["auth", "server.tls", "server.max_requests", "ledger.lease"]
    counts = in_force(STARTED, new, followed)
    assert changes(counts, new) == [
        "server.virtual_bucket",
        "server.tls",
        "ledger.grace",
    ]
    assert changes(STARTED, counts) == [
        "server.max_requests",
        "auth.token",
        "ledger.lease",
    ]
    other = {**tls, "key_file": "/other"}
    newer = read({**document, "server": {"tls": other}})
    assert in_force(new, newer, followed).server.tls == newer.server.tls


# A real daemon and a real signal ---

ALICE = {"access_key_id": "alice", "secret_access_key": "of alice"}
AUTH = {"access_key_id": KEY_ID, "secret_access_key": SECRET}


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of an error."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_hang_up(
    database: DatabaseConfig, backend_config: Callable[..., BackendConfig]
) -> None:
    """One process from the beginning to the end: what is changed acts at once."""
    with Daemon(database, [backend_config()]) as daemon:
        pid = daemon.pid
        owner = daemon.client()
        owner.put_object(Bucket=BUCKET, Key="k", Body=b"kept")

        # A changed secret; a key more, with a bucket that was not there.
        daemon.configure(
            auth={**AUTH, "secret_access_key": "another secret"},
            credentials=[{**ALICE, "buckets": {"photos": {}, BUCKET: {"mode": "ro"}}}],
        )
        assert "configuration reloaded" in daemon.hang_up()
        assert refusal(owner.get_object, Bucket=BUCKET, Key="k") == (
            "SignatureDoesNotMatch"
        )
        owner = daemon.client((KEY_ID, "another secret"))
        assert owner.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"kept"
        assert refusal(owner.head_bucket, Bucket="photos") == "403"
        alice = daemon.client(("alice", "of alice"))
        alice.put_object(Bucket="photos", Key="p", Body=b"p")
        assert alice.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"kept"
        assert refusal(alice.put_object, Bucket=BUCKET, Key="k") == "AccessDenied"

        # A bad file is refused whole, with all its problems; what was goes on.
        daemon.configure(credentials=None, ledger={"lease": 0}, sever={})
        text = daemon.hang_up()
        assert "config.yaml: ledger.lease: want a duration" in text
        assert "config.yaml: sever: unknown key" in text
        alice.head_object(Bucket="photos", Key="p")

        # Neither does an empty file open the door.
        whole = daemon.config.read_text()
        daemon.config.write_text("")
        assert "turn authentication off needs a restart" in daemon.hang_up()
        daemon.config.write_text(whole)
        alice.head_object(Bucket="photos", Key="p")

        # What cannot change is named; a grant that is gone is gone.
        daemon.configure(ledger={"lease": "9s"}, sever=None, auth=AUTH)
        text = daemon.hang_up()
        assert "waiting for a restart: ledger.lease" in text
        assert refusal(alice.head_object, Bucket="photos", Key="p") == "403"
        owner = daemon.client(signature_version="s3v4")
        assert refusal(owner.head_bucket, Bucket="photos") == "404"
        assert SECRET not in daemon.log.read_text()

        # Bodies that nobody signed are taken, and then no more: a URL signs none.
        address = owner.generate_presigned_url(
            "put_object", {"Bucket": BUCKET, "Key": "k"}
        )
        url = urllib.request.Request(address, b"unsigned", method="PUT")
        assert urllib.request.urlopen(url).status == 200
        daemon.configure(
            server={"listen_addr": "127.0.0.1:0", "require_signed_payload": True}
        )
        assert "require_signed_payload" not in daemon.hang_up()
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(url)
        owner.put_object(Bucket=BUCKET, Key="k", Body=b"signed")

        # What is at work goes on: a download whose key is changed in its middle.
        size = 64 * 1024 * 1024
        owner.put_object(Bucket=BUCKET, Key="large", Body=bytes(size))
        body = owner.get_object(Bucket=BUCKET, Key="large")["Body"]
        assert len(body.read(1024)) == 1024
        daemon.configure(auth={**AUTH, "secret_access_key": "a third secret"})
        daemon.hang_up()
        assert len(body.read()) == size - 1024
        assert daemon.pid == pid
