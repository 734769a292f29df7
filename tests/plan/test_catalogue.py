"""Catalogues: what is written is read; what is cut off or changed is not believed."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy.plan.catalogue import (
    TABLES,
    CatalogueError,
    Header,
    Packer,
    read_rows,
    verify,
)

HEADER = Header(
    "me",
    datetime(2026, 11, 25, 15, 20, 0, 123456, tzinfo=UTC),
    1,
    dict.fromkeys(TABLES, ("a", "b")),
)


def packed(rows: dict[str, list[str]], header: Header = HEADER) -> bytes:
    packer = Packer()
    pieces = [packer.begin(header)]
    for table in TABLES:
        pieces += [packer.table(table), packer.add(rows.get(table, []))]
    return b"".join([*pieces, packer.end()])


ROWS = {"objects": ['{"a":"\\n","b":1}', '{"a":"ü","b":2}'], "buckets": ['{"a":"x"}']}


@given(
    st.dictionaries(
        st.sampled_from(TABLES),
        st.lists(st.builds(json.dumps, st.dictionaries(st.text(), st.text()))),
    )
)
@settings(max_examples=20)
def test_what_is_written_is_read(rows: dict[str, list[str]]) -> None:
    """Row by row, in the order of the tables, with their counts."""
    compact = {
        table: [json.dumps(json.loads(r), separators=(",", ":")) for r in each]
        for table, each in rows.items()
    }
    file = BytesIO(packed(compact))
    header, counts = verify(file)
    assert header == HEADER
    assert header.key == "s3proxy-catalogue/20261125T152000123Z.jsonl.gz"
    assert counts == {table: len(compact.get(table, [])) for table in TABLES}
    file.seek(0)
    wanted = [(table, text) for table in TABLES for text in compact.get(table, [])]
    assert [(row.table, row.text) for row in read_rows(file)] == wanted


def test_cut_off_anywhere() -> None:
    data = packed(ROWS)
    for length in range(len(data)):
        with pytest.raises(CatalogueError):
            verify(BytesIO(data[:length]))


def test_a_byte_that_is_another() -> None:
    """It is refused, but where it says nothing of the rows: padding, or gzip's own."""
    data = packed(ROWS)
    refused = 0
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            verify(BytesIO(changed))
        except CatalogueError:
            refused += 1
        else:
            assert gzip.decompress(changed) == gzip.decompress(data)
    assert refused > len(data) - 12


def lines(data: bytes) -> list[bytes]:
    return gzip.decompress(data).splitlines(keepends=True)


@pytest.mark.parametrize(
    ("place", "line", "says"),
    [
        (0, b'{"kind": "other"}\n', "no catalogue"),
        (0, b"\n", "no JSON"),
        (0, b"[]\n", "no JSON object"),
        (0, b'{"kind": "s3proxy-catalogue", "version": 2}\n', "a newer s3proxy"),
        (0, b'{"kind": "s3proxy-catalogue", "version": 1}\n', "lacks something"),
        (1, b'{"a":1}\n', "rows of no table"),
        (1, b'{"table": "pg_authid"}\n', "has a table 'pg_authid'"),
        (2, b'{"table": "backend_quotas"}\n', "has a table 'backend_quotas'"),
        (4, b'{"a":"other"}\n', "SHA-256"),
    ],
)
def test_repacked_with_another_line(place: int, line: bytes, says: str) -> None:
    """Gzip finds nothing wrong with it."""
    changed = lines(packed(ROWS))
    changed[place] = line
    with pytest.raises(CatalogueError, match=says):
        verify(BytesIO(gzip.compress(b"".join(changed))))


def test_columns_are_names() -> None:
    bad = Header("me", HEADER.taken_at, 1, {**HEADER.columns, "objects": ('a") --',)})
    with pytest.raises(CatalogueError, match="columns that are none"):
        verify(BytesIO(packed(ROWS, bad)))


def test_rows_that_are_missing_and_what_follows() -> None:
    """A hash that fits is not enough."""
    *body, end = lines(packed(ROWS))
    body.remove(b'{"a":"x"}\n')
    told = json.loads(end)
    told["end"]["sha256"] = sha256(b"".join(body)).hexdigest()
    data = b"".join([*body, json.dumps(told).encode() + b"\n"])
    with pytest.raises(CatalogueError, match="not all of the rows"):
        verify(BytesIO(gzip.compress(data)))
    with pytest.raises(CatalogueError, match="after its end"):
        verify(BytesIO(packed(ROWS) + gzip.compress(b"more\n")))
