"""
``make generate``: PREPARE every statement of ``queries/*.sql`` against the schema.

A statement that names a column, function or type that is not there fails here, with its
name, rather than at a request.
"""

from __future__ import annotations

import sys

from s3proxy.store.schema import schema_text
from s3proxy.store.statements import positional, statements
from tests.servers import PostgresServer


def main() -> int:
    """Returns the exit code: 1 when a statement does not fit."""
    failed = 0
    with PostgresServer() as server:
        database = server.create_database().database
        server.execute(schema_text(), database)
        for name, sql in statements().items():
            try:
                server.execute(f"PREPARE {name}_ AS {positional(sql)[0]}", database)
            except Exception as why:
                failed += 1
                sys.stderr.write(f"{name}: {why}\n")
    sys.stdout.write(f"{len(statements())} statements, {failed} do not fit\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
