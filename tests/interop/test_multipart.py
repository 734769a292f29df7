"""Lines 41 to 43: ETags, and the ways in which an upload ends."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from tests.daemon import BUCKET, Daemon
from tests.interop.lines import ask, failure, interop

LEAST = 5 * 1024**2
BIG = bytes(LEAST)


class Upload:
    """
    An open upload.

    :ivar sent: Parts by number: ETag and bytes.
    """

    def __init__(self, s3: Any, key: str) -> None:
        self.s3 = s3
        self.named = {"Bucket": BUCKET, "Key": key}
        made = s3.create_multipart_upload(**self.named)
        self.upload = {**self.named, "UploadId": made["UploadId"]}
        self.sent: dict[int, tuple[str, bytes]] = {}

    def send(self, number: int, body: bytes) -> str:
        """Send a part, maybe again; its ETag."""
        answer = self.s3.upload_part(**self.upload, PartNumber=number, Body=body)
        self.sent[number] = answer["ETag"], body
        return str(answer["ETag"])

    def listed(self, *numbers: int) -> dict[str, Any]:
        """The arguments of a Complete."""
        parts = [{"PartNumber": n, "ETag": self.sent[n][0]} for n in numbers]
        return {**self.upload, "MultipartUpload": {"Parts": parts}}

    def etag(self, *numbers: int) -> str:
        """The ETag that S3 gives an object of these parts."""
        md5s = b"".join(hashlib.md5(self.sent[n][1]).digest() for n in numbers)
        return f'"{hashlib.md5(md5s).hexdigest()}-{len(numbers)}"'

    def body(self) -> bytes:
        """What the object holds."""
        found: bytes = self.s3.get_object(**self.named)["Body"].read()
        return found


@interop(41, "etag-of-a-put-is-its-quoted-md5")
def test_etag_of_a_put(s3: Any, prefix: str) -> None:
    """In every answer, whatever the size."""
    for body in (b"", b"x", bytes(3 * 1024**2)):
        named = {"Bucket": BUCKET, "Key": f"{prefix}{len(body)}"}
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        assert s3.put_object(**named, Body=body)["ETag"] == etag
        assert s3.head_object(**named)["ETag"] == etag
        assert s3.get_object(**named)["ETag"] == etag
        page = s3.list_objects_v2(Bucket=BUCKET, Prefix=named["Key"])
        assert page["Contents"][0]["ETag"] == etag


@interop(41, "etag-of-an-upload-is-md5-of-md5s")
def test_etag_of_an_upload(s3: Any, prefix: str) -> None:
    """The same in Complete, HEAD, GET, LIST and versions; of one part, too."""
    for numbers in ((1,), (2, 5)):
        upload = Upload(s3, f"{prefix}{len(numbers)}")
        for number in numbers[:-1]:
            upload.send(number, BIG)
        upload.send(numbers[-1], b"end")
        etag = upload.etag(*numbers)
        done = s3.complete_multipart_upload(**upload.listed(*numbers))
        assert done["ETag"] == etag
        assert s3.head_object(**upload.named)["ETag"] == etag
        assert s3.get_object(**upload.named, Range="bytes=0-0")["ETag"] == etag
        asked = {"Bucket": BUCKET, "Prefix": upload.named["Key"]}
        assert s3.list_objects(**asked)["Contents"][0]["ETag"] == etag
        assert s3.list_object_versions(**asked)["Versions"][0]["ETag"] == etag
        wanted = s3.get_object_attributes(**upload.named, ObjectAttributes=["ETag"])
        assert wanted["ETag"] == etag.strip('"')


@interop(42, "a-subset-of-parts-of-unequal-sizes")
def test_subset(s3: Any, prefix: str) -> None:
    """What is not in the list is no part of the object."""
    upload = Upload(s3, f"{prefix}k")
    upload.send(1, b"not wanted")
    upload.send(3, BIG)
    upload.send(4, BIG + b"longer")
    upload.send(9, b"end")
    s3.complete_multipart_upload(**upload.listed(3, 4, 9))
    assert upload.body() == BIG + BIG + b"longer" + b"end"


@interop(42, "a-part-sent-again")
def test_sent_again(s3: Any, prefix: str) -> None:
    """The last one counts; the ETag of the first one is another part's."""
    upload = Upload(s3, f"{prefix}k")
    first = upload.send(1, b"first")
    upload.send(1, b"second")
    parts = {"Parts": [{"PartNumber": 1, "ETag": first}]}
    assert failure(
        s3.complete_multipart_upload, **upload.upload, MultipartUpload=parts
    ) == (400, "InvalidPart")
    s3.complete_multipart_upload(**upload.listed(1))
    assert upload.body() == b"second"


