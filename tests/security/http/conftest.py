"""One daemon for the module's bad requests, and a witness that nothing has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import Daemon
from tests.security.http import raw
from tests.servers import PostgresServer, S3Server
from tests.system.wire import poll

# Doors with a clock of their own, for what takes time.
from tests.web.conftest import authority, door, logged, make_door, tls_by

__all__ = ["authority", "door", "logged", "make_door", "tls_by"]

#: The object that is there before, and must be there after.
KEPT, KEPT_BODY = "kept", b"the bytes that were there before"

#: Tests wait for what they leave behind.
QUICK_LEDGER = {
    "lease": "2s",
    "grace": "50ms",
    "late": "50ms",
    "collect_interval": "50ms",
}

_STATE = """
    select (select json_agg(o order by object_key) from objects o),
           (select json_agg(l order by copy_id) from object_locations l),
           (select json_agg(json_build_array(backend_name, bytes_used, bytes_limit)
                            order by backend_name) from backend_quotas),
           (select json_agg(u order by upload_id) from multipart_uploads u
            where state = 'open'),
           (select json_agg(b order by bucket) from buckets b)
"""
_LEFT_OVER = "select exists (select from object_locations where state <> 'live')"


@pytest.fixture(scope="module")
def ground(
    postgres: PostgresServer, s3server: S3Server
) -> Iterator[tuple[DatabaseConfig, BackendConfig]]:
    """A fresh database and a backend with room."""
    database = postgres.create_database()
    backend = s3server.create_bucket("a", quota_bytes=2**30)
    yield database, backend
    s3server.remove_bucket(backend)
    postgres.drop_database(database)


@pytest.fixture(scope="module")
def daemon(ground: tuple[DatabaseConfig, BackendConfig]) -> Iterator[Daemon]:
    """A daemon with one object; at its end the ledger and its log are clean."""
    database, backend = ground
    with Daemon(database, [backend], ledger=QUICK_LEDGER) as daemon:
        raw.send(daemon.port, raw.request("PUT", f"/unified/{KEPT}", body=KEPT_BODY))
        yield daemon
        daemon.wait_clean()
        log = daemon.log.read_text()
        assert "Traceback" not in log and "Unhandled" not in log


@pytest.fixture
def unchanged(
    daemon: Daemon, ground: tuple[DatabaseConfig, BackendConfig], postgres: Any
) -> Iterator[None]:
    """Rows, quotas and the object's bytes are after the test what they were before."""
    connection = postgres.connect(ground[0].database)

    def ask(statement: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()

    # What a test or a broken body leaves behind goes within a moment.
    poll(lambda: not ask(_LEFT_OVER)[0], "a ledger without leftovers")
    before = ask(_STATE)
    yield
    poll(lambda: bool(ask(_STATE) == before), "the ledger as it was")
    connection.close()
    answer = raw.send(daemon.port, raw.request("GET", f"/unified/{KEPT}"))
    assert (answer.status, answer.body) == (200, KEPT_BODY)


@pytest.fixture
def send(daemon: Daemon) -> Callable[..., raw.Answer]:
    """``send(*pieces)`` to the daemon, one answer back."""
    return lambda *pieces: raw.send(daemon.port, *pieces)
