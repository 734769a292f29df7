"""What the crash tests stand on: a breakable daemon, the ledger's rows, a history."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from attrs import define, field
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.crash.breaking import ENVIRONMENT, POINTS
from tests.daemon import BUCKET, SHORT_LEDGER, Daemon
from tests.servers import PostgresServer, S3Server

PATIENCE_SECONDS = 20.0

#: Below and above what the daemon reads whole before it calls a backend.
SMALL, LARGE = 10_000, 3 * 1024 * 1024

_random = random.Random(7)


def body(size: int = SMALL) -> bytes:
    """Bytes that no other body has."""
    return _random.randbytes(size)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll for what only a server's own working can bring about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


class BreakableDaemon(Daemon):
    """A daemon that dies or stops at a point of :mod:`tests.crash.breaking`."""

    def __init__(
        self,
        database: DatabaseConfig,
        backends: Sequence[BackendConfig],
        *,
        ledger: Mapping[str, str] | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            database,
            backends,
            ledger={**SHORT_LEDGER, **(ledger or {})},
            server=server,
            module="tests.crash.breaking",
        )
        self._order = self.directory / "trip-wire"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start with nothing armed."""
        self._order.unlink(missing_ok=True)
        super().start({ENVIRONMENT: str(self._order), **(environment or {})})

    def arm(self, point: str, action: str = "kill") -> None:
        """From now on, the next time it gets to *point* is the last."""
        assert point in POINTS
        draft = self._order.with_suffix(".draft")
        draft.write_text(f"{point} {action}")
        draft.replace(self._order)

    def wait_killed(self) -> None:
        """It died of the trip wire, and of nothing else."""
        assert self.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert not self._order.exists()

    def wait_stopped(self) -> None:
        """It stands still at the trip wire."""

        def has_stopped() -> bool:
            options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, options) is not None

        wait_until(has_stopped, "the daemon stops")

    def go_on(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)


@define(eq=False)
class Write:
    """
    A PUT or DELETE as its client saw it.

    :ivar body: None for a DELETE.
    :ivar end: When it could no longer take effect; None while it may.
    """

    key: str
    body: bytes | None
    begin: int
    end: int | None = None
    is_acknowledged: bool = False


@define(eq=False)
class History:
    """
    What clients were told, and so what they may find.

    A write may be what stands in the end unless a write that was acknowledged began
    after it was over. One without an answer, or with a 5xx, may have happened, until
    the daemon that had it is known to be dead.
    """

    writes: list[Write] = field(factory=list)
    _clock: Any = field(factory=itertools.count)

    def put(self, client: Any, key: str, data: bytes, **more: Any) -> int | None:
        """PUT; returns the status, or None where there was no answer."""
        return self._write(
            Write(key, data, next(self._clock)),
            lambda: client.put_object(Bucket=BUCKET, Key=key, Body=data, **more),
        )

    def delete(self, client: Any, key: str) -> int | None:
        """DELETE; as :meth:`put`."""
        return self._write(
            Write(key, None, next(self._clock)),
            lambda: client.delete_object(Bucket=BUCKET, Key=key),
        )

    def over(self) -> None:
        """No write of before can still take effect: its daemon is dead."""
        for each in self.writes:
            if each.end is None:
                each.end = next(self._clock)

    def keys(self) -> set[str]:
        """Every key ever written."""
        return {each.key for each in self.writes}

    def possible(self, key: str) -> list[bytes | None]:
        """What may be there now; None is nothing."""
        mine = [each for each in self.writes if each.key == key]
        last = max((each.begin for each in mine if each.is_acknowledged), default=-1)
        return [
            each.body
            for each in [Write(key, None, -1, end=-1), *mine]
            if each.end is None or each.end >= last
        ]

    def check(self, client: Any) -> None:
        """Every key holds one of the values that it may hold, whole; LIST agrees."""
        found: set[str] = set()
        for key in sorted(self.keys()):
            data = read(client, key)
            assert data in self.possible(key), _describe(key, data, self)
            if data is not None:
                found.add(key)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        listed = {each["Key"] for page in pages for each in page.get("Contents", ())}
        assert listed == found

    def _write(self, write: Write, call: Callable[[], object]) -> int | None:
        self.writes.append(write)
        try:
            call()
        except EndpointConnectionError:
            status: int | None = None
            self.writes.remove(write)
        except ClientError as why:
            status = int(why.response["ResponseMetadata"]["HTTPStatusCode"])
            # 4xx and "no room" are told before anything has changed.
            if status < 500 or status == 507:
                self.writes.remove(write)
        except HTTPClientError:
            status = None
        else:
            status = 200
            write.is_acknowledged = True
            write.end = next(self._clock)
        return status


def read(client: Any, key: str) -> bytes | None:
    """The object, byte for byte what its ETag says, or None."""
    try:
        answer = client.get_object(Bucket=BUCKET, Key=key)
    except client.exceptions.NoSuchKey:
        return None
    data: bytes = answer["Body"].read()
    assert answer["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    return data


def _describe(key: str, data: bytes | None, history: History) -> str:
    def name(value: bytes | None) -> str:
        return "nothing" if value is None else f"{value[:6].hex()}({len(value)})"

    lines = [f"{key} is {name(data)}"]
    lines += [
        f"{each.begin}..{each.end} {name(each.body)} acknowledged={each.is_acknowledged}"
        for each in history.writes
        if each.key == key
    ]
    return "\n".join(lines)


@define(eq=False)
class Ground:
    """One database and its backends, seen past the product."""

    postgres: PostgresServer
    s3server: S3Server
    database: DatabaseConfig
    backends: list[BackendConfig]
    history: History = field(factory=History)
    _executor: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(16))
    _connection: Any = None

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """One statement."""
        if self._connection is None:
            self._connection = self.postgres.connect(self.database.database)
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def states(self) -> dict[str, int]:
        """How many copies are in which state."""
        rows = self.query("SELECT state FROM object_locations")
        return dict(Counter(state for (state,) in rows))

    def used(self) -> dict[str, int]:
        """The counters."""
        return dict(self.query("SELECT backend_name, bytes_used FROM backend_quotas"))

    def stored(self) -> dict[str, dict[str, int]]:
        """Keys and sizes, by backend, as the S3 server has them."""
        return {each.name: self.s3server.keys(each) for each in self.backends}

    def pass_time(self) -> None:
        """Every lease and every wait in the ledger is over."""
        self.query(
            "UPDATE object_locations SET due_at = clock_timestamp() "
            "WHERE state <> 'live' AND due_at > clock_timestamp()"
        )

    def later(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        """Make a call that blocks, in a thread."""
        return self._executor.submit(call, *args)

    def settle(self) -> None:
        """Let time pass until recovery has nothing left to do."""

        def is_settled() -> bool:
            self.pass_time()
            return set(self.states()) <= {"live"}

        wait_until(is_settled, "recovery ends")

    def verify(self, daemon: Daemon, *, clients: Collection[Any] = ()) -> None:
        """
        After recovery: ``check`` is clean, the S3 server holds the live copies and
        nothing else, the counters say how much that is, and every object is there.
        """
        self.settle()
        for client in clients or [daemon.client()]:
            self.history.check(client)
        live: dict[str, dict[str, int]] = {each.name: {} for each in self.backends}
        for name, key, size in self.query(
            "SELECT backend_name, backend_key, size_bytes FROM object_locations"
        ):
            live[name][key] = size
        assert self.stored() == live
        assert self.used() == {name: sum(live[name].values()) for name in live}
        daemon.wait_clean()

    def close(self) -> None:
        """Let go of the database."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()
