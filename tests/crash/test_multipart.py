"""Multipart uploads that are killed, or meet their end, at each point (M1 to M3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from attrs import define
from botocore.exceptions import ClientError, HTTPClientError

from tests.crash.ground import (
    SMALL,
    BreakableDaemon,
    Ground,
    RelayedGround,
    wait_until,
)
from tests.crash.history import body, read
from tests.crash.relays import Fate
from tests.daemon import BUCKET

MIB = 1024 * 1024
#: The least that a part may be when it is not the last.
LARGE = 5 * MIB


def told(call: Callable[..., Any], **more: Any) -> Any:
    """What a client is told: an answer, an error's code, or None without an answer."""
    try:
        return call(Bucket=BUCKET, **more)
    except HTTPClientError:
        return None
    except ClientError as why:
        return why.response["Error"]["Code"]


def expiring(ground: Ground) -> BreakableDaemon:
    """One more daemon, which looks for stale uploads all the time."""
    daemon = BreakableDaemon(ground.database, ground.backends)
    config = yaml.safe_load(daemon.config.read_text())
    config["multipart"] = {"max_age": "24h", "cleanup_interval": "100ms"}
    daemon.config.write_text(yaml.safe_dump(config))
    return daemon


def sizes(ground: Ground) -> list[int]:
    """Of what the S3 server has of this test's keys, but for copies of manifests."""
    keys = ground.s3server.keys(ground.backends[0])
    return sorted(
        size
        for key, size in keys.items()
        if key.startswith(ground.prefix) and not key.endswith(".manifest")
    )


def grow_old(ground: Ground) -> None:
    """This test's uploads are two days old."""
    ground.query(
        "UPDATE multipart_uploads SET created_at = created_at - interval '2 days' "
        f"WHERE starts_with(object_key, '{ground.prefix}')"
    )


@define
class Upload:
    """An upload of this test's key."""

    ground: Ground
    upload_id: str
    key: str

    @classmethod
    def begin(cls, ground: Ground, key: str = "") -> Upload:
        """CreateMultipartUpload."""
        key = key or ground.key
        made = ground.client.create_multipart_upload(Bucket=BUCKET, Key=key)
        return cls(ground, made["UploadId"], key)

    def put_part(self, number: int, data: bytes, client: Any = None) -> Any:
        """UploadPart; the ETag, or what else was told."""
        answer = told(
            (client or self.ground.client).upload_part,
            Key=self.key,
            UploadId=self.upload_id,
            PartNumber=number,
            Body=data,
        )
        return answer["ETag"] if isinstance(answer, dict) else answer

    def parts(self) -> dict[int, str]:
        """ListParts: ETags by number."""
        page = self.ground.client.list_parts(
            Bucket=BUCKET, Key=self.key, UploadId=self.upload_id
        )
        return {each["PartNumber"]: each["ETag"] for each in page.get("Parts", ())}

    def listed(self, *bodies: bytes) -> list[dict[str, Any]]:
        """These bodies as parts 1 to N."""
        return [
            {"PartNumber": number, "ETag": etag_of(data)}
            for number, data in enumerate(bodies, 1)
        ]

    def complete(self, *bodies: bytes, client: Any = None) -> int | None:
        """CompleteMultipartUpload; the status, or None where there was no answer."""
        return self.ground.history.complete(
            client or self.ground.client,
            self.key,
            b"".join(bodies),
            self.upload_id,
            self.listed(*bodies),
        )

    def repeat(self, *bodies: bytes, client: Any = None) -> Any:
        """Complete once more, which writes nothing; the ETag, or what else was told."""
        answer = told(
            (client or self.ground.client).complete_multipart_upload,
            Key=self.key,
            UploadId=self.upload_id,
            MultipartUpload={"Parts": self.listed(*bodies)},
        )
        return answer["ETag"] if isinstance(answer, dict) else answer

    def abort(self, client: Any = None) -> Any:
        """AbortMultipartUpload; the status, or what else was told."""
        answer = told(
            (client or self.ground.client).abort_multipart_upload,
            Key=self.key,
            UploadId=self.upload_id,
        )
        if isinstance(answer, dict):
            return answer["ResponseMetadata"]["HTTPStatusCode"]
        return answer


