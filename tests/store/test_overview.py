"""What the status page reads: traffic by the minute, open uploads."""

from __future__ import annotations

import pytest_twisted

from s3proxy.store.overview import Overview
from s3proxy.store.pool import Pool
from s3proxy.store.traffic import Traffic
from tests.store.conftest import Database


@pytest_twisted.ensureDeferred
async def test_traffic_of_all_processes_is_added_up_and_old_traffic_goes(
    db: Database, pool: Pool
) -> None:
    db.sql("DELETE FROM traffic")
    db.sql("INSERT INTO traffic VALUES (now() - interval '25 hours', 9, 0, 0)")
    traffic = Traffic(pool)
    await traffic.add(5, 2, 1)
    await traffic.add(2, 0, 1)
    hour = await traffic.last_hour()
    assert len(hour) == 60
    assert sum(minute.requests for minute in hour) == 7
    assert sum(minute.client_errors for minute in hour) == 2
    assert sum(minute.server_errors for minute in hour) == 2
    assert [minute.at for minute in hour] == sorted(minute.at for minute in hour)
    assert db.value("SELECT sum(requests)::int FROM traffic") == 7


@pytest_twisted.ensureDeferred
async def test_the_oldest_open_uploads_are_shown(db: Database, pool: Pool) -> None:
    db.sql(
        """
        INSERT INTO multipart_uploads (upload_id, bucket, object_key, state, created_at)
        SELECT n::text, 'b', 'key ' || n,
               CASE n WHEN 3 THEN 'completed' ELSE 'open' END,
               now() - n * interval '1 hour'
          FROM generate_series(1, 4) n;
        INSERT INTO multipart_parts (upload_id, part_number, part_id, etag, size_bytes)
        VALUES ('4', 1, 'p1', 'e', 100), ('4', 2, 'p2', 'e', 11)
        """
    )
    total, uploads = await Overview(pool).uploads(2)
    assert total == 3
    assert [each.key for each in uploads] == ["key 4", "key 2"]
    assert (uploads[0].parts, uploads[0].size_bytes) == (2, 111)
    assert 14_390 < uploads[0].seconds < 14_500
    assert (await Overview(pool).uploads(0))[1] == []
