"""The fixtures of the other tests do what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg2 import OperationalError

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.servers import PostgresServer, S3Server


def test_databases_are_separate(
    postgres: PostgresServer, database: DatabaseConfig
) -> None:
    """What one test's database holds, another's does not, unless it is a copy."""
    postgres.execute("CREATE TABLE t (n int)", database.database)
    copied = postgres.create_database(template=database.database)
    postgres.execute("INSERT INTO t VALUES (1)", copied.database)
    empty = postgres.create_database()
    with pytest.raises(Exception, match='relation "t" does not exist'):
        postgres.execute("SELECT * FROM t", empty.database)
    postgres.drop_database(copied)
    postgres.drop_database(empty)
    with pytest.raises(OperationalError, match="does not exist"):
        postgres.connect(empty.database)


def test_postgres_keeps_data_over_stop_and_kill(own_postgres: PostgresServer) -> None:
    """A stopped or killed server comes back at the same address with its rows."""
    own_postgres.execute("CREATE TABLE t (n int)")
    own_postgres.stop()
    with pytest.raises(OperationalError):
        own_postgres.connect()
    own_postgres.start()
    own_postgres.execute("INSERT INTO t VALUES (1)")
    own_postgres.kill()
    own_postgres.start()
    own_postgres.execute("SELECT * FROM t")


def test_buckets_are_separate(
    s3server: S3Server, backend_config: Callable[..., BackendConfig]
) -> None:
    """Each backend of a test has a bucket of its own, empty at first."""
    one, two = backend_config("one"), backend_config(quota_bytes=7)
    s3server.client.put_object(Bucket=one.bucket, Key="k", Body=b"abc")
    assert (one.name, one.quota_bytes, two.quota_bytes) == ("one", 0, 7)
    assert s3server.keys(one) == {"k": 3}
    assert s3server.keys(two) == {}


def test_s3server_keeps_data_over_stop(own_s3server: S3Server) -> None:
    """A stopped or killed server comes back at the same endpoint with its objects."""
    backend = own_s3server.create_bucket()
    own_s3server.client.put_object(Bucket=backend.bucket, Key="k", Body=b"abc")
    own_s3server.stop()
    own_s3server.start()
    own_s3server.kill()
    own_s3server.start()
    assert own_s3server.endpoint == backend.endpoint
    reply = own_s3server.client.get_object(Bucket=backend.bucket, Key="k")
    assert reply["Body"].read() == b"abc"
