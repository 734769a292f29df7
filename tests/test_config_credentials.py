"""``credentials``: who else may come in, and what the list is refused for."""

from __future__ import annotations

from typing import Any

import pytest

from s3proxy.config import CredentialConfig
from s3proxy.model import Grant
from tests.config_documents import problems, read

ALICE: dict[str, Any] = {"access_key_id": "alice", "secret_access_key": "hidden-a"}
BOB: dict[str, Any] = {"access_key_id": "bob", "secret_access_key": "hidden-b"}
OWNER = {"access_key_id": "owner", "secret_access_key": "hidden-o"}


def test_all_of_it() -> None:
    config = read(
        {
            "auth": OWNER,
            "credentials": [
                {
                    **ALICE,
                    "create_buckets": True,
                    "buckets": {
                        "photos": {},
                        "unified": {"mode": "ro", "prefix": "shared/"},
                        "my.music": {"mode": "rw", "prefix": "é/"},
                    },
                },
                BOB,
            ],
        }
    )
    assert config.credentials == (
        CredentialConfig(
            "alice",
            "hidden-a",
            True,
            {
                "photos": Grant(True, ""),
                "unified": Grant(False, "shared/"),
                "my.music": Grant(True, "é/"),
            },
        ),
        CredentialConfig("bob", "hidden-b", False, {}),
    )
    assert config.buckets[0] == "unified"
    assert sorted(config.buckets) == ["my.music", "photos", "unified"]
    assert config.authenticates


def test_they_are_authentication() -> None:
    assert read({"credentials": [ALICE]}).authenticates
    assert read({"auth": {"token": "t"}}).authenticates
    assert not read({}).authenticates


def test_secrets_come_from_the_environment_and_are_not_shown() -> None:
    config = read({"credentials": [{**ALICE, "secret_access_key": "${S}"}]}, S="canary")
    assert config.credentials[0].secret_access_key == "canary"
    assert "canary" not in repr(config)


# Keys put into the second of two right credentials, and how the message begins.
REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"access_key_id": "alice"},
        ".access_key_id",
        "want a key of its own, it is that ",
    ),
    (
        {"access_key_id": "owner"},
        ".access_key_id",
        "want a key of its own, it is that ",
    ),
    ({"access_key_id": ""}, ".access_key_id", "want text in quotes, not empty"),
    ({"access_key_id": "a/b"}, ".access_key_id", "want visible ASCII without '/'"),
    ({"secret_access_key": ""}, ".secret_access_key", "want text in quotes, not empty"),
    ({"secret_access_key": 5}, ".secret_access_key", "want text in quotes, not empty"),
    ({"secret_access_key": "${NO}"}, ".secret_access_key", "the environment variable"),
    ({"secret_access_key": "hidden${"}, ".secret_access_key", "want ${NAME} where"),
    ({"create_buckets": "yes"}, ".create_buckets", "want true or false"),
    ({"create_bucket": True}, ".create_bucket", "unknown key, want one of access_key"),
    ({"token": "t"}, ".token", "unknown key, want one of access_key"),
    ({"buckets": ["photos"]}, ".buckets", "want keys with values, got a list"),
    ({"buckets": {"Up": {}}}, ".buckets.Up", "want a bucket name: 3 to 63 of a-z"),
    ({"buckets": {"a..b": {}}}, ".buckets.a..b", "want a bucket name: 3 to 63 of a-z"),
    ({"buckets": {123: {}}}, ".buckets.123", "want the name as text: put it in quotes"),
    ({"buckets": {"health": {}}}, ".buckets.health", "want another name than a path"),
    ({"buckets": {"metrics": {}}}, ".buckets.metrics", "want another name than a path"),
    ({"buckets": {"photos": None}}, ".buckets.photos", "want keys with values, or {}"),
    ({"buckets": {"photos": "rw"}}, ".buckets.photos", "want keys with values, got te"),
    (
        {"buckets": {"photos": {"mode": "w"}}},
        ".buckets.photos.mode",
        "want one of rw, ro, got 'w'",
    ),
    (
        {"buckets": {"photos": {"prefix": 1}}},
        ".buckets.photos.prefix",
        "want text of at most 1024 bytes",
    ),
    (
        {"buckets": {"photos": {"prefix": "é" * 513}}},
        ".buckets.photos.prefix",
        "want text of at most 1024 bytes",
    ),
    (
        {"buckets": {"photos": {"prefix": "a\nb"}}},
        ".buckets.photos.prefix",
        "want text of at most 1024 bytes",
    ),
    (
        {"buckets": {"photos": {"modes": "rw"}}},
        ".buckets.photos.modes",
        "unknown key, want one of mode, prefix",
    ),
]


@pytest.mark.parametrize(("keys", "path", "want"), REFUSALS)
def test_case_22_refusals(keys: dict[str, Any], path: str, want: str) -> None:
    """One wrong key gives one line: its path, what it wants, and no secret."""
    read({"auth": OWNER, "credentials": [ALICE, BOB]})
    [line] = problems({"auth": OWNER, "credentials": [ALICE, {**BOB, **keys}]})
    assert line.startswith(f"credentials[1]{path}: {want}")
    assert "hidden" not in line


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key"])
def test_case_22_what_a_credential_needs(key: str) -> None:
    """Half a key pair lets nobody in, and everybody neither: it stops the start."""
    half = {name: value for name, value in ALICE.items() if name != key}
    assert problems({"credentials": [half]}) == [f"credentials[0].{key}: is missing"]


@pytest.mark.parametrize("credentials", [[], None, {}, "x"])
def test_case_22_an_empty_list_is_no_authentication_by_mistake(
    credentials: object,
) -> None:
    [line] = problems({"credentials": credentials})
    assert line.startswith("credentials: want a list of at least one")
