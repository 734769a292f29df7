"""The keys that clients use where the configuration names none."""

from __future__ import annotations

import json
import secrets
import string
from pathlib import Path

from s3proxy.config import AuthConfig
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.files import create_private, read_json

FILE_NAME = "client-keys.json"
_ID_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


def new_key_pair() -> tuple[str, str]:
    """
    A new access key id and its secret, in AWS's shape.

    The secret is letters and digits only, so that it can be pasted anywhere.
    """
    key_id = "AKIA" + "".join(secrets.choice(_ID_LETTERS) for _ in range(16))
    return key_id, "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))


def client_keys(data_dir: Path) -> AuthConfig:
    """
    The client's keys: made at the first call, the same ever after.

    They are kept in *data_dir*, which exists, in a file of mode 0600.

    :raises EmbeddedError: The file is there and does not hold them.
    """
    path = data_dir / FILE_NAME
    kept = read_json(path)
    if kept is None:
        key_id, secret = new_key_pair()
        made = {"access_key_id": key_id, "secret_access_key": secret}
        create_private(path, json.dumps(made, indent=2) + "\n")
        kept = read_json(path)
    match kept:
        case {"access_key_id": str(key_id), "secret_access_key": str(secret)}:
            return AuthConfig(access_key_id=key_id, secret_access_key=secret)
    raise EmbeddedError(f"{path} is damaged: remove it, and new keys will be made")
