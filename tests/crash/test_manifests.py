"""A daemon that is killed around the writing of a manifest copy (N1 to N4)."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from s3proxy.plan.manifest import decode
from tests.boto import boto_client
from tests.crash.ground import SMALL, BreakableDaemon, Ground, Grounds, wait_until
from tests.crash.history import body, read
from tests.daemon import BUCKET


def put_part(ground: Ground, data: bytes) -> tuple[str, list[dict[str, object]]]:
    """An upload of one part; its id, and the list that Complete takes."""
    where = {"Bucket": BUCKET, "Key": ground.key}
    upload_id = ground.client.create_multipart_upload(**where)["UploadId"]
    answer = ground.client.upload_part(
        **where, UploadId=upload_id, PartNumber=1, Body=data
    )
    return upload_id, [{"PartNumber": 1, "ETag": answer["ETag"]}]


def manifests(ground: Ground) -> list[str]:
    """Backend keys of this test's manifest copies that the S3 server has."""
    return sorted(
        key
        for key in ground.s3server.keys(ground.backends[0])
        if key.startswith(ground.prefix) and key.endswith(".manifest")
    )


def check_manifest(ground: Ground, size: int) -> None:
    """The one that is left tells the object as the ledger has it."""
    (key,) = manifests(ground)
    backend = ground.backends[0]
    client = boto_client(
        endpoint_url=backend.endpoint,
        region_name=backend.region,
        aws_access_key_id=backend.access_key_id,
        aws_secret_access_key=backend.secret_access_key,
    )
    answer = client.get_object(Bucket=backend.bucket, Key=key)
    manifest = decode(answer["Body"].read())
    ((installation_id,),) = ground.query("SELECT installation_id FROM installation")
    assert answer["Metadata"]["s3proxy-kind"] == "manifest"
    assert manifest.installation_id == installation_id
    assert (manifest.info.bucket, manifest.info.key) == (BUCKET, ground.key)
    assert manifest.info.size_bytes == size
    ((object_id, etag, headers),) = ground.query(
        "SELECT object_id, etag, headers::text FROM objects "
        f"WHERE object_key = '{ground.key}'"
    )
    assert manifest.info.object_id == object_id
    assert manifest.info.etag == etag
    assert manifest.info.headers == json.loads(headers)
    assert [(part.part_id,) for part in manifest.parts] == ground.query(
        f"SELECT part_id FROM object_parts WHERE object_id = '{object_id}' "
        "ORDER BY part_number"
    )


@pytest.mark.parametrize(
    "point",
    [
        "manifest_take.after",
        "manifest_claim.after",
        "finish.after",
        "manifest_commit.before",
        "manifest_commit.sent",
        "manifest_commit.after",
    ],
)
def test_killed_while_a_manifest_is_written(ground: Ground, point: str) -> None:
    """The upload's object is there; in the end so is one manifest copy, and no more."""
    data = body(SMALL)
    upload = (data, *put_part(ground, data))
    complete = ground.history.complete
    ground.daemon.arm(point)
    # The kill may come before the answer.
    ground.later(complete, ground.client, ground.key, *upload).result()
    ground.daemon.wait_killed()
    ground.check_counters()
    ground.restart()
    assert complete(ground.client, ground.key, *upload) == 200
    ground.verify()
    assert read(ground.client, ground.key) == data
    check_manifest(ground, SMALL)
    assert ground.delete() == 204
    ground.verify()
    assert manifests(ground) == []


def test_killed_between_other_metadata_and_their_manifest(ground: Ground) -> None:
    """The backend object still tells the old ones, so it is written after all."""
    data = body(SMALL)
    assert ground.put(data) == 200
    ground.settle()
    assert manifests(ground) == []
    ground.daemon.arm("manifest_take.after")
    copying = ground.later(
        lambda: ground.client.copy_object(
            Bucket=BUCKET,
            Key=ground.key,
            CopySource={"Bucket": BUCKET, "Key": ground.key},
            MetadataDirective="REPLACE",
            CacheControl="no-cache",
        )
    )
    ground.daemon.wait_killed()
    copying.exception()
    ground.restart()
    ground.verify()
    check_manifest(ground, SMALL)
    assert read(ground.client, ground.key) == data


def test_two_daemons_write_one(ground: Ground) -> None:
    """One that slept while another did its work finds that it is done."""
    with BreakableDaemon(
        ground.database, ground.backends, ledger={"lease": "1h"}
    ) as other:
        other.arm("manifest_commit.before", "stop")
        # Either may take it; until it is the one with the wire.
        while other.is_armed:
            assert ground.put(body(SMALL), CacheControl="no-cache") == 200
            wait_until(
                lambda: not (is_wanted(ground) and other.is_armed), "it is written"
            )
        other.wait_stopped()
        # The hold is over, not the lease of the one that sleeps.
        ground.query("UPDATE objects SET manifest_due_at = manifest_wanted_at")
        wait_until(lambda: not is_wanted(ground), "the manifest is written")
        other.go_on()
        ground.verify(other)
    check_manifest(ground, SMALL)


def test_no_room_for_the_manifest(grounds: Grounds) -> None:
    """The object stands, the manifest waits until there is room."""
    with ExitStack() as stack:
        ground = grounds.make(stack, {"a": SMALL + 10})
        assert ground.put(body(SMALL), CacheControl="no-cache") == 200
        log = ground.daemon.log
        wait_until(
            lambda: "its manifest is not written" in log.read_text(), "it is told"
        )
        assert is_wanted(ground)
        assert "not settled: 1 manifest" in ground.daemon.check().stdout
        assert ground.used() == {"a": SMALL}
        ground.query("UPDATE backend_quotas SET bytes_limit = 0")
        ground.verify()
        check_manifest(ground, SMALL)


def is_wanted(ground: Ground) -> bool:
    """Whether a manifest of this test's key is to be written."""
    return bool(
        ground.query(
            "SELECT 1 FROM objects WHERE manifest_wanted_at IS NOT NULL "
            f"AND object_key = '{ground.key}'"
        )
    )
