"""A bucket that others filled, taken in beside a running daemon and then used."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5

import pytest
from botocore.exceptions import ClientError

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import BUCKET, SHORT_LEDGER, Daemon
from tests.servers import S3Server
from tests.system.wire import make_body

MIB = 1024 * 1024


def test_taken_in_and_used(
    s3server: S3Server,
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
) -> None:
    """HEAD, GET, ranges, LIST, copies, overwrites, deletes, as of any other object."""
    backends = [backend_config("old"), backend_config("new")]
    bare, bucket = s3server.client, backends[0].bucket
    bare.put_object(
        Bucket=bucket, Key="a", Body=b"hello", ContentType="text/x", Metadata={"w": "m"}
    )
    bare.put_object(Bucket=bucket, Key="dir/b", Body=b"second")
    bare.put_object(Bucket=bucket, Key="dir/c", Body=b"third")
    where = {"Bucket": bucket, "Key": "big"}
    upload_id = bare.create_multipart_upload(**where, ContentType="video/x")["UploadId"]
    pieces = [make_body(n, 3 * MIB) * 2 for n in range(2)]
    parts = [
        {
            "PartNumber": number,
            "ETag": bare.upload_part(
                **where, UploadId=upload_id, PartNumber=number, Body=piece
            )["ETag"],
        }
        for number, piece in enumerate(pieces, 1)
    ]
    bare.complete_multipart_upload(
        **where, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    big = b"".join(pieces)
    with Daemon(database, backends, ledger=SHORT_LEDGER) as daemon:
        client = daemon.client()
        done = daemon.run("sync", "--backend", "old")
        assert (done.returncode, done.stderr) == (0, "")
        page = client.list_objects_v2(Bucket=BUCKET, Delimiter="/")
        assert [each["Key"] for each in page["Contents"]] == ["a", "big"]
        assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["dir/"]
        for key in ("a", "big", "dir/b"):
            ours = client.head_object(Bucket=BUCKET, Key=key)
            theirs = bare.head_object(Bucket=bucket, Key=key)
            for name in ("ETag", "LastModified", "ContentType", "ContentLength"):
                assert ours[name] == theirs[name], (key, name)
            assert ours["Metadata"] == theirs["Metadata"]
        assert client.get_object(Bucket=BUCKET, Key="big")["Body"].read() == big
        answer = client.get_object(
            Bucket=BUCKET, Key="big", Range="bytes=6291450-99999999"
        )
        assert answer["Body"].read() == big[6291450:]

        for key, etag in (("a", md5(b"hello").hexdigest()), ("big", None)):
            source = {"Bucket": BUCKET, "Key": key}
            made = client.copy_object(
                Bucket=BUCKET, Key=f"copy/{key}", CopySource=source
            )
            assert etag is None or made["CopyObjectResult"]["ETag"] == f'"{etag}"'
        copied = client.get_object(Bucket=BUCKET, Key="copy/big")
        assert (copied["Body"].read(), copied["ContentType"]) == (big, "video/x")
        client.copy_object(
            Bucket=BUCKET,
            Key="a",
            CopySource={"Bucket": BUCKET, "Key": "a"},
            MetadataDirective="REPLACE",
            Metadata={"w": "another"},
        )
        assert client.head_object(Bucket=BUCKET, Key="a")["Metadata"] == {
            "w": "another"
        }

        client.put_object(Bucket=BUCKET, Key="dir/b", Body=b"overwritten")
        client.delete_object(Bucket=BUCKET, Key="big")
        client.delete_object(Bucket=BUCKET, Key="dir/c")
        daemon.wait_clean()
        kept = {key for key in s3server.keys(backends[0]) if "~" not in key}
        assert kept == {"a"}
        answer = client.get_object(Bucket=BUCKET, Key="dir/b")
        assert answer["Body"].read() == b"overwritten"

        # Somebody changes it on the backend: what was recorded is not what is there.
        bare.put_object(Bucket=bucket, Key="a", Body=b"hallo")
        with pytest.raises(ClientError) as caught:
            client.get_object(Bucket=BUCKET, Key="a")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        done = daemon.run("sync", "--backend", "old")
        assert (done.returncode, "conflict: 'a'" in done.stdout) == (1, True)
        client.delete_object(Bucket=BUCKET, Key="a")
        daemon.wait_clean()
        assert bare.get_object(Bucket=bucket, Key="a")["Body"].read() == b"hallo"
        assert daemon.run("sync", "--backend", "old").returncode == 0
        assert client.get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"hallo"
        for each in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
            client.delete_object(Bucket=BUCKET, Key=each["Key"])
        daemon.wait_clean()
        assert [s3server.keys(each) for each in backends] == [{}, {}]
