"""The digests of a body: what the client said it would be, and what came."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from awscrt import checksums as crt

from s3proxy.errors import (
    BadDigest,
    XAmzContentSHA256Mismatch,
)

# Algorithm, as in x-amz-checksum-…, to the bytes of its value.
ALGORITHMS: Mapping[str, int] = {
    "crc32": 4,
    "crc32c": 4,
    "crc64nvme": 8,
    "sha1": 20,
    "sha256": 32,
}
#: Of the whole object, or of its parts' checksums.
FULL_OBJECT, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
# How many parts a composite checksum is of.
COUNT = re.compile(r"-[1-9]\d{0,4}\Z", re.ASCII)


class Running(Protocol):
    """A checksum under way, as of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...

    def digest(self) -> bytes:
        """The checksum of what came so far, raw."""
        ...


class _Crc:
    """A CRC in the shape of hashlib's objects."""

    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self._step, self._size = step, size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_MAKE: Mapping[str, Callable[[], Running]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(crt.crc32c, 4),
    "crc64nvme": lambda: _Crc(crt.crc64nvme, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def running(algorithm: str) -> Running:
    """A checksum of nothing yet."""
    return _MAKE[algorithm]()


def shown(checksum: Running) -> str:
    """The base64 of a checksum, as S3 shows it."""
    return base64.b64encode(checksum.digest()).decode()


def digest(algorithm: str, data: bytes) -> bytes:
    """One checksum of *data*, raw."""
    checksum = running(algorithm)
    checksum.update(data)
    return checksum.digest()


class Digests:
    """
    Everything that is computed of one body, each algorithm once.

    :param md5: The MD5 that the client promised, 32 hex digits, or None.
    :param sha256: The signed payload hash, 64 lower-case hex digits, or None.
    :param checksums: Promised ``x-amz-checksum-…``: algorithm to base64 value.
    """

    def __init__(
        self,
        md5: str | None = None,
        sha256: str | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        self._want_md5 = md5
        self._want_sha256 = sha256
        self._want = dict(checksums or {})
        algorithms = set(self._want) | ({"sha256"} if sha256 is not None else set())
        self._hashes = {name: running(name) for name in sorted(algorithms)}
        # Always: it is the ETag.
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._md5.update(data)
        for each in self._hashes.values():
            each.update(data)

    def verify(self) -> None:
        """
        Compare with what was promised; call it when the whole body has come.

        :raises XAmzContentSHA256Mismatch: The signed payload hash is another (400).
        :raises BadDigest: Content-MD5 or a checksum is another (400).
        """
        if self._want_sha256 is not None:
            computed = self._hashes["sha256"].digest().hex()
            if computed != self._want_sha256:
                raise XAmzContentSHA256Mismatch(
                    fields={
                        "ClientComputedContentSHA256": self._want_sha256,
                        "S3ComputedContentSHA256": computed,
                    }
                )
        if self._want_md5 is not None and self.md5_hex != self._want_md5:
            raise BadDigest(
                "The Content-MD5 you specified did not match what we received."
            )
        for name, promised in self._want.items():
            if self.value(name) != promised:
                raise BadDigest(
                    f"The {name.upper()} you specified did not match the calculated "
                    "checksum."
                )

    @property
    def md5_hex(self) -> str:
        """The MD5 of what came so far: the ETag, once all has come."""
        return self._md5.hexdigest()

    def value(self, algorithm: str) -> str:
        """The base64 of a computed checksum, as S3 shows it."""
        return shown(self._hashes[algorithm])


def parse_value(algorithm: str, text: str) -> str | None:
    """
    Read one checksum.

    :returns: As S3 shows it; None when it is not the base64 of that many bytes.
    """
    raw = decode_base64(text)
    if raw is None or len(raw) != ALGORITHMS[algorithm]:
        return None
    return base64.b64encode(raw).decode()


def type_of(value: str) -> str:
    """Whether a checksum is of the whole object, or of its parts' checksums."""
    return COMPOSITE if COUNT.search(value) else FULL_OBJECT


def decode_base64(text: str) -> bytes | None:
    """The bytes of strict base64, or None."""
    try:
        return base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (UnicodeError, binascii.Error):
        return None
