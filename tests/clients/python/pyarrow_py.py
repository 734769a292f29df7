"""pyarrow's file system, over the AWS SDK for C++."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds
from common import (
    BUCKET,
    CA_FILE,
    HOST,
    KEY_ID,
    REGION,
    SCHEME,
    SECRET,
    main,
    save,
    say,
)
from pyarrow import fs

more = {} if CA_FILE is None else {"tls_ca_file_path": CA_FILE}
files = fs.S3FileSystem(
    access_key=KEY_ID,
    secret_key=SECRET,
    endpoint_override=HOST,
    scheme=SCHEME,
    region=REGION,
    **more,
)


def put(path: str, key: str) -> None:
    """Streamed: always an upload of parts, of 10 MiB and more."""
    with open(path, "rb") as source, files.open_output_stream(f"{BUCKET}/{key}") as to:
        while piece := source.read(1024 * 1024):
            to.write(piece)


def keys(prefix: str) -> None:
    """Files below the bucket; it makes no difference of folders and prefixes."""
    found = files.get_file_info(fs.FileSelector(BUCKET, recursive=True))
    names = [each.path.removeprefix(f"{BUCKET}/") for each in found if each.is_file]
    say(name for name in names if name.startswith(prefix))


def get(key: str, path: str) -> None:
    """Download; every read is a request of its own, so they are large ones."""
    with files.open_input_stream(f"{BUCKET}/{key}", buffer_size=8 * 1024**2) as source:
        save(source, path)


def delete(key: str) -> None:
    """One object; it makes the folder around it an empty object of its own."""
    files.delete_file(f"{BUCKET}/{key}")


def use(folder: str) -> None:
    """A table in files by year, as analysts keep them."""
    top = f"{BUCKET}/{folder}"
    count = 300_000
    table = pa.table(
        {
            "year": [2000 + number % 3 for number in range(count)],
            "value": list(range(count)),
            "text": [f"ä {number * 7919 % count}" for number in range(count)],
        }
    )
    ds.write_dataset(
        table, f"{top}/t", filesystem=files, format="parquet", partitioning=["year"]
    )
    found = ds.dataset(f"{top}/t", filesystem=files, partitioning=["year"])
    assert len(found.files) == 3
    columns = ["value", "text"]
    whole = found.to_table(columns=columns).sort_by("value")
    assert whole.equals(table.select(columns))
    some = found.to_table(filter=(ds.field("year") == 2001) & (ds.field("value") < 10))
    assert some["value"].to_pylist() == [1, 4, 7]
    with files.open_input_file(found.files[0]) as file:
        file.seek(file.size() - 4)
        assert file.read(4) == b"PAR1"
    files.move(found.files[0], f"{top}/moved.parquet")
    files.copy_file(f"{top}/moved.parquet", f"{top}/copied.parquet")
    infos = files.get_file_info([f"{top}/moved.parquet", f"{top}/copied.parquet", top])
    assert infos[0].size == infos[1].size > 0
    assert [each.type for each in infos] == [
        fs.FileType.File,
        fs.FileType.File,
        fs.FileType.Directory,
    ]
    files.delete_dir(top)
    assert files.get_file_info(top).type is fs.FileType.NotFound


main(put, keys, get, delete, use)
