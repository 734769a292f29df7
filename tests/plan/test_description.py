"""How a backend object describes itself."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.model import Copy
from s3proxy.plan.description import (
    METADATA_LIMIT_BYTES,
    describe,
    describe_manifest,
    describes_fully,
    read_description,
)
from s3proxy.plan.naming import is_opaque
from tests.strategies import keys

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def described(key: str = "k", **more: Any) -> dict[str, str]:
    """The headers of a copy of *key*."""
    backend_key = f"~/{ULID}" if is_opaque(key) else f"{key}~{ULID}"
    fields: dict[str, Any] = {
        "installation_id": "9d2f",
        "bucket": "unified",
        "key": key,
        "part_number": 1,
        "content_type": None,
        "user_metadata": {},
    }
    return describe(Copy(ULID, "part", "one", backend_key, 10), **{**fields, **more})


def size(headers: Mapping[str, str]) -> int:
    """Bytes of user metadata, as S3 counts them."""
    prefix = "x-amz-meta-"
    return sum(
        len(name) - len(prefix) + len(value)
        for name, value in headers.items()
        if name.startswith(prefix)
    )


def test_a_readable_key_is_not_repeated() -> None:
    """The backend key shows it."""
    assert described() == {
        "x-amz-meta-s3proxy-installation": "9d2f",
        "x-amz-meta-s3proxy-bucket": "unified",
        "x-amz-meta-s3proxy-part-id": "part",
        "x-amz-meta-s3proxy-part-number": "1",
        "content-type": "binary/octet-stream",
    }


@given(key=keys())
def test_any_key_can_be_told(key: str) -> None:
    """From the backend key, or from the metadata, within their limit."""
    headers = described(key)
    told = headers.get("x-amz-meta-s3proxy-key")
    assert (told is not None) == is_opaque(key)
    if told is not None:
        assert urlsafe_b64decode(told + "=" * (-len(told) % 4)).decode() == key
        assert "=" not in told
    assert size(headers) <= METADATA_LIMIT_BYTES


@given(
    key=keys(),
    user_metadata=st.dictionaries(
        st.text("abcdefghij-", min_size=1, max_size=20),
        st.text(st.characters(codec="latin-1"), max_size=700),
        max_size=4,
    ),
    content_type=st.none() | st.text(st.characters(codec="latin-1"), max_size=60),
)
def test_headers_are_safe(
    key: str, user_metadata: dict[str, str], content_type: str | None
) -> None:
    """Printable ASCII within the limit, whatever the client's own are."""
    headers = described(key, user_metadata=user_metadata, content_type=content_type)
    for name, value in headers.items():
        assert name == name.lower()
        assert value.isascii()
        assert value.isprintable()
    assert size(headers) <= METADATA_LIMIT_BYTES
    theirs = {name: headers.get(f"x-amz-meta-{name}") for name in user_metadata}
    assert theirs in (user_metadata, dict.fromkeys(user_metadata))


def test_the_clients_headers_go_along() -> None:
    """Where they fit."""
    headers = described(content_type="text/plain", user_metadata={"who": "me"})
    assert headers["content-type"] == "text/plain"
    assert headers["x-amz-meta-who"] == "me"


@pytest.mark.parametrize(
    "user_metadata",
    [
        {"who": "caf\xe9"},
        {"who": "a\nb"},
        {"who": "x" * 2048},
        {"a": "x" * 1000, "b": "x" * 1000},
        {"s3proxy-installation": "somebody else's"},
    ],
)
def test_all_or_none(user_metadata: dict[str, str]) -> None:
    """A part of them would look like all of them; ours are never replaced."""
    headers = described(user_metadata={"fine": "yes", **user_metadata})
    assert headers == described()


def test_exactly_full() -> None:
    """The limit itself can be used."""
    room = METADATA_LIMIT_BYTES - size(described()) - len("who")
    assert described(user_metadata={"who": "x" * room}) != described()
    assert described(user_metadata={"who": "x" * (room + 1)}) == described()


# What a manifest copy has to tell ---


