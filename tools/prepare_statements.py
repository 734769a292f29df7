"""
``make generate``: PREPARE every statement of ``queries/*.sql`` against the schema.

A statement that names a column, function or type that is not there fails here, with its
name, rather than at a request.
"""

from __future__ import annotations

import re
import sys

from s3proxy.store.schema import schema_text
from s3proxy.store.statements import statements
from tests.servers import PostgresServer

_PARAMETER = re.compile(r"%\((\w+)\)s")


def positional(sql: str) -> str:
    """psycopg2's named parameters as PostgreSQL's numbered ones."""
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    text = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
    return text.replace("%%", "%")


def main() -> int:
    """Returns the exit code: 1 when a statement does not fit."""
    failed = 0
    with PostgresServer() as server:
        database = server.create_database().database
        server.execute(schema_text(), database)
        for name, sql in statements().items():
            try:
                server.execute(f"PREPARE {name}_ AS {positional(sql)}", database)
            except Exception as why:
                failed += 1
                sys.stderr.write(f"{name}: {why}\n")
    sys.stdout.write(f"{len(statements())} statements, {failed} do not fit\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
