"""s3fs, of fsspec, over aiobotocore."""

from __future__ import annotations

from common import BUCKET, ENDPOINT, KEY_ID, SECRET, main, say
from s3fs import S3FileSystem

files = S3FileSystem(key=KEY_ID, secret=SECRET, endpoint_url=ENDPOINT)


def put(path: str, key: str) -> None:
    """In parts of 50 MiB, if it is larger."""
    files.put_file(path, f"{BUCKET}/{key}")


def keys(prefix: str) -> None:
    """Every key."""
    names = [name.removeprefix(f"{BUCKET}/") for name in files.find(BUCKET)]
    say(name for name in names if name.startswith(prefix))


def get(key: str, path: str) -> None:
    """Download."""
    files.get_file(f"{BUCKET}/{key}", path)


def delete(key: str) -> None:
    """One object."""
    files.rm_file(f"{BUCKET}/{key}")


def use(folder: str) -> None:
    """Files as Python knows them."""
    top = f"{BUCKET}/{folder}"
    lines = b"".join(b"line %d\n" % number for number in range(2_000_000))
    with files.open(f"{top}/a/lines", "wb", block_size=5 * 1024**2) as file:
        file.write(lines)
    with files.open(f"{top}/a/lines", "ab") as file:
        file.write(b"appended")
    with files.open(f"{top}/a/lines", "rb") as file:
        assert file.read(8) == lines[:8]
        file.seek(-8, 2)
        assert file.read() == b"appended"
    assert files.cat_file(f"{top}/a/lines") == lines + b"appended"
    assert files.cat_file(f"{top}/a/lines", start=10, end=20) == lines[10:20]
    files.pipe({f"{top}/a/ä b+c": b"1", f"{top}/b/x.txt": b"22"})
    assert files.glob(f"{top}/**/*.txt") == [f"{top}/b/x.txt"]
    assert [sorted(names) for _, _, names in files.walk(top)] == [
        [],
        ["lines", "ä b+c"],
        ["x.txt"],
    ]
    files.mv(f"{top}/b/x.txt", f"{top}/b/y.txt")
    assert not files.exists(f"{top}/b/x.txt")
    assert files.info(f"{top}/b/y.txt")["size"] == 2
    assert files.du(top) == len(lines) + 8 + 1 + 2
    files.copy(f"{top}/a/lines", f"{top}/b/copy")
    assert files.cat_file(f"{top}/b/copy") == lines + b"appended"
    files.rm(top, recursive=True)
    assert not files.exists(top)


main(put, keys, get, delete, use)
