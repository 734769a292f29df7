"""
What a page of 1,000 entries costs, by the number of keys in the bucket.

    .venv/bin/python -m bench.listing [--keys 10000 1000000] [--pages 31]

The product's statement, over a real PostgreSQL, on one connection that has run it
before; rows of ``objects`` are made by SQL, one bucket per size. Every kind of page is
asked for at random places, the sizes taking turns. Prints the median and the worst in
milliseconds and, in the last column, the median over that of the smallest bucket, which
is to stay under 2. Kinds of pages:

- flat: 1,000 keys;
- narrow: with a delimiter, 1,000 common prefixes of 10 keys each;
- wide: with a delimiter, the 1,000 common prefixes that all keys are under.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

from s3proxy.store.schema import schema_text
from s3proxy.store.statements import positional, statements
from tests.servers import PostgresServer

SIZES = (10_000, 1_000_000)
LIMIT = 1000
BAR = 2.0

#: 1,000 prefixes that end with "-", and under them prefixes of ten keys each.
_FILL = """
INSERT INTO objects (bucket, object_key, object_id, size_bytes, etag, last_modified)
SELECT %(bucket)s, to_char(n * 1000 / %(count)s, 'FM000') || '-'
       || to_char(n / 10, 'FM00000000') || '/' || n %% 10,
       %(bucket)s || '-' || to_char(n, 'FM00000000'), n,
       '0123456789abcdef0123456789abcdef', now()
  FROM generate_series(0, %(count)s::bigint - 1) AS n
"""


def key(number: int, count: int) -> str:
    """The key of that number, as SQL makes it."""
    return f"{number * 1000 // count:03}-{number // 10:08}/{number % 10}"


def questions(count: int, dice: random.Random) -> Iterator[tuple[str, dict[str, str]]]:
    """One question of each kind, and where its page begins."""
    # So that a whole page is left behind it.
    flat = dice.randrange(0, count - LIMIT)
    narrow = dice.randrange(0, count - 10 * LIMIT + 1)
    yield "flat", {"delimiter": "", "after": key(flat, count)}
    yield "narrow", {"delimiter": "/", "after": key(narrow, count) if narrow else ""}
    yield "wide", {"delimiter": "-", "after": ""}


def measure(server: PostgresServer, sizes: list[int], pages: int) -> bool:
    """Print the table; whether every ratio is under the bar."""
    config = server.create_database()
    server.execute(schema_text(), config.database)
    connection = server.connect(config.database)
    say = sys.stdout.write
    with connection.cursor() as cursor:
        for size in sizes:
            began = time.monotonic()
            cursor.execute(_FILL, {"bucket": str(size), "count": size})
            say(f"{size} rows made in {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
        cursor.execute("VACUUM ANALYZE objects")
        text, places = positional(statements()["list"])
        cursor.execute(f"PREPARE list AS {text}")
        times: dict[tuple[str, int], list[float]] = {}
        dice = random.Random(1)
        # The first rounds fill caches and make plans.
        for turn in range(pages + 8):
            for size in dice.sample(sizes, len(sizes)):
                for kind, question in questions(size, dice):
                    asked: dict[str, Any] = {
                        **question,
                        "prefix": "",
                        "bucket": str(size),
                        "limit": LIMIT + 1,
                    }
                    began = time.perf_counter()
                    cursor.execute(f"EXECUTE list {places}", asked)
                    rows = cursor.fetchall()
                    spent = time.perf_counter() - began
                    assert len(rows) >= LIMIT, (kind, size, len(rows))
                    if turn >= 8:
                        times.setdefault((kind, size), []).append(1000 * spent)
    connection.close()
    say("| page | keys in the bucket | median ms | worst ms | ratio |\n")
    say("|---|---|---|---|---|\n")
    good = True
    for kind, size in sorted(times):
        median = statistics.median(times[kind, size])
        ratio = median / statistics.median(times[kind, sizes[0]])
        good = good and ratio < BAR
        worst = max(times[kind, size])
        say(f"| {kind} | {size} | {median:.2f} | {worst:.2f} | {ratio:.2f} |\n")
    return good


def main() -> int:
    """Returns the exit code: 1 when a ratio is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--pages", type=int, default=31)
    options = parser.parse_args()
    with PostgresServer() as server:
        return 0 if measure(server, sorted(options.keys), options.pages) else 1


if __name__ == "__main__":
    sys.exit(main())
