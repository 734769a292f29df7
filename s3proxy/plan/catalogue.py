"""
The catalogue: the ledger as a file, from which an empty database is filled again.

It is JSON, a line a row, in gzip: a header, then of each table its name and its rows,
then how many there were and the SHA-256 of all before. A reader knows so whether it has
all of it, and as it was written, before it believes any of it. Neither end holds more
than a line of it.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import IO, Any

from attrs import define, field, frozen

from s3proxy.errors import StoreError

#: Raised by one when a reader of today could not make sense of what is written.
VERSION = 1

#: Where catalogues are in the ledger: no client's bucket can be called that.
BUCKET = "~catalogue"

#: Their keys begin so, here and on backends.
PREFIX = "s3proxy-catalogue/"

CONTENT_TYPE = "application/gzip"

#: In the order in which they can be filled. Who counts copies finds them there, and the
#: parts after them bring their numbers along.
TABLES = (
    "backend_quotas",
    "buckets",
    "objects",
    "object_locations",
    "object_parts",
    "multipart_uploads",
    "multipart_parts",
    "backend_usage",
)

NOT_EMPTY = (
    "the ledger is not empty, and a restore would mix two: make an empty database, "
    "name it in the configuration, and run this again"
)

_KIND = "s3proxy-catalogue"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
#: More than any row takes.
_LINE_BYTES = 16 * 1024 * 1024
#: Gzip's own framing, and a level that costs little.
_GZIP, _LEVEL = 31, 3


class CatalogueError(StoreError):
    """A catalogue cannot be written, or is not to be believed; the text says why."""


@frozen
class Header:
    """
    Whose ledger it was, and when.

    :ivar taken_at: The moment that it shows, by the database's clock.
    :ivar schema_version: That of ``schema.sql``.
    :ivar columns: Of each table, in order.
    """

    installation_id: str
    taken_at: datetime
    schema_version: int
    columns: Mapping[str, Sequence[str]]

    @property
    def key(self) -> str:
        """What it is called; the names of later ones come later."""
        taken = self.taken_at.astimezone(UTC)
        return f"{PREFIX}{taken:%Y%m%dT%H%M%S}{taken.microsecond // 1000:03}Z.jsonl.gz"


@define
class Packer:
    """Gives the file's bytes piece by piece, as rows come."""

    _sha256: Any = field(factory=sha256, init=False)
    _pack: Any = field(init=False)
    _rows: dict[str, int] = field(factory=dict, init=False)
    _table: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self._pack = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    @property
    def rows(self) -> int:
        """How many there are by now."""
        return sum(self._rows.values())

    def begin(self, header: Header) -> bytes:
        """The file begins."""
        return self._lines(
            json.dumps(
                {
                    "kind": _KIND,
                    "version": VERSION,
                    "installation_id": header.installation_id,
                    "taken_at": header.taken_at.astimezone(UTC).isoformat(),
                    "schema_version": header.schema_version,
                    "columns": {k: list(v) for k, v in header.columns.items()},
                }
            )
        )

    def table(self, name: str) -> bytes:
        """Rows of this table come next."""
        self._table = name
        self._rows[name] = 0
        return self._lines(json.dumps({"table": name}))

    def add(self, rows: Sequence[str]) -> bytes:
        """
        More rows.

        :param rows: JSON objects, a line each.
        """
        self._rows[self._table] += len(rows)
        return self._lines(*rows)

    def end(self) -> bytes:
        """There are no more."""
        last = {"rows": self._rows, "sha256": self._sha256.hexdigest()}
        return self._lines(json.dumps({"end": last})) + bytes(self._pack.flush())

    def _lines(self, *lines: str) -> bytes:
        data = "".join(f"{line}\n" for line in lines).encode()
        self._sha256.update(data)
        return bytes(self._pack.compress(data))


@frozen
class Row:
    """A row, as JSON, and the table that it is of."""

    table: str
    text: str


