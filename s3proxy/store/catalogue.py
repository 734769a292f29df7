"""The ledger as a file, and back: a snapshot is read, an empty ledger is filled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import IO, Any

import psycopg2
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost

from s3proxy.errors import StoreUnavailable
from s3proxy.plan.catalogue import (
    BUCKET,
    NOT_EMPTY,
    TABLES,
    CatalogueError,
    Header,
    Packer,
    Row,
    read_header,
    read_rows,
)
from s3proxy.store.connection import Connection, shield
from s3proxy.store.connection import Row as SqlRow
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided
from s3proxy.store.statements import statements
from s3proxy.store.sweeping import held

#: Rows that are in memory at once.
PAGE = 1000

#: One statement of a dump or a restore may take long in a large ledger.
_PATIENCE_SECONDS = 3600.0

#: What of a table goes along. Catalogues do not: those that are there are found on the
#: backends, and those that have gone since would be missed. Claims do not either: one
#: that was committed since would be taken for one that was broken off.
_WHERE = {
    "objects": f"x.bucket <> '{BUCKET}'",
    "object_locations": f"x.bucket <> '{BUCKET}' AND x.state <> 'claimed'",
    "object_parts": "EXISTS (SELECT FROM objects o WHERE o.object_id = x.object_id "
    f"AND o.bucket <> '{BUCKET}')",
}

#: What a daemon that was started too early may have left in an empty ledger.
_CLEAR = (
    "DELETE FROM buckets; DELETE FROM scrubs; DELETE FROM backend_quotas; "
    "DELETE FROM backend_usage"
)


@define(eq=False)
class Catalogues:
    """StoreUnavailable is any method's."""

    pool: Pool

    async def dump(
        self,
        write: Callable[[bytes], object],
        said: Callable[[], Awaitable[object]] | None = None,
    ) -> tuple[Header, int]:
        """
        The ledger as it is at one moment, in pieces of a file.

        :param write: Takes them.
        :param said: Is called now and then.
        :returns: What the file says of itself, and how many rows it has.
        """
        async with _Session(self.pool) as session:
            # READ ONLY: it holds nobody up but VACUUM.
            await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await session.run("SET LOCAL statement_timeout = 0")
            ((installation_id, taken_at, schema),) = await session.run(
                "SELECT installation_id, now(), schema_version FROM installation"
            )
            columns = await session.columns()
            header = Header(installation_id, taken_at, schema, columns)
            packer = Packer()
            write(packer.begin(header))
            for table in TABLES:
                write(packer.table(table))
                names = _listed(header.columns[table])
                await session.run(
                    "DECLARE catalogue NO SCROLL CURSOR FOR "
                    f"SELECT row_to_json(t)::text FROM (SELECT {names} FROM {table} x "
                    f"WHERE {_WHERE.get(table, 'true')}) t"
                )
                while rows := await session.run(f"FETCH {PAGE} FROM catalogue"):
                    write(packer.add([text for (text,) in rows]))
                    if said is not None:
                        await said()
                await session.run("CLOSE catalogue")
            write(packer.end())
            await session.run("COMMIT")
        return header, packer.rows

    async def is_empty(self) -> bool:
        """Whether the ledger holds nothing that a restore would mix with."""
        ((found,),) = await run_decided(self.pool, "ledger_is_empty")
        return bool(found)

    async def at_work(self) -> str | None:
        """A daemon that uses this ledger, or did less than two minutes ago."""
        rows = await run_decided(self.pool, "daemon_at_work")
        return str(rows[0][0]) if rows else None

    async def load(
        self, file: IO[bytes], said: Callable[[int], object] | None = None
    ) -> int:
        """
        Fill an empty ledger, in one transaction; how many rows that were.

        From then on nothing is deleted until somebody vouches for it (rule 24).

        :param file: A catalogue; it is verified once more.
        :param said: Is told how many rows there are by now.
        :raises CatalogueError: The ledger is not empty, or the file is no catalogue, or
            not one that this schema can take; nothing has changed.
        """
        file.seek(0)
        header = read_header(file)
        file.seek(0)
        count = 0
        async with _Session(self.pool) as session:
            await session.run("BEGIN")
            await session.run("SET LOCAL statement_timeout = 0")
            await session.run(
                f"LOCK TABLE installation, {', '.join(TABLES)} IN EXCLUSIVE MODE"
            )
            ((is_empty,),) = await session.run(statements()["ledger_is_empty"])
            if not is_empty:
                raise CatalogueError(NOT_EMPTY)
            ((schema,),) = await session.run("SELECT schema_version FROM installation")
            _compare(header, schema, await session.columns())
            await session.run(_CLEAR)
            for table, rows in groupby(read_rows(file), lambda row: row.table):
                names = _listed(header.columns[table])
                sql = (
                    f"INSERT INTO {table} ({names}) SELECT {names} FROM "
                    f"json_populate_recordset(NULL::{table}, %(rows)s::json)"
                )
                for page in _pages(rows):
                    await session.run(sql, {"rows": f"[{','.join(page)}]"})
                    count += len(page)
                    if said is not None:
                        said(count)
            await session.run(
                statements()["end_restore"],
                {
                    "installation_id": header.installation_id,
                    "word": f"the ledger was restored from {header.key}",
                },
            )
            await session.run("COMMIT")
        return count

    async def last(self, interval_seconds: float) -> tuple[bool, str | None]:
        """Whether a backup is due, and the key of the last one."""
        rows = await run_decided(
            self.pool, "last_backup", interval=interval(interval_seconds)
        )
        return (bool(rows[0][1]), str(rows[0][0])) if rows else (True, None)

    async def old(self, keep: int) -> list[str]:
        """The keys of all catalogues but the latest *keep*."""
        rows = await run_decided(self.pool, "old_backups", keep=keep)
        return [key for (key,) in rows]

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        return await held(self.pool)


@define(eq=False)
class _Session:
    """A connection of its own, for a transaction of several statements."""

    _pool: Pool
    _connection: Connection | None = field(default=None, init=False)

    async def __aenter__(self) -> _Session:
        self._connection = await self._pool.separate()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        # What is not committed is undone.
        self._connection.close()

    async def run(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[SqlRow]:
        assert self._connection is not None
        work = self._connection.query(sql, parameters, _PATIENCE_SECONDS)
        try:
            rows: list[SqlRow] = await shield(Deferred.fromCoroutine(work))
        except (psycopg2.Error, ConnectionDone, ConnectionLost) as why:
            raise StoreUnavailable(f"{sql[:60]}…: {str(why).strip()}") from why
        return rows

    async def columns(self) -> dict[str, list[str]]:
        """Those of the tables that a catalogue has."""
        found: dict[str, list[str]] = {}
        for table, name in await self.run(
            statements()["catalogue_columns"], {"tables": list(TABLES)}
        ):
            found.setdefault(table, []).append(name)
        return found


def _compare(
    header: Header, schema_version: int, known: Mapping[str, Sequence[str]]
) -> None:
    """
    :raises CatalogueError: It has what this schema does not know.
    """
    strange = [
        f"{table}.{name}"
        for table in TABLES
        for name in header.columns[table]
        if name not in known[table]
    ]
    if header.schema_version > schema_version:
        strange.append(f"schema version {header.schema_version}")
    if strange:
        raise CatalogueError(
            f"{', '.join(strange)}: not known here: the catalogue is of a newer "
            "s3proxy, restore it with that"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _pages(rows: Iterable[Row]) -> Iterator[list[str]]:
    page: list[str] = []
    for row in rows:
        page.append(row.text)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
