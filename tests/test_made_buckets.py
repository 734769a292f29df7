"""Buckets made at run time, with real clients and two daemons over one database."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.s3.sigv4 import UNSIGNED_PAYLOAD, sign_headers
from tests.daemon import Daemon
from tests.servers import PostgresServer

ALICE, BOB = ("alice", "of alice"), ("bob", "of bob")
CREDENTIALS: list[dict[str, Any]] = [
    {"access_key_id": name, "secret_access_key": secret, "create_buckets": True}
    for name, secret in (ALICE, BOB)
]
PART_BYTES = 5 * 1024 * 1024


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of an error."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def begin_put(port: int, path: str, length: int) -> http.client.HTTPConnection:
    """A PUT of alice's, of which no byte of the body has been sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"host": f"127.0.0.1:{port}"}
    headers |= sign_headers(
        "PUT",
        path,
        "",
        headers,
        access_key_id=ALICE[0],
        secret_access_key=ALICE[1],
        region="us-east-1",
        payload_hash=UNSIGNED_PAYLOAD,
        now=datetime.now(UTC),
    )
    connection.putrequest("PUT", path, skip_host=True, skip_accept_encoding=True)
    for name, value in {**headers, "content-length": str(length)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection


def claims(postgres: PostgresServer, database: DatabaseConfig) -> int:
    """How many bodies are on their way."""
    connection = postgres.connect(database.database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM object_locations WHERE state = 'claimed'"
            )
            ((found,),) = cursor.fetchall()
            return int(found)
    finally:
        connection.close()


def test_two_daemons_share_them(
    postgres: PostgresServer,
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
) -> None:
    """What one makes the other serves at once, also after a kill; no byte is left."""
    backends = [backend_config("one")]
    first, second = Daemon(database, backends), Daemon(database, backends)
    for each in (first, second):
        each.configure(credentials=CREDENTIALS)
    with first, second:
        alice, elsewhere = first.client(ALICE), second.client(ALICE)
        bob = second.client(BOB)

        made = alice.create_bucket(Bucket="mine")
        assert made["Location"] == "/mine"
        first.kill()
        elsewhere.create_bucket(Bucket="mine")
        elsewhere.put_object(Bucket="mine", Key="k", Body=b"x")
        first.start()
        alice = first.client(ALICE)
        assert alice.get_object(Bucket="mine", Key="k")["Body"].read() == b"x"
        listed = [each["Name"] for each in elsewhere.list_buckets()["Buckets"]]
        assert listed == ["mine"]
        assert bob.list_buckets()["Buckets"] == []
        assert refusal(bob.create_bucket, Bucket="mine") == "BucketAlreadyExists"
        assert refusal(bob.get_object, Bucket="mine", Key="k") == "AccessDenied"
        assert refusal(alice.delete_bucket, Bucket="mine") == "BucketNotEmpty"
        alice.delete_object(Bucket="mine", Key="k")

        # A body under way and an open upload, while the other deletes the bucket.
        upload = alice.create_multipart_upload(Bucket="mine", Key="m")["UploadId"]
        alice.upload_part(
            Bucket="mine",
            Key="m",
            UploadId=upload,
            PartNumber=1,
            Body=bytes(PART_BYTES),
        )
        put = begin_put(first.port, "/mine/late", PART_BYTES)
        put.send(bytes(PART_BYTES // 2))
        deadline = time.monotonic() + 30
        while not claims(postgres, database):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        elsewhere.delete_bucket(Bucket="mine")
        put.send(bytes(PART_BYTES - PART_BYTES // 2))
        answer = put.getresponse()
        # 503 where the daemon has learnt first that its claim is gone.
        assert answer.status in (404, 503), answer.read()
        put.close()
        assert refusal(alice.list_parts, Bucket="mine", Key="m", UploadId=upload) == (
            "NoSuchBucket"
        )
        assert alice.list_buckets()["Buckets"] == []
        assert refusal(alice.head_bucket, Bucket="mine") == "404"
        # The name is another's after ledger.late, and empty.
        deadline = time.monotonic() + 30
        while True:
            try:
                bob.create_bucket(Bucket="mine")
                break
            except ClientError as why:
                assert why.response["Error"]["Code"] == "OperationAborted"
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert "Contents" not in bob.list_objects_v2(Bucket="mine")
        assert "Uploads" not in bob.list_multipart_uploads(Bucket="mine")
        assert refusal(alice.head_bucket, Bucket="mine") == "403"

        # The configuration takes a client's bucket only where it says so to its owner.
        bob.put_object(Bucket="mine", Key="k", Body=b"of bob")
        grants = {"mine": {}}
        of_alice, of_bob = CREDENTIALS
        first.configure(credentials=[{**of_alice, "buckets": grants}, of_bob])
        text = first.hang_up()
        assert "bucket mine was made at run time by access key bob" in text
        assert refusal(alice.head_bucket, Bucket="mine") == "403"
        assert bob.head_object(Bucket="mine", Key="k")
        reading = {**of_bob, "buckets": {"mine": {"mode": "ro"}}}
        first.configure(credentials=[{**of_alice, "buckets": grants}, reading])
        assert "the configuration alone says who may do what" in first.hang_up()
        found = alice.get_object(Bucket="mine", Key="k")["Body"].read()
        assert found == b"of bob"
        bob_here = first.client(BOB)
        assert bob_here.head_object(Bucket="mine", Key="k")
        assert refusal(bob_here.put_object, Bucket="mine", Key="k") == "AccessDenied"
        for client in (alice, bob_here):
            assert refusal(client.delete_bucket, Bucket="mine") == "AccessDenied"
        # Where it is not configured it is nobody's any more.
        assert refusal(bob.head_bucket, Bucket="mine") == "404"
        assert refusal(bob.create_bucket, Bucket="mine") == "BucketAlreadyExists"
        first.wait_clean()
