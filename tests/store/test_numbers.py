"""s3proxy.store.numbers: what is shown of the ledger is what is in it."""

from __future__ import annotations

from pytest_twisted import ensureDeferred

from s3proxy.observe import Counts, Quota
from s3proxy.store.numbers import PostgresNumbers
from tests.store.conftest import Database, MakePool

#: Objects and uploads on three backends, by parts and where their copies are.
_FILL = """
INSERT INTO objects (bucket, object_key, object_id, size_bytes, etag, last_modified,
                     manifest_due_at)
SELECT 'b', 'k' || id, id, 20, etag, now(), CASE id WHEN 'O2' THEN now() END
  FROM unnest(ARRAY['O1', 'O2', 'O3'], ARRAY['e', 'e-2', 'e-2']) AS o (id, etag);
INSERT INTO object_parts (object_id, part_number, part_id, offset_bytes, size_bytes,
                          md5)
VALUES ('O1', 1, 'P1', 0, 20, ''),                          -- plain, two copies
       ('O2', 1, 'P2', 0, 10, ''), ('O2', 2, 'P3', 10, 10, ''),  -- parts on one backend
       ('O3', 1, 'P4', 0, 10, ''), ('O3', 2, 'P5', 10, 10, '');  -- and on two
INSERT INTO multipart_uploads (upload_id, bucket, object_key, state)
VALUES ('U1', 'b', 'k', 'open'), ('U2', 'b', 'k', 'open'), ('U3', 'b', 'k', 'aborted');
INSERT INTO multipart_parts (upload_id, part_number, part_id, etag, size_bytes)
VALUES ('U1', 1, 'P6', '', 10), ('U1', 2, 'P7', '', 10), ('U3', 1, 'P8', '', 10);
INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, bucket,
    object_key, size_bytes, state, due_at, attempts, is_manifest, is_adopted)
SELECT c, p, n, c, 'b', 'k', size, s, now() + due * interval '1 minute', a, m, t
  FROM (VALUES
    ('C1', 'P1', 'one', 20, 'live', NULL::integer, 0, false, false),
    ('C2', 'P1', 'two', 20, 'live', NULL, 0, false, false),
    ('C3', 'P2', 'one', 10, 'live', NULL, 0, false, false),
    ('C4', 'P3', 'one', 10, 'live', NULL, 0, false, false),
    ('C5', 'P4', 'one', 10, 'live', NULL, 0, false, false),
    ('C6', 'P5', 'two', 10, 'live', NULL, 0, false, false),
    ('C7', 'M1', 'three', 7, 'live', NULL, 0, true, false),     -- a manifest copy
    ('C8', 'P6', 'three', 10, 'live', NULL, 0, false, false),
    ('C9', 'P7', 'three', 10, 'live', NULL, 0, false, false),
    ('D1', 'P9', 'one', 5, 'claimed', 1, 0, false, false),
    ('D2', 'Q1', 'one', 6, 'claimed', -1, 0, false, false),     -- past its lease
    ('D3', 'P4', 'two', 10, 'garbage', 1, 1, false, false),
    ('D4', 'Q2', 'two', 3, 'garbage', 1, 9, false, false),      -- tried often
    ('D5', 'Q3', 'two', 2, 'abandoned', 1, 2, false, false),
    ('D6', 'Q4', 'two', 0, 'abandoned', 1, 0, false, true)      -- a tombstone
  ) AS v (c, p, n, size, s, due, a, m, t);
INSERT INTO read_pins VALUES ('O1', now() + interval '1 minute'),
                             ('O2', now() - interval '1 minute');
"""


@ensureDeferred
async def test_what_is_there(db: Database, make_pool: MakePool) -> None:
    """An object or upload counts once on each backend that has any of its bytes."""
    numbers = PostgresNumbers(make_pool(db.config))
    for name, limit in (("one", 1000), ("two", 0), ("three", 7)):
        db.add_backend(name, limit)
    assert await numbers.counts() == Counts({}, {})
    assert await numbers.unsettled() == []
    db.sql(_FILL)
    assert await numbers.quotas() == [
        Quota("one", 61, 1000),
        Quota("three", 27, 7),
        Quota("two", 45, 0),
    ]
    assert await numbers.counts() == Counts(
        {"one": 3, "two": 2, "three": 0}, {"three": 1}
    )
    found = {
        (each.backend, each.state): (each.count, each.size_bytes, each.late_count)
        for each in await numbers.unsettled()
    }
    assert found == {
        ("one", "claimed"): (2, 11, 1),
        ("two", "garbage"): (2, 13, 1),
        ("two", "abandoned"): (1, 2, 0),
    }
    assert await numbers.waiting() == (1, 1)
    db.clear()


@ensureDeferred
async def test_statements_have_their_names(db: Database, make_pool: MakePool) -> None:
    """The pool's listener hears every statement by its name."""
    heard = []

    class Ear:
        async def statement(self, name, work):  # type: ignore[no-untyped-def]
            heard.append(name)
            return await work

    pool = make_pool(db.config)
    pool.watch = Ear()
    await PostgresNumbers(pool).counts()
    await PostgresNumbers(pool).waiting()
    await pool.query("SELECT 1")
    await pool.fresh("SELECT 1")
    assert heard == ["count_objects", "count_uploads", "waiting_work", "other", "other"]
    assert pool.usage == (1, 0, 0)
