"""The database is dropped; ``sync --rebuild`` gives back what clients had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import BUCKET, SHORT_LEDGER, Daemon
from tests.servers import PostgresServer, S3Server
from tests.system.wire import make_body

MIB = 1024 * 1024

#: Another time is the backend's, which had the bytes a moment before.
_DIFFERING = {"ResponseMetadata", "Body", "LastModified"}


def everything(client: Any) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Bytes and headers of every object."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", ()):
            answer = client.get_object(Bucket=BUCKET, Key=entry["Key"])
            told = {k: v for k, v in answer.items() if k not in _DIFFERING}
            found[entry["Key"]] = answer["Body"].read(), told
    return found


def upload(client: Any, key: str, *bodies: bytes) -> None:
    """A multipart upload, with everything that Create takes."""
    where = {"Bucket": BUCKET, "Key": key}
    upload_id = client.create_multipart_upload(
        **where,
        ContentType="video/mp4",
        Metadata={"who": "me"},
        CacheControl="no-cache",
        ChecksumAlgorithm="CRC32",
    )["UploadId"]
    parts = []
    for number, data in enumerate(bodies, 1):
        answer = client.upload_part(
            **where, UploadId=upload_id, PartNumber=number, Body=data
        )
        parts.append(
            {
                "PartNumber": number,
                "ETag": answer["ETag"],
                "ChecksumCRC32": answer["ChecksumCRC32"],
            }
        )
    client.complete_multipart_upload(
        **where, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )


def test_the_database_is_dropped(
    postgres: PostgresServer,
    s3server: S3Server,
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
) -> None:
    """
    Every committed object comes back byte for byte, from all backends, parts of one
    object on several of them; and the proxy goes on with them.
    """
    backends = [backend_config("small", quota_bytes=14 * MIB), backend_config("big")]
    with Daemon(database, backends, ledger=SHORT_LEDGER) as daemon:
        client = daemon.client()
        put = client.put_object
        put(Bucket=BUCKET, Key="a", Body=b"overwritten")
        put(Bucket=BUCKET, Key="a", Body=make_body(1, MIB), Metadata={"who": "me"})
        put(Bucket=BUCKET, Key="no-type.txt", Body=b"")
        put(Bucket=BUCKET, Key="b/é", Body=b"b", CacheControl="no-cache", Expires=0)
        put(Bucket=BUCKET, Key="/x//y", Body=b"opaque", ContentType="text/plain")
        put(Bucket=BUCKET, Key="deleted", Body=b"deleted")
        client.delete_object(Bucket=BUCKET, Key="deleted")
        upload(
            client, "film", *[bytes([n]) + make_body(n, 3 * MIB) * 2 for n in range(3)]
        )
        upload(client, "/short//", b"in one part")
        client.copy_object(
            Bucket=BUCKET,
            Key="no-type.txt",
            CopySource={"Bucket": BUCKET, "Key": "no-type.txt"},
            MetadataDirective="REPLACE",
            Metadata={"later": "set"},
        )
        before = everything(client)
        daemon.wait_clean()
        stored = [s3server.keys(each) for each in backends]
        assert all(stored)
        daemon.terminate()
        postgres.drop_database(database)
        postgres.execute(f"CREATE DATABASE {database.database} TEMPLATE template0")

        done = daemon.run("sync", "--rebuild", "--dry-run")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"would rebuild {len(before)} objects" in done.stdout
        done = daemon.run("sync", "--rebuild")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"rebuilt {len(before)} objects" in done.stdout

        daemon.start()
        client = daemon.client()
        assert everything(client) == before
        daemon.wait_clean()
        assert [s3server.keys(each) for each in backends] == stored
        for key in before:
            client.delete_object(Bucket=BUCKET, Key=key)
        daemon.wait_clean()
        assert [s3server.keys(each) for each in backends] == [{}, {}]
