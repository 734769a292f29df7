"""The digests of a body: what the client said it would be, and what came."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from awscrt import checksums as crt

from s3proxy.errors import (
    BadDigest,
    InvalidDigest,
    InvalidRequest,
    NotImplementedYet,
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
# S3's others, which are refused by name.
_UNSERVED = frozenset({"md5", "sha512", "xxhash64", "xxhash3", "xxhash128"})
_HEADER = "x-amz-checksum-"
_NOT_VALUES = frozenset({"algorithm", "mode", "type"})


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A CRC in the shape of hashlib's objects."""

    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self._step, self._size = step, size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_MAKE: Mapping[str, Callable[[], _Hash]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(crt.crc32c, 4),
    "crc64nvme": lambda: _Crc(crt.crc64nvme, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}


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
        self._hashes = {name: _MAKE[name]() for name in sorted(algorithms)}
        # Always: it is the ETag.
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._md5.update(data)
        for running in self._hashes.values():
            running.update(data)

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
        return base64.b64encode(self._hashes[algorithm].digest()).decode()


def parse_content_md5(text: str | None) -> str | None:
    """
    Read Content-MD5 into 32 hex digits; None when it is absent.

    :raises InvalidDigest: It is not the base64 of 16 bytes (400).
    """
    if text is None:
        return None
    raw = _base64(text)
    if raw is None or len(raw) != 16:
        raise InvalidDigest(fields={"Content-MD5": text})
    return raw.hex()


def parse_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Read the ``x-amz-checksum-…`` headers of an upload.

    :param headers: By lower-case name.
    :returns: Algorithm to base64 value; at most one.
    :raises InvalidRequest: Not base64, a wrong length, two algorithms, or an
        x-amz-sdk-checksum-algorithm that is unknown or comes without a checksum (400).
    :raises NotImplementedYet: An algorithm that S3 has and this server has not.
    """
    values: dict[str, str] = {}
    for name, value in headers.items():
        algorithm = name.removeprefix(_HEADER)
        if algorithm == name or algorithm in _NOT_VALUES:
            continue
        if algorithm not in ALGORITHMS:
            raise NotImplementedYet(f"The header '{name}' is not implemented here.")
        raw = _base64(value)
        if raw is None or len(raw) != ALGORITHMS[algorithm]:
            raise InvalidRequest(f"Value for {name} header is invalid.")
        values[algorithm] = base64.b64encode(raw).decode()
    if len(values) > 1:
        raise InvalidRequest(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are "
            "not allowed."
        )
    _check_named(headers.get("x-amz-sdk-checksum-algorithm"), values)
    return values


def _check_named(algorithm: str | None, values: Mapping[str, str]) -> None:
    """Refuse an announced checksum that would go unchecked."""
    if algorithm is None:
        return
    if algorithm.strip().lower() in _UNSERVED:
        raise NotImplementedYet(
            f"The checksum algorithm '{algorithm}' is not implemented here."
        )
    if algorithm.strip().lower() not in ALGORITHMS:
        raise InvalidRequest(
            "Value for x-amz-sdk-checksum-algorithm header is invalid: want one of "
            f"{', '.join(name.upper() for name in ALGORITHMS)}."
        )
    if not values:
        raise InvalidRequest(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding "
            "x-amz-checksum-* or x-amz-trailer headers were found."
        )


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (UnicodeError, binascii.Error):
        return None
