"""Reading ``credentials``: key pairs, and what each may do with which bucket."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from s3proxy import config_values as values
from s3proxy.config_model import CredentialConfig
from s3proxy.config_parse import Section
from s3proxy.model import Grant

_MODES = ("rw", "ro")


def read_credentials(
    sections: Sequence[Section], owner: str | None, reserved: Collection[str]
) -> tuple[CredentialConfig, ...]:
    """
    Read the list; problems are noted where they are.

    :param owner: The access key of ``auth``, which none of these may be.
    :param reserved: Names that no bucket may have.
    """
    credentials = tuple(_credential(section, reserved) for section in sections)
    keys = {} if owner is None else {owner: "auth"}
    for section, credential in zip(sections, credentials, strict=True):
        first = keys.setdefault(credential.access_key_id, section.path)
        if credential.access_key_id and first != section.path:
            section.problem(
                "access_key_id", f"want a key of its own, it is that of {first}"
            )
    return credentials


def _credential(section: Section, reserved: Collection[str]) -> CredentialConfig:
    credential = CredentialConfig(
        access_key_id=section.get(
            "access_key_id", values.access_key, "", required=True
        ),
        secret_access_key=section.get(
            "secret_access_key", values.trimmed, "", required=True, secret=True
        ),
        create_buckets=section.get("create_buckets", values.boolean, False),
        buckets={
            name: _grant(name, each, reserved)
            for name, each in section.named("buckets")
        },
    )
    section.finish()
    return credential


def _grant(name: str, section: Section, reserved: Collection[str]) -> Grant:
    if not values.is_dns_bucket(name):
        section.problem("", "want a bucket name: 3 to 63 of a-z, 0-9, '-' and '.'")
    elif name in reserved:
        section.problem("", "want another name than a path of the server")
    grant = Grant(
        writable=section.get("mode", values.one_of(*_MODES), "rw") == "rw",
        prefix=section.get("prefix", values.key_prefix, ""),
    )
    section.finish()
    return grant