def read_header(file: IO[bytes]) -> Header:
    """
    What a catalogue says of itself; nothing is verified.

    :raises CatalogueError: It is none, or of a version that is not known.
    """
    try:
        return _header(next(_lines(file)))
    except StopIteration:
        raise CatalogueError("it is empty") from None


def read_rows(file: IO[bytes]) -> Iterator[Row]:
    """
    All rows, in order.

    :raises CatalogueError: After the last good row: it is cut off, or has been changed.
    """
    lines = _lines(file)
    digest = sha256()
    counts: dict[str, int] = {}
    table = None
    for number, line in enumerate(lines):
        if number == 0:
            _header(line)
        elif line.startswith(b'{"table": '):
            table = str(_parsed(line).get("table"))
            if table not in TABLES or table in counts:
                raise CatalogueError(f"it has a table {table!r:.80}")
            counts[table] = 0
        elif line.startswith(b'{"end": '):
            _finish(_parsed(line), counts, digest.hexdigest())
            if next(lines, None) is not None:
                raise CatalogueError("it goes on after its end")
            return
        elif table is None:
            raise CatalogueError("it has rows of no table")
        else:
            counts[table] += 1
            yield Row(table, line.decode("utf-8", "surrogateescape"))
        digest.update(line + b"\n")
    raise CatalogueError("it has no end")


def verify(file: IO[bytes]) -> tuple[Header, dict[str, int]]:
    """
    Read all of it.

    :returns: What it says of itself, and how many rows each table has.
    :raises CatalogueError: It is not whole, or has been changed.
    """
    file.seek(0)
    header = read_header(file)
    file.seek(0)
    counts = dict.fromkeys(TABLES, 0)
    for row in read_rows(file):
        counts[row.table] += 1
    return header, counts


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines without their ends; the last one must have one."""
    with gzip.GzipFile(fileobj=file, mode="rb") as plain:
        while True:
            try:
                line = plain.readline(_LINE_BYTES)
            except (EOFError, OSError, zlib.error) as why:
                raise CatalogueError(f"it cannot be unpacked: {why}") from why
            if not line:
                return
            if not line.endswith(b"\n"):
                raise CatalogueError("it has a line that does not end")
            yield line[:-1]


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as why:
        raise CatalogueError(f"it has a line that is no JSON: {why}") from why
    if not isinstance(found, dict):
        raise CatalogueError("it has a line that is no JSON object")
    return found


def _header(line: bytes) -> Header:
    told = _parsed(line)
    if told.get("kind") != _KIND:
        raise CatalogueError("it is no catalogue")
    if told.get("version") != VERSION:
        raise CatalogueError(
            f"it has version {told.get('version')!r:.20}, and {VERSION} is known here: "
            "a newer s3proxy reads it"
        )
    try:
        taken_at = datetime.fromisoformat(told["taken_at"])
        columns = {table: tuple(map(str, told["columns"][table])) for table in TABLES}
        installation_id, schema = told["installation_id"], told["schema_version"]
    except (KeyError, TypeError, ValueError) as why:
        raise CatalogueError(f"its header lacks something: {why!r}") from why
    names = [name for each in columns.values() for name in each]
    if (
        not isinstance(installation_id, str)
        or type(schema) is not int
        or taken_at.tzinfo is None
    ):
        raise CatalogueError("its header does not say whose it is, and of when")
    if not all(map(_NAME.fullmatch, names)) or not all(columns.values()):
        raise CatalogueError("its header has columns that are none")
    return Header(installation_id, taken_at, schema, columns)


def _finish(line: Mapping[str, Any], counts: Mapping[str, int], digest: str) -> None:
    told = line.get("end")
    if not isinstance(told, dict) or told.get("sha256") != digest:
        raise CatalogueError("its SHA-256 is another one: it has been changed")
    if told.get("rows") != counts or set(counts) != set(TABLES):
        raise CatalogueError("it has not all of the rows that it should have")
