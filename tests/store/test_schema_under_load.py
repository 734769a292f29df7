"""A newer schema is applied while requests of older daemons are in mid-transaction."""

from __future__ import annotations

from contextlib import closing

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from s3proxy.store.schema import schema_text
from tests.store.conftest import Database, until
from tests.store.test_schema import RECORDED, apply, digest

#: What the functions of schema.sql lock, cut in two where a change of the schema may
#: come between.
HALVES = {
    "ledger_claim": (
        "SELECT ledger_place('{one}', 10)",
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
        " bucket, object_key, size_bytes, state, due_at)"
        " VALUES ('c', 'p', 'one', 'c', 'b', 'c', 10, 'claimed', now())",
    ),
    "ledger_claim_part": (
        "SELECT 1 FROM multipart_uploads WHERE upload_id = 'u'",
        "SELECT ledger_claim('{one}', 'b', 'k', false, 1, '60 s', '{}', '{}')",
    ),
    "ledger_commit": (
        "SELECT 1 FROM objects WHERE object_key = 'k' FOR UPDATE",
        "SELECT ledger_discard(object_id, '60 s') FROM objects WHERE object_key = 'k'",
    ),
    "ledger_commit_part": (
        "SELECT 1 FROM multipart_uploads WHERE upload_id = 'u' FOR UPDATE",
        "UPDATE object_locations SET size_bytes = 5 WHERE object_key = 'k';"
        "INSERT INTO multipart_parts (upload_id, part_number, part_id, etag,"
        " size_bytes) VALUES ('u', 1, 'p', 'e', 5)",
    ),
    "ledger_complete": (
        "SELECT 1 FROM objects WHERE object_key = 'k' FOR UPDATE",
        "SELECT 1 FROM multipart_uploads WHERE upload_id = 'u' FOR UPDATE;"
        "SELECT ledger_discard(object_id, '60 s') FROM objects WHERE object_key = 'k';"
        "SELECT ledger_drop_parts('u')",
    ),
    "ledger_collected": (
        "UPDATE object_locations SET attempts = 1 WHERE object_key = 'k'",
        "UPDATE object_locations SET size_bytes = 7 WHERE object_key = 'k'",
    ),
}

WAITS = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


@pytest.fixture
def upgrading(db: Database) -> Database:
    """An object and an upload, and a schema that is to be changed."""
    db.fill("b", ["k"])
    db.sql(
        "INSERT INTO multipart_uploads (upload_id, bucket, object_key)"
        " VALUES ('u', 'b', 'k');"
        "UPDATE installation SET schema_version = 1, schema_digest = 'earlier'"
    )
    return db


@pytest.mark.parametrize("function", HALVES)
@ensureDeferred
async def test_writers_and_a_change_take_turns(
    upgrading: Database, function: str
) -> None:
    """Neither is the other's deadlock: the request goes on, then the change is made."""
    db = upgrading
    begun, rest = HALVES[function]
    with (
        closing(db.server.connect(db.config.database)) as session,
        session.cursor() as cursor,
    ):
        cursor.execute(f"SET statement_timeout = '20s'; BEGIN; {begun}")
        work = Deferred.fromCoroutine(apply(db.config))
        await until(lambda: work.called or db.sql(WAITS) != [])
        assert not work.called
        # This may have to wait, for a change that finds itself in the way.
        await deferToThread(cursor.execute, rest)
        assert not work.called
        cursor.execute("ROLLBACK")
    assert await work
    assert db.value(RECORDED) == digest(schema_text())
