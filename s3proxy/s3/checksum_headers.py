"""The digests that a request's headers promise or announce."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from s3proxy.errors import (
    BadDigest,
    InvalidDigest,
    InvalidRequest,
    NotImplementedYet,
)
from s3proxy.s3.checksums import (
    ALGORITHMS,
    COMPOSITE,
    COUNT,
    FULL_OBJECT,
    decode_base64,
    parse_value,
)

# The types that each can be announced with, the one that S3 takes by default first.
_TYPES: Mapping[str, tuple[str, ...]] = {
    "crc32": (COMPOSITE, FULL_OBJECT),
    "crc32c": (COMPOSITE, FULL_OBJECT),
    "crc64nvme": (FULL_OBJECT,),
    "sha1": (COMPOSITE,),
    "sha256": (COMPOSITE,),
}
# S3's others, which are refused by name.
_UNSERVED = frozenset({"md5", "sha512", "xxhash64", "xxhash3", "xxhash128"})
_HEADER = "x-amz-checksum-"
_NOT_VALUES = frozenset({"algorithm", "mode", "type"})


def parse_content_md5(text: str | None) -> str | None:
    """
    Read Content-MD5 into 32 hex digits; None when it is absent.

    :raises InvalidDigest: It is not the base64 of 16 bytes (400).
    """
    if text is None:
        return None
    raw = decode_base64(text)
    if raw is None or len(raw) != 16:
        raise InvalidDigest(fields={"Content-MD5": text})
    return raw.hex()


def parse_checksums(
    headers: Mapping[str, str], announced: str | None = None
) -> dict[str, str]:
    """
    Read the ``x-amz-checksum-…`` headers of an upload.

    :param headers: By lower-case name.
    :param announced: The algorithm that comes in a trailer; then none is a header.
    :returns: Algorithm to base64 value; at most one.
    :raises BadDigest: Not base64, or a wrong length (400).
    :raises InvalidRequest: Two algorithms, or an x-amz-sdk-checksum-algorithm that is
        unknown or comes without a checksum (400).
    :raises NotImplementedYet: An algorithm that S3 has and this server has not.
    """
    values = {name: value for name, value, _ in _sent(headers, counted=False)}
    if len(values) + (announced is not None) > 1:
        raise _too_many()
    _check_named(headers.get("x-amz-sdk-checksum-algorithm"), values, announced)
    return values


def parse_trailer(headers: Mapping[str, str]) -> str | None:
    """
    Read ``x-amz-trailer``; None when absent.

    :returns: The algorithm of the checksum that it announces.
    :raises InvalidRequest: It names something else, or more (400).
    :raises NotImplementedYet: An algorithm that S3 has and this server has not.
    """
    sent = headers.get("x-amz-trailer")
    if sent is None:
        return None
    name = sent.strip().lower()
    algorithm = name.removeprefix(_HEADER)
    if algorithm != name and algorithm in _UNSERVED:
        raise NotImplementedYet(f"The trailer '{name}' is not implemented here.")
    if algorithm == name or algorithm not in ALGORITHMS:
        raise InvalidRequest(
            "The value specified in the x-amz-trailer header is not supported."
        )
    return algorithm


def parse_object_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Read the ``x-amz-checksum-…`` headers of CompleteMultipartUpload.

    They are of the object, never of the body, and ``-N`` may follow a composite one.

    :returns: Algorithm to value as sent; at most one.
    :raises InvalidRequest: As of :func:`parse_checksums`; or NotImplementedYet.
    """
    values = {
        name: value + count for name, value, count in _sent(headers, counted=True)
    }
    if len(values) > 1:
        raise _too_many()
    return values


def parse_announced(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """
    Read ``x-amz-checksum-algorithm`` and ``x-amz-checksum-type``.

    :returns: In upper case; without a type, the algorithm's default one.
    :raises InvalidRequest: Unknown, a type without an algorithm, or not its (400).
    :raises NotImplementedYet: An algorithm that S3 has and this server has not.
    """
    kind = parse_type(headers)
    sent = headers.get("x-amz-checksum-algorithm")
    if sent is None:
        if kind is not None:
            raise InvalidRequest(
                "The x-amz-checksum-type header can only be used with the "
                "x-amz-checksum-algorithm header."
            )
        return None, None
    algorithm = _known_algorithm("x-amz-checksum-algorithm", sent)
    if kind is not None and kind not in _TYPES[algorithm]:
        raise InvalidRequest(
            f"The {kind} checksum type cannot be used with the {algorithm} checksum "
            "algorithm."
        )
    return algorithm.upper(), kind or _TYPES[algorithm][0]


def parse_type(headers: Mapping[str, str]) -> str | None:
    """
    Read ``x-amz-checksum-type``; None when absent.

    :raises InvalidRequest: There is no such type (400).
    """
    kind = headers.get("x-amz-checksum-type")
    if kind is None:
        return None
    if kind.strip().upper() not in (COMPOSITE, FULL_OBJECT):
        raise InvalidRequest("Value for x-amz-checksum-type header is invalid.")
    return kind.strip().upper()


def _sent(
    headers: Mapping[str, str], *, counted: bool
) -> Iterator[tuple[str, str, str]]:
    """Algorithm, value and, where it may be *counted*, the ``-N`` after it."""
    for name, text in headers.items():
        algorithm = name.removeprefix(_HEADER)
        if algorithm == name or algorithm in _NOT_VALUES:
            continue
        if algorithm not in ALGORITHMS:
            raise NotImplementedYet(f"The header '{name}' is not implemented here.")
        count = COUNT.search(text.strip()) if counted else None
        suffix = count[0] if count else ""
        value = parse_value(algorithm, text.strip().removesuffix(suffix))
        if value is None:
            raise BadDigest(
                f"Value for {name} header is invalid: want the base64 of "
                f"{ALGORITHMS[algorithm]} bytes."
            )
        yield algorithm, value, suffix


def _too_many() -> InvalidRequest:
    return InvalidRequest(
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not "
        "allowed."
    )


def _check_named(
    named: str | None, values: Mapping[str, str], announced: str | None
) -> None:
    """Refuse a named checksum that would go unchecked."""
    if named is None:
        return
    algorithm = _known_algorithm("x-amz-sdk-checksum-algorithm", named)
    if announced is not None and announced != algorithm:
        raise InvalidRequest(
            "Value for x-amz-sdk-checksum-algorithm header is invalid: x-amz-trailer "
            "names another."
        )
    if not values and announced is None:
        raise InvalidRequest(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding "
            "x-amz-checksum-* or x-amz-trailer headers were found."
        )


def _known_algorithm(header: str, text: str) -> str:
    algorithm = text.strip().lower()
    if algorithm in _UNSERVED:
        raise NotImplementedYet(
            f"The checksum algorithm '{text}' is not implemented here."
        )
    if algorithm not in ALGORITHMS:
        raise InvalidRequest(
            f"Value for {header} header is invalid: want one of "
            f"{', '.join(name.upper() for name in ALGORITHMS)}."
        )
    return algorithm
