"""I3 by construction: the counters follow the rows, whatever is done to these."""

from __future__ import annotations

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Database

BACKENDS = ("one", "two", "three")

_sizes = st.one_of(st.just(0), st.integers(0, 1000), st.just(5 * 2**40))
_rows = st.lists(st.tuples(st.sampled_from(BACKENDS), _sizes), max_size=5)
_masks = st.integers(0, 2**16 - 1)

#: Steps: a statement, and its parameters. ``mask`` picks some of the rows.
STEPS = {
    "insert": """
        INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,
                                      bucket, object_key, size_bytes, state, due_at)
        SELECT id, id, backend, id, 'b', 'k', size, 'claimed', now()
          FROM (SELECT ledger_ulid() AS id, backend, size
                  FROM unnest(%(backends)s::text[], %(sizes)s::bigint[])
                    AS new (backend, size)) AS rows
    """,
    "delete": """
        DELETE FROM object_locations WHERE copy_id IN (
            SELECT copy_id FROM (SELECT copy_id, row_number() OVER () AS n
                                   FROM object_locations) AS numbered
             WHERE %(mask)s >> (n %% 16)::integer & 1 = 1)
    """,
    "resize": """
        UPDATE object_locations SET size_bytes = %(size)s WHERE copy_id IN (
            SELECT copy_id FROM (SELECT copy_id, row_number() OVER () AS n
                                   FROM object_locations) AS numbered
             WHERE %(mask)s >> (n %% 16)::integer & 1 = 1)
    """,
    "move": """
        UPDATE object_locations SET backend_name = %(backend)s,
               part_id = ledger_ulid()
         WHERE copy_id IN (
            SELECT copy_id FROM (SELECT copy_id, row_number() OVER () AS n
                                   FROM object_locations) AS numbered
             WHERE %(mask)s >> (n %% 16)::integer & 1 = 1)
    """,
    "move_and_resize": """
        UPDATE object_locations SET backend_name = %(backend)s,
               size_bytes = size_bytes + %(mask)s %% 3, part_id = ledger_ulid()
         WHERE copy_id IN (
            SELECT copy_id FROM (SELECT copy_id, row_number() OVER () AS n
                                   FROM object_locations) AS numbered
             WHERE %(mask)s >> (n %% 16)::integer & 1 = 1)
    """,
    "state": """
        UPDATE object_locations SET state = 'live', due_at = NULL
    """,
    "truncate": "TRUNCATE object_locations",
    "undone": """
        DO $$ BEGIN
            DELETE FROM object_locations;
            RAISE 'undone';
        EXCEPTION WHEN raise_exception THEN NULL;
        END $$
    """,
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(sorted(STEPS)),
            _rows,
            _masks,
            _sizes,
            st.sampled_from(BACKENDS),
        ),
        max_size=8,
    )
)
def test_counters_are_sums(
    db: Database, steps: list[tuple[str, list[tuple[str, int]], int, int, str]]
) -> None:
    """After every single statement."""
    db.clear()
    for name in BACKENDS:
        db.add_backend(name)
    for step, rows, mask, size, backend in steps:
        parameters = {
            "backends": [name for name, _ in rows],
            "sizes": [each for _, each in rows],
            "mask": mask,
            "size": size,
            "backend": backend,
        }
        db.sql(STEPS[step], parameters)
        db.check_sums()
    db.clear()


def test_a_counter_cannot_go_below_zero(db: Database) -> None:
    """That would be a bug: it is shown, not hidden, and the rows stay."""
    db.add_backend("one")
    row = {"backends": ["one"], "sizes": [10]}
    db.sql(STEPS["insert"], row)
    db.sql("UPDATE backend_quotas SET bytes_used = 9")
    with pytest.raises(psycopg2.errors.CheckViolation):
        db.sql("DELETE FROM object_locations")
    assert db.value("SELECT count(*) FROM object_locations") == 1
    db.sql("UPDATE backend_quotas SET bytes_used = 10")


def test_a_backend_with_rows_stays(db: Database) -> None:
    """Its counter cannot be dropped while it counts something."""
    db.add_backend("one")
    db.sql(STEPS["insert"], {"backends": ["one"], "sizes": [0]})
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        db.sql("DELETE FROM backend_quotas")
    db.clear()


def test_a_part_has_one_copy_per_backend(db: Database) -> None:
    """Claimed or live; beside it there may be garbage, and another backend's copy."""
    for name in BACKENDS:
        db.add_backend(name)
    insert = (
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
        " bucket, object_key, size_bytes, state, due_at) VALUES (ledger_ulid(), 'p',"
        " %s, ledger_ulid(), 'b', 'k', 1, %s, CASE WHEN %s <> 'live' THEN now() END)"
    )
    for backend, state in [
        ("one", "live"),
        ("one", "garbage"),
        ("one", "abandoned"),
        ("two", "claimed"),
        ("three", "live"),
    ]:
        db.sql(insert, (backend, state, state))
    for backend, state in [("one", "claimed"), ("one", "live"), ("two", "live")]:
        with pytest.raises(psycopg2.errors.UniqueViolation):
            db.sql(insert, (backend, state, state))
    db.check_sums()
    db.clear()


def test_a_key_is_used_once(db: Database) -> None:
    """Two rows never name the same bytes."""
    db.add_backend("one")
    insert = (
        "INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,"
        " bucket, object_key, size_bytes, state, due_at) VALUES (ledger_ulid(),"
        " ledger_ulid(), 'one', 'key', 'b', 'k', 1, 'garbage', now())"
    )
    db.sql(insert)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        db.sql(insert)
    db.check_sums()
