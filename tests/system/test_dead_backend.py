"""Two copies of everything, and a backend that is killed: every object reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import BUCKET, SHORT_LEDGER, Daemon
from tests.servers import PostgresServer, S3Server
from tests.system.wire import make_body

KIB = 1024


# Two S3 servers, and a wait for what a job does: it takes long.
@pytest.mark.system
def test_every_object_reads(
    postgres: PostgresServer,
    database: DatabaseConfig,
    own_s3server: S3Server,
    backend_config: Callable[..., BackendConfig],
) -> None:
    """Whatever its size; writes go on, and all is well when it comes back."""
    backends = [own_s3server.create_bucket("dies"), backend_config("b")]
    backends.append(backend_config("c"))
    replication = {"factor": 2, "write_quorum": 2, "worker_interval": "200ms"}
    daemon = Daemon(database, backends, ledger=SHORT_LEDGER, replication=replication)
    connection = postgres.connect(database.database)

    def wait_copies() -> None:
        deadline = time.monotonic() + 60
        sql = "SELECT 1 FROM object_parts WHERE live_copies <> 2"
        while True:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE object_parts SET replica_due_at = now()")
                cursor.execute(sql)
                if not cursor.fetchall():
                    return
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with daemon:
        client = daemon.client()
        bodies = {"small": make_body(1, 10 * KIB), "large": make_body(2, 3000 * KIB)}
        bodies["empty"] = b""
        for key, data in bodies.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=data)
        bodies["upload"] = upload(
            client, [make_body(3, 2560 * KIB) * 2, make_body(4, KIB)]
        )
        wait_copies()
        own_s3server.kill()

        def read_all() -> None:
            for key, data in bodies.items():
                answer = client.get_object(Bucket=BUCKET, Key=key)
                assert answer["Body"].read() == data, key
            answer = client.get_object(
                Bucket=BUCKET, Key="upload", Range="bytes=5242870-5242889"
            )
            assert answer["Body"].read() == bodies["upload"][5242870:5242890]

        read_all()
        # Two backends are as many as a write needs.
        for number in range(7):
            bodies[f"after-{number}"] = make_body(10 + number, 20 * KIB)
            client.put_object(
                Bucket=BUCKET, Key=f"after-{number}", Body=bodies[f"after-{number}"]
            )
        read_all()
        client.delete_object(Bucket=BUCKET, Key="small")
        del bodies["small"]
        own_s3server.start()
        daemon.wait_clean(seconds=90)
        wait_copies()
        read_all()
    connection.close()


def upload(client: Any, pieces: list[bytes]) -> bytes:
    """A multipart upload; what it makes."""
    where = {"Bucket": BUCKET, "Key": "upload"}
    upload_id = client.create_multipart_upload(**where)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(
                **where, UploadId=upload_id, PartNumber=number, Body=data
            )["ETag"],
        }
        for number, data in enumerate(pieces, 1)
    ]
    client.complete_multipart_upload(
        **where, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    return b"".join(pieces)