def etag_of(data: bytes) -> str:
    """A part's ETag, in quotes."""
    return f'"{hashlib.md5(data).hexdigest()}"'


def whole_etag(*bodies: bytes) -> str:
    """That of an object of these parts."""
    digests = b"".join(hashlib.md5(data).digest() for data in bodies)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(bodies)}"'


# M1 ---


@pytest.mark.parametrize(
    ("point", "is_new"),
    [
        ("claim_part.after", False),
        ("commit_part.before", False),
        ("commit_part.sent", None),
        ("commit_part.after", True),
    ],
)
def test_m1_a_part_that_is_killed(
    ground: Ground, point: str, is_new: bool | None
) -> None:
    """The part sent before under its number stays, or the new one is there whole."""
    upload = Upload.begin(ground)
    old, new = body(SMALL), body(SMALL + 1)
    assert upload.put_part(1, old) == etag_of(old)
    ground.daemon.arm(point)
    assert upload.put_part(1, new) is None
    ground.daemon.wait_killed()
    ground.check_counters()
    ground.restart()
    (found,) = upload.parts().values()
    assert found in (etag_of(old), etag_of(new))
    if is_new is not None:
        assert found == etag_of(new if is_new else old)
    ground.verify()
    assert upload.parts() == {1: found}
    kept = new if found == etag_of(new) else old
    assert sizes(ground) == [len(kept)]
    assert upload.complete(kept) == 200
    ground.verify()
    assert read(ground.client, ground.key) == kept


@pytest.mark.parametrize("is_killed", [False, True])
def test_m1_one_part_twice_at_once(ground: Ground, is_killed: bool) -> None:
    """The one that commits last is the part; the other's bytes go."""
    upload = Upload.begin(ground)
    late, early = body(SMALL), body(SMALL + 1)
    with BreakableDaemon(
        ground.database, ground.backends, ledger={"lease": "1h"}
    ) as other:
        other.arm("commit_part.before", "stop")
        putting = ground.later(upload.put_part, 1, late, other.client())
        other.wait_stopped()
        assert upload.put_part(1, early) == etag_of(early)
        if is_killed:
            other.kill()
            assert putting.result() is None
        else:
            other.go_on()
            assert putting.result() == etag_of(late)
        kept = early if is_killed else late
        assert upload.parts() == {1: etag_of(kept)}
        ground.check_counters()
        assert upload.complete(kept) == 200
        ground.verify()
        assert sizes(ground) == [len(kept)]


# M2 ---


@pytest.mark.parametrize(
    ("point", "is_there"),
    [("complete.before", False), ("complete.sent", None), ("complete.after", True)],
)
def test_m2_a_complete_that_is_killed(
    ground: Ground, point: str, is_there: bool | None
) -> None:
    """All or nothing; sent again it has its one answer, whatever came in between."""
    old, large, last, unlisted = body(SMALL), body(LARGE), body(SMALL), body(SMALL)
    assert ground.put(old) == 200
    upload = Upload.begin(ground)
    for number, data in enumerate((large, last, unlisted), 1):
        assert upload.put_part(number, data) == etag_of(data)
    ground.daemon.arm(point)
    assert upload.complete(large, last) is None
    ground.daemon.wait_killed()
    ground.check_counters()
    ground.restart()
    found = read(ground.client, ground.key)
    assert found in (old, large + last)
    if is_there is not None:
        assert found == (large + last if is_there else old)
    if found == old:
        assert upload.complete(large, last) == 200
    assert upload.repeat(large, last) == whole_etag(large, last)
    assert read(ground.client, ground.key) == large + last
    newest = body(SMALL)
    assert ground.put(newest) == 200
    assert upload.repeat(large, last) == whole_etag(large, last)
    assert upload.abort() == "NoSuchUpload"
    ground.verify()
    assert read(ground.client, ground.key) == newest


