"""Digests: the values of the reference libraries, and exactly the right refusals."""

from __future__ import annotations

import base64
import hashlib

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import BadDigest, XAmzContentSHA256Mismatch
from s3proxy.s3.checksums import ALGORITHMS, Digests
from tests import strategies


def reference(algorithm: str, body: bytes) -> str:
    """The checksum of a whole body, by another way."""
    match algorithm:
        case "crc32":
            raw = crt.crc32(body).to_bytes(4, "big")
        case "crc32c":
            raw = crt.crc32c(body).to_bytes(4, "big")
        case "crc64nvme":
            raw = crt.crc64nvme(body).to_bytes(8, "big")
        case _:
            raw = hashlib.new(algorithm, body).digest()
    return base64.b64encode(raw).decode()


def fed(digests: Digests, pieces: list[bytes]) -> Digests:
    """Give the pieces in order."""
    for piece in pieces:
        digests.update(piece)
    return digests


@given(
    strategies.payloads(),
    strategies.cut_points(),
    st.sampled_from(sorted(ALGORITHMS)),
    st.booleans(),
    st.booleans(),
)
def test_what_was_promised_is_accepted_however_it_is_cut(
    body: bytes, points: list[int], algorithm: str, md5: bool, signed: bool
) -> None:
    """And the MD5 comes out in any case."""
    digests = Digests(
        hashlib.md5(body).hexdigest() if md5 else None,
        hashlib.sha256(body).hexdigest() if signed else None,
        {algorithm: reference(algorithm, body)},
    )
    fed(digests, strategies.cut(body, points)).verify()
    assert digests.md5_hex == hashlib.md5(body).hexdigest()
    assert digests.value(algorithm) == reference(algorithm, body)


@given(
    strategies.payloads(64).filter(bool),
    st.integers(0, 63),
    st.integers(0, 7),
    st.sampled_from(sorted(ALGORITHMS)),
)
def test_one_flipped_bit_is_noticed(
    body: bytes, position: int, bit: int, algorithm: str
) -> None:
    """By every digest, each with its own error."""
    flipped = bytearray(body)
    flipped[position % len(body)] ^= 1 << bit
    damaged = bytes(flipped)
    with pytest.raises(XAmzContentSHA256Mismatch):
        fed(Digests(sha256=hashlib.sha256(body).hexdigest()), [damaged]).verify()
    with pytest.raises(BadDigest):
        fed(Digests(md5=hashlib.md5(body).hexdigest()), [damaged]).verify()
    with pytest.raises(BadDigest):
        fed(
            Digests(checksums={algorithm: reference(algorithm, body)}), [damaged]
        ).verify()


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("crc64nvme", "ae8b14860a799888"),
        ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    ],
)
def test_check_values(algorithm: str, expected: str) -> None:
    """The catalogue's check values, of "123456789"."""
    digests = fed(Digests(checksums={algorithm: ""}), [b"1234", b"", b"56789"])
    assert base64.b64decode(digests.value(algorithm)).hex() == expected


def test_a_missing_byte_is_noticed() -> None:
    """A body cut short does not verify."""
    with pytest.raises(BadDigest):
        fed(Digests(md5=hashlib.md5(b"abc").hexdigest()), [b"ab"]).verify()


def test_nothing_promised_always_verifies() -> None:
    """The MD5 is there for the ETag all the same."""
    digests = Digests()
    digests.verify()
    assert digests.md5_hex == "d41d8cd98f00b204e9800998ecf8427e"


def test_sha256_is_computed_once() -> None:
    """A signed payload hash and a SHA-256 checksum share one computation."""
    body = b"x" * 100
    digests = Digests(
        sha256=hashlib.sha256(body).hexdigest(),
        checksums={"sha256": reference("sha256", body)},
    )
    assert list(digests._hashes) == ["sha256"]
    fed(digests, [body]).verify()
