"""minio-py as it is made without a setting; it finds the region out by itself."""

from __future__ import annotations

from common import BUCKET, HOST, KEY_ID, SCHEME, SECRET, main, say
from minio import Minio

client = Minio(
    HOST, access_key=KEY_ID, secret_key=SECRET, secure=SCHEME == "https"
)  # trusts what SSL_CERT_FILE says


def put(path: str, key: str) -> None:
    """In parts of 5 MiB, if it is larger."""
    client.fput_object(BUCKET, key, path)


def keys(prefix: str) -> None:
    """Every key."""
    found = client.list_objects(BUCKET, prefix=prefix, recursive=True)
    say(each.object_name for each in found)


def get(key: str, path: str) -> None:
    """Download."""
    client.fget_object(BUCKET, key, path)


def delete(key: str) -> None:
    """One object."""
    client.remove_object(BUCKET, key)


def presign(key: str) -> None:
    """A URL to put to, and one to get from."""
    say(
        [
            client.presigned_put_object(BUCKET, key),
            client.presigned_get_object(BUCKET, key),
        ]
    )


main(put, keys, get, delete, presign)
