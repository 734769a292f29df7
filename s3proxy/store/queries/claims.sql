-- name: extend
UPDATE object_locations SET due_at = clock_timestamp() + %(lease)s::interval
 WHERE copy_id = ANY (%(copy_ids)s::text[]) AND state = 'claimed'
RETURNING copy_id

-- name: release
DELETE FROM object_locations WHERE copy_id = %(copy_id)s::text AND state = 'claimed'

-- name: abandon
UPDATE object_locations
   SET state = 'abandoned', due_at = clock_timestamp(),
       delete_twice = %(landed)s::boolean
 WHERE copy_id = %(copy_id)s::text AND state = 'claimed'
RETURNING copy_id

-- name: abandon_all
-- In the order in which a commit locks them.
WITH held AS MATERIALIZED (
    SELECT l.copy_id FROM object_locations l
     WHERE l.copy_id = ANY (%(copy_ids)s::text[])
     ORDER BY l.copy_id FOR UPDATE)
UPDATE object_locations l
   SET state = 'abandoned', due_at = clock_timestamp(), delete_twice = true
  FROM held WHERE l.copy_id = held.copy_id AND l.state = 'claimed'
RETURNING l.copy_id

-- name: states
SELECT state FROM object_locations WHERE copy_id = ANY (%(copy_ids)s::text[])

-- name: reap
SELECT ledger_reap(%(limit)s::integer, %(lease)s::interval)

-- name: collect
SELECT o_copy_id, o_attempts, o_backend_key, o_version_id
  FROM ledger_collect(%(backend)s::text, %(limit)s::integer, %(hold)s::interval,
                      %(lease)s::interval)

-- name: collected
SELECT ledger_collected(%(copy_ids)s::text[], %(attempts)s::integer[],
                        %(late)s::interval)

-- name: collect_adopted
SELECT o_copy_id, o_attempts, o_backend_key, o_version_id, o_backend_etag, o_size_bytes
  FROM ledger_collect_adopted(%(backend)s::text, %(limit)s::integer,
                              %(hold)s::interval, %(lease)s::interval)

-- name: let_go
SELECT ledger_let_go(%(copy_ids)s::text[], %(attempts)s::integer[])
