"""obstore, over Rust's object_store."""

from __future__ import annotations

import urllib.request
from datetime import timedelta
from pathlib import Path

import obstore
from common import BUCKET, ENDPOINT, KEY_ID, REGION, SCHEME, SECRET, main, say
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

store = S3Store(
    BUCKET,
    endpoint=ENDPOINT,
    access_key_id=KEY_ID,
    secret_access_key=SECRET,
    region=REGION,
    client_options={"allow_http": SCHEME == "http"},
)


def put(path: str, key: str) -> None:
    """In parts of 5 MiB, if it is larger."""
    obstore.put(store, key, Path(path))


def keys(prefix: str) -> None:
    """Its prefixes are folders, so everything is listed."""
    for page in obstore.list(store):
        say(each["path"] for each in page if each["path"].startswith(prefix))


def get(key: str, path: str) -> None:
    """Download, piece by piece."""
    with open(path, "wb") as file:
        for piece in obstore.get(store, key).stream():
            file.write(piece)


def delete(key: str) -> None:
    """One object, by DeleteObjects."""
    obstore.delete(store, key)


def use(folder: str) -> None:
    """A store of bytes by key, with conditions."""
    data = bytes(range(256)) * 1024
    first = obstore.put(store, f"{folder}/a", data, mode="create")
    try:
        obstore.put(store, f"{folder}/a", b"again", mode="create")
        raise AssertionError("it made what is there")
    except AlreadyExistsError:
        pass
    obstore.put(store, f"{folder}/a", data[::-1], mode={"e_tag": first["e_tag"]})
    try:
        obstore.put(store, f"{folder}/a", b"old", mode={"e_tag": first["e_tag"]})
        raise AssertionError("it changed what has changed")
    except PreconditionError:
        pass
    assert bytes(obstore.get(store, f"{folder}/a").bytes()) == data[::-1]
    asked = obstore.get_ranges(
        store, f"{folder}/a", starts=[0, 200_000], ends=[5, 200_007]
    )
    assert [bytes(each) for each in asked] == [
        data[::-1][:5],
        data[::-1][200_000:200_007],
    ]
    obstore.copy(store, f"{folder}/a", f"{folder}/b/c")
    obstore.rename(store, f"{folder}/a", f"{folder}/ä b+c")
    assert obstore.head(store, f"{folder}/b/c")["size"] == len(data)
    found = obstore.list_with_delimiter(store, folder)
    assert list(found["common_prefixes"]) == [f"{folder}/b"]
    assert [each["path"] for each in found["objects"]] == [f"{folder}/ä b+c"]
    url = obstore.sign(store, "PUT", f"{folder}/put", timedelta(minutes=1))
    request = urllib.request.Request(url, data, method="PUT")
    assert urllib.request.urlopen(request).status == 200
    url = obstore.sign(store, "GET", f"{folder}/put", timedelta(minutes=1))
    assert urllib.request.urlopen(url).read() == data
    obstore.delete(store, [f"{folder}/put", f"{folder}/b/c", f"{folder}/ä b+c"])


main(put, keys, get, delete, use)
