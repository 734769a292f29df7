"""The checksums of completed objects."""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import BadDigest, InvalidPart, InvalidRequest
from s3proxy.model import CompletedPart, PartInfo
from s3proxy.s3.checksums import COMPOSITE, FULL_OBJECT, digest
from s3proxy.s3.uploads import CompleteMultipartUpload
from s3proxy.s3.whole_checksums import check_completion, whole_checksum

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CRCS = ("crc32", "crc32c", "crc64nvme")


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def part(number: int, data: bytes, *algorithms: str) -> PartInfo:
    sums = {name: text(digest(name, data)) for name in algorithms}
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return PartInfo(number, etag, len(data), sums, NOW)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6), st.sampled_from(CRCS))
def test_a_full_object_crc_is_that_of_all_the_bytes(
    pieces: list[bytes], algorithm: str
) -> None:
    """Combining the parts' CRCs says what reading everything again would."""
    parts = [part(n, data, algorithm) for n, data in enumerate(pieces, 1)]
    whole = text(digest(algorithm, b"".join(pieces)))
    assert whole_checksum(algorithm, FULL_OBJECT, parts) == whole


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6))
def test_a_composite_is_of_the_parts_checksums(pieces: list[bytes]) -> None:
    """The checksum of the raw checksums, and how many they are."""
    parts = [part(n, data, "crc32") for n, data in enumerate(pieces, 1)]
    raw = b"".join(zlib.crc32(data).to_bytes(4, "big") for data in pieces)
    wanted = text(zlib.crc32(raw).to_bytes(4, "big")) + f"-{len(pieces)}"
    assert whole_checksum("crc32", COMPOSITE, parts) == wanted


def test_a_part_without_leaves_the_object_without() -> None:
    """Half a checksum would be a wrong one."""
    parts = [part(1, b"a", "sha256"), part(2, b"b")]
    assert whole_checksum("sha256", COMPOSITE, parts) is None
    assert whole_checksum("sha256", FULL_OBJECT, [part(1, b"a", "sha256")]) is None


PARTS = {1: part(1, b"abc", "crc32"), 2: part(2, b"defg", "crc32")}
LIST = [CompletedPart(n, each.etag, each.checksums) for n, each in PARTS.items()]
FULL = text(zlib.crc32(b"abcdefg").to_bytes(4, "big"))


def test_what_the_client_says_is_compared() -> None:
    """Right sizes and checksums pass, and the object's comes back."""
    op = CompleteMultipartUpload(
        "b", "k", "u", object_size=7, checksums={"crc32": FULL}
    )
    found = check_completion(op, LIST, PARTS, "CRC32", FULL_OBJECT)
    assert found == {"crc32": FULL}
    assert check_completion(op, LIST, PARTS, None, None) == {}


def test_a_wrong_size() -> None:
    """InvalidRequest: parts are missing, or too many."""
    op = CompleteMultipartUpload("b", "k", "u", object_size=8)
    with pytest.raises(InvalidRequest):
        check_completion(op, LIST, PARTS, None, None)


def test_a_wrong_part_checksum() -> None:
    """InvalidPart names the part."""
    op = CompleteMultipartUpload("b", "k", "u")
    wrong = [LIST[0], CompletedPart(2, LIST[1].etag, {"crc32": "AAAAAA=="})]
    with pytest.raises(InvalidPart) as caught:
        check_completion(op, wrong, PARTS, "CRC32", COMPOSITE)
    assert caught.value.fields["PartNumber"] == "2"


def test_a_wrong_object_checksum() -> None:
    """BadDigest."""
    op = CompleteMultipartUpload("b", "k", "u", checksums={"crc32": "AAAAAA=="})
    with pytest.raises(BadDigest):
        check_completion(op, LIST, PARTS, "CRC32", FULL_OBJECT)


def test_parts_that_are_not_there_are_the_ledgers_to_name() -> None:
    """No error here: the transaction says InvalidPart."""
    op = CompleteMultipartUpload("b", "k", "u")
    extra = [*LIST, CompletedPart(3, "e" * 32, {"crc32": "AAAAAA=="})]
    check_completion(op, extra, PARTS, "CRC32", COMPOSITE)