@interop(42, "lists-that-are-refused")
def test_refused(s3: Any, prefix: str) -> None:
    """Each with its error, and the upload stays open."""
    upload = Upload(s3, f"{prefix}k")
    upload.send(1, b"small")
    upload.send(2, b"end")
    complete = s3.complete_multipart_upload
    assert failure(complete, **upload.listed(2, 1)) == (400, "InvalidPartOrder")
    assert failure(complete, **upload.listed(1, 1)) == (400, "InvalidPartOrder")
    assert failure(complete, **upload.listed(1, 2)) == (400, "EntityTooSmall")
    upload.sent[3] = upload.sent[1]
    assert failure(complete, **upload.listed(3)) == (400, "InvalidPart")
    assert failure(complete, **upload.listed()) == (400, "MalformedXML")
    complete(**upload.listed(2))
    assert upload.body() == b"end"


@interop(43, "complete-sent-again-after-a-lost-reply")
def test_complete_again(s3: Any, daemon: Daemon, prefix: str) -> None:
    """The same answer, also when the object has been overwritten since."""
    upload = Upload(s3, f"{prefix}k")
    upload.send(1, b"x")
    first = s3.complete_multipart_upload(**upload.listed(1))
    again = s3.complete_multipart_upload(**upload.listed(1))
    assert again["ETag"] == first["ETag"]
    s3.put_object(**upload.named, Body=b"newer")
    again = s3.complete_multipart_upload(**upload.listed(1))
    assert again["ETag"] == first["ETag"]
    assert upload.body() == b"newer"


@interop(43, "an-abort-racing-parts")
def test_abort_races(s3: Any, prefix: str) -> None:
    """Each part is stored or NoSuchUpload; the daemon's check finds none left."""
    for number in range(3):
        upload = Upload(s3, f"{prefix}{number}")

        def send(part: int, upload: Upload = upload) -> str:
            try:
                upload.send(part, b"x")
            except ClientError as why:
                return str(why.response["Error"]["Code"])
            return "stored"

        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(send, part) for part in range(1, 9)]
            s3.abort_multipart_upload(**upload.upload)
        assert {each.result() for each in sent} <= {"stored", "NoSuchUpload"}
        assert failure(s3.list_parts, **upload.upload) == (404, "NoSuchUpload")


@interop(43, "a-late-part-and-a-late-complete")
def test_late(s3: Any, prefix: str) -> None:
    """Of an upload that was completed, or aborted, there is none."""
    upload = Upload(s3, f"{prefix}k")
    upload.send(1, b"x")
    s3.complete_multipart_upload(**upload.listed(1))
    late = {**upload.upload, "PartNumber": 2, "Body": b"y"}
    assert failure(s3.upload_part, **late) == (404, "NoSuchUpload")
    other = Upload(s3, f"{prefix}k")
    other.send(1, b"z")
    s3.abort_multipart_upload(**other.upload)
    assert failure(s3.complete_multipart_upload, **other.listed(1)) == (
        404,
        "NoSuchUpload",
    )
    assert failure(s3.abort_multipart_upload, **other.upload) == (404, "NoSuchUpload")
    assert upload.body() == b"x"


@interop(42, "numbers-up-to-10000")
def test_numbers(s3: Any, daemon: Daemon, prefix: str) -> None:
    """The first and the last that there may be."""
    upload = Upload(s3, f"{prefix}k")
    upload.send(1, BIG)
    upload.send(10_000, b"end")
    target = f"/{BUCKET}/{prefix}k?uploadId={upload.upload['UploadId']}&partNumber="
    for wrong in ("0", "10001", "-1", "x"):
        answer = ask(daemon, "PUT", target + wrong, body=b"x")
        assert (answer.status, b"InvalidArgument" in answer.body) == (400, True)
    s3.complete_multipart_upload(**upload.listed(1, 10_000))
    found = s3.get_object_attributes(
        **upload.named, ObjectAttributes=["ObjectParts"], MaxParts=1
    )
    assert found["ObjectParts"]["TotalPartsCount"] == 2
    assert found["ObjectParts"]["IsTruncated"]
