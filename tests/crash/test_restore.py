"""``backup`` and ``restore``, killed around the loss of the database (G4 to G6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.handlers import validate_bucket_name

from s3proxy.plan.catalogue import BUCKET, PREFIX
from tests.crash.ground import LARGE, SMALL, Ground, Grounds, wait_until
from tests.crash.history import body, read
from tests.daemon import BUCKET as CLIENTS

# A dozen commands, each a process, and three starts of a daemon.
pytestmark = pytest.mark.system


_NEWEST = f"SELECT max(object_key) FROM objects WHERE bucket = '{BUCKET}'"


@pytest.fixture
def ground(grounds: Grounds) -> Iterator[Ground]:
    """Two backends, and a daemon that makes backups."""
    with ExitStack() as stack:
        yield grounds.make(
            stack,
            {"a": 0, "b": 0},
            backup={"enabled": True, "interval": "1h", "keep": 2},
        )


def catalogues(ground: Ground) -> int:
    """Those that the ledger has."""
    rows = ground.query(f"SELECT 1 FROM objects WHERE bucket = '{BUCKET}'")
    return len(rows)


def on_backends(ground: Ground) -> list[int]:
    """Those that each backend has."""
    listed = [ground.s3server.keys(each) for each in ground.backends]
    return [sum(key.startswith(PREFIX) for key in keys) for keys in listed]


def is_out_of_reach(client: Any, key: str) -> None:
    """No client reads, copies, lists, writes or makes the bucket of the catalogues."""
    client.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    for name, more in (
        ("list_objects_v2", {}),
        ("head_bucket", {}),
        ("create_bucket", {}),
        ("delete_bucket", {}),
        ("get_object", {"Key": key}),
        ("delete_object", {"Key": key}),
        ("put_object", {"Key": key, "Body": b"x"}),
        ("copy_object", {"Key": "k", "CopySource": f"{BUCKET}/{key}"}),
    ):
        with pytest.raises(ClientError) as refused:
            bucket = CLIENTS if name == "copy_object" else BUCKET
            getattr(client, name)(Bucket=bucket, **more)
        status = refused.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status in (400, 403, 404), (name, status)
    [listed] = client.list_buckets()["Buckets"]
    assert listed["Name"] == CLIENTS


def test_the_database_is_lost(ground: Ground) -> None:
    """
    Every object is read byte for byte from what was restored and rebuilt, whatever was
    killed on the way; and in the end everything agrees.
    """
    daemon, s3server = ground.daemon, ground.s3server
    bodies = {"small": body(SMALL), "large": body(LARGE), "replaced": body(SMALL)}
    for key, data in bodies.items():
        daemon.client().put_object(Bucket=CLIENTS, Key=key, Body=data)
    upload = daemon.client().create_multipart_upload(Bucket=CLIENTS, Key="parts")
    name = {"Bucket": CLIENTS, "Key": "parts", "UploadId": upload["UploadId"]}
    bodies["parts"] = body(LARGE)
    part = daemon.client().upload_part(**name, PartNumber=1, Body=bodies["parts"])
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    daemon.client().complete_multipart_upload(**name, MultipartUpload={"Parts": parts})
    daemon.client().put_object(Bucket=CLIENTS, Key="deleted", Body=b"d")

    for point in (
        "backup_dump.after",
        "finish.before",
        "commit.sent",
        "backup_old.before",
    ):
        daemon.command("backup", point=point)
        ground.check_counters()
    # Of the last ones that were killed the commit stands, and they are backups.
    assert catalogues(ground) in (1, 2)
    done = daemon.command("backup")
    assert done.returncode == 0 and " on a, b; " in done.stdout, done
    assert catalogues(ground) == 2
    assert daemon.command("backup", "--dry-run").returncode == 0
    [(key,)] = ground.query(_NEWEST)
    is_out_of_reach(daemon.client(signature_version="s3v4"), key)
    ground.settle()
    assert on_backends(ground) == [2, 2]
    assert daemon.check(settled=True).returncode == 0

    for key in ("replaced", "new"):
        bodies[key] = body(SMALL)
        daemon.client().put_object(Bucket=CLIENTS, Key=key, Body=bodies[key])
    daemon.client().delete_object(Bucket=CLIENTS, Key="deleted")
    ground.settle()
    refused = daemon.command("restore")
    assert refused.returncode == 1 and "the ledger is not empty" in refused.stdout
    daemon.terminate()
    ground.lose_database()

    told = daemon.command("restore", "--dry-run")
    assert told.returncode == 0 and "would restore s3proxy-catalogue/" in told.stdout
    daemon.command("restore", point="restore.sent")
    assert ground.query("SELECT 1 FROM objects") == []
    # The newest is cut off on one backend, and changed on the other.
    whole = {}
    for each in ground.backends:
        newest = max(key for key in s3server.keys(each) if key.startswith(PREFIX))
        place = {"Bucket": each.bucket, "Key": newest}
        found = s3server.client.get_object(**place)
        data = whole[newest] = found["Body"].read()
        changed = data[:-9] if each.name == "a" else data[:50] + b"?" + data[51:]
        metadata = found["Metadata"]
        s3server.client.put_object(**place, Body=changed, Metadata=metadata)
    done = daemon.command("restore")
    assert done.returncode == 0 and done.stdout.count(": refused: ") == 2, done
    for each in ground.backends:
        for key, data in whole.items():
            if key in s3server.keys(each):
                s3server.client.put_object(
                    Bucket=each.bucket, Key=key, Body=data, Metadata=metadata
                )
    # And once more, killed just after its commit.
    ground.lose_database()
    daemon.command("restore", point="restore.after")
    assert daemon.command("restore").returncode == 1

    rebuilt = daemon.command("sync", "--rebuild")
    assert rebuilt.returncode == 0, rebuilt.stdout
    daemon.start()
    for key, data in bodies.items():
        assert read(daemon.client(), key) == data, key
    said = daemon.check(settled=False)
    assert said.returncode == 1 and "deleted~" in said.stdout, said
    daemon.client().delete_object(Bucket=CLIENTS, Key="deleted")
    assert "was restored from" in daemon.command("status").stdout
    accepted = daemon.command("sweep", "--accept-restore")
    assert accepted.returncode == 0, accepted.stdout
    ground.settle()
    assert daemon.check(settled=True).returncode == 0

    # And the daemon makes one by itself, now that it is due.
    ground.query("UPDATE objects SET last_modified = last_modified - interval '1 day'")
    before = ground.query(_NEWEST)
    ground.restart()
    # The older ones go in transactions of their own.
    wait_until(
        lambda: ground.query(_NEWEST) != before and catalogues(ground) == 2,
        "a backup on schedule",
    )
    ground.settle()
    assert on_backends(ground) == [2, 2]
    assert daemon.check(settled=True).returncode == 0