@pytest.mark.parametrize("fate", ["lose", "drop"])
def test_m2_the_answer_of_the_database_is_lost(
    relayed: RelayedGround, fate: Fate
) -> None:
    """The daemon asks again by itself, and the client has its 200."""
    data = body(SMALL)
    upload = Upload.begin(relayed)
    assert upload.put_part(1, data) == etag_of(data)
    caught = relayed.to_database.catch("FROM ledger_complete(", fate)
    assert upload.complete(data) == 200
    caught.wait()
    assert upload.repeat(data) == whole_etag(data)
    relayed.verify()
    assert read(relayed.client, relayed.key) == data


# M3 ---


@pytest.mark.parametrize(
    ("held", "rival", "fate"),
    [
        ("complete", "abort", "goes on"),
        ("complete", "complete", "goes on"),
        ("complete", "expire", "is killed"),
        ("part", "abort", "is killed"),
        ("part", "complete", "goes on"),
        ("part", "expire", "goes on"),
        ("abort", "complete", "is killed"),
        ("abort", "expire", "goes on"),
    ],
)
def test_m3_one_of_them_wins(ground: Ground, held: str, rival: str, fate: str) -> None:
    """Whoever commits first; the other finds no upload, and its bytes go."""
    first, late = body(SMALL), body(SMALL + 1)
    upload = Upload.begin(ground)
    assert upload.put_part(1, first) == etag_of(first)
    with expiring(ground) as other:
        point = "commit_part" if held == "part" else held
        other.arm(f"{point}.before", "stop")
        client = other.client()
        if held == "part":
            work = ground.later(upload.put_part, 2, late, client)
        elif held == "abort":
            work = ground.later(upload.abort, client)
        else:
            work = ground.later(lambda: upload.repeat(first, client=client))
        other.wait_stopped()
        if rival == "abort":
            assert upload.abort() == 204
        elif rival == "complete":
            assert upload.complete(first) == 200
        else:
            expire(ground)
        if fate == "is killed":
            other.kill()
            assert work.result() is None
        else:
            other.go_on()
            same = held == rival == "complete"
            assert work.result() == (whole_etag(first) if same else "NoSuchUpload")
        there = first if rival == "complete" else None
        assert read(ground.client, ground.key) == there
        ground.check_counters()
        ground.verify()
        assert sizes(ground) == ([SMALL] if there else [])


def expire(ground: Ground) -> None:
    """What the job does, by another process."""
    grow_old(ground)
    ((count,),) = ground.query("SELECT ledger_expire_uploads('24h', '24h', 1000)")
    assert count == 1


# The job ---


@pytest.mark.parametrize("point", ["expire.sent", "expire.after"])
def test_expiry_that_is_killed(ground: Ground, point: str) -> None:
    """Between two batches, or within one: the next round does what is left to do."""
    uploads = [Upload.begin(ground, f"{ground.prefix}{n}") for n in range(25)]
    for upload in uploads[::5]:
        data = body(100)
        assert upload.put_part(1, data) == etag_of(data)
    young = body(SMALL)
    kept = Upload.begin(ground)
    assert kept.put_part(1, young) == etag_of(young)

    def count_open() -> int:
        ((count,),) = ground.query(
            "SELECT count(*) FROM multipart_uploads WHERE state = 'open' "
            f"AND starts_with(object_key, '{ground.prefix}')"
        )
        return int(count)

    with expiring(ground) as daemon:
        daemon.arm(point)
        ground.query(
            "UPDATE multipart_uploads SET created_at = created_at - interval '2 days' "
            f"WHERE starts_with(object_key, '{ground.prefix}') "
            f"AND object_key <> '{ground.key}'"
        )
        daemon.wait_killed()
        left = count_open()
        assert left in ((6,) if point == "expire.after" else (6, 26))
        ground.check_counters()
        daemon.start()
        wait_until(lambda: count_open() == 1, "the rest is aborted")
    assert kept.complete(young) == 200
    ground.verify()
    assert sizes(ground) == [SMALL]