@pytest.mark.parametrize(
    ("more", "is_full"),
    [
        ({}, True),
        ({"content_type": "text/plain", "user_metadata": {"who": "me"}}, True),
        ({"content_type": "text/caf\xe9"}, False),
        ({"user_metadata": {"who": "caf\xe9"}}, False),
        ({"user_metadata": {"who": "x" * 2048}}, False),
        ({"user_metadata": {"s3proxy-bucket": "unified"}}, False),
        ({"headers": {"cache-control": "no-cache"}}, False),
        ({"tags": {"a": "b"}}, False),
    ],
)
def test_describes_fully(more: dict[str, Any], is_full: bool) -> None:
    """Where the backend object alone gives the object back."""
    fields: dict[str, Any] = {"content_type": None, "user_metadata": {}, **more}
    headers, tags = fields.pop("headers", {}), fields.pop("tags", {})
    sent = described(**fields)
    assert describes_fully(sent, headers=headers, tags=tags, **fields) == is_full


@given(key=keys())
def test_a_manifest_copy_tells_whose_it_is(key: str) -> None:
    """Enough to find it without reading it."""
    backend_key = f"~/{ULID}" if is_opaque(key) else f"{key}~{ULID}"
    headers = describe_manifest(
        Copy(ULID, "part", "one", f"{backend_key}.manifest", 10),
        installation_id="9d2f",
        bucket="unified",
        key=key,
        object_id="object",
    )
    told = headers.pop("x-amz-meta-s3proxy-key", None)
    assert (told is not None) == is_opaque(key)
    if told is not None:
        assert urlsafe_b64decode(told + "=" * (-len(told) % 4)).decode() == key
    assert headers == {
        "content-type": "application/json",
        "x-amz-meta-s3proxy-installation": "9d2f",
        "x-amz-meta-s3proxy-bucket": "unified",
        "x-amz-meta-s3proxy-kind": "manifest",
        "x-amz-meta-s3proxy-object-id": "object",
    }


# What is read again ---


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    """As a HEAD tells it."""
    prefix = "x-amz-meta-"
    return {
        name.removeprefix(prefix): value
        for name, value in headers.items()
        if name.startswith(prefix)
    }


@given(
    key=keys(),
    user_metadata=st.dictionaries(
        st.text("abcdefghij-", min_size=1, max_size=20),
        st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)),
        max_size=3,
    ),
    upload_id=st.none() | st.just("upload"),
    number=st.integers(1, 10_000),
)
def test_what_was_described_is_read(
    key: str, user_metadata: dict[str, str], upload_id: str | None, number: int
) -> None:
    """Whatever a copy tells of itself comes back."""
    suffix = f".{number:05}" if upload_id else ""
    backend_key = f"~/{ULID}{suffix}" if is_opaque(key) else f"{key}~{ULID}{suffix}"
    headers = described(
        key,
        user_metadata=user_metadata,
        upload_id=upload_id,
        part_number=number,
        checksums={"crc32": "NhCmhg=="},
    )
    told = read_description(backend_key, metadata_of(headers))
    assert told is not None
    assert (told.installation_id, told.bucket, told.key) == ("9d2f", "unified", key)
    assert (told.copy_id, told.part_id, told.part_number) == (ULID, "part", number)
    assert (told.upload_id, told.is_manifest) == (upload_id, False)
    assert told.user_metadata == user_metadata
    assert told.checksums == {"crc32": "NhCmhg=="}


@given(key=keys())
def test_a_described_manifest_is_read(key: str) -> None:
    """It is of no part."""
    stem = f"~/{ULID}" if is_opaque(key) else f"{key}~{ULID}"
    headers = describe_manifest(
        Copy(ULID, "part", "one", f"{stem}.manifest", 10),
        installation_id="9d2f",
        bucket="unified",
        key=key,
        object_id="object",
    )
    told = read_description(f"{stem}.manifest", metadata_of(headers))
    assert told is not None
    assert (told.key, told.copy_id, told.is_manifest) == (key, ULID, True)


@pytest.mark.parametrize(
    ("backend_key", "changed"),
    [
        ("k", {}),
        (f"~/{ULID}", {}),
        (f"~/{ULID}", {"s3proxy-key": "!"}),
        (f"~/{ULID}", {"s3proxy-key": "_w"}),
        (f"k~{ULID}", {"s3proxy-installation": ""}),
        (f"k~{ULID}", {"s3proxy-part-number": "x"}),
    ],
)
def test_what_tells_too_little(backend_key: str, changed: dict[str, str]) -> None:
    """It is nobody's, as far as can be told."""
    metadata = {**metadata_of(described()), **changed}
    assert read_description(backend_key, metadata) is None
    metadata.pop("s3proxy-part-id")
    assert read_description(f"k~{ULID}", metadata) is None
