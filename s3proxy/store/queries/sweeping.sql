-- name: held
-- Why nothing may be deleted; NULL where all is well.
SELECT ledger_held()

-- name: accept_restore
SELECT ledger_accept_restore()

-- name: suspect
UPDATE installation SET suspicion = %(word)s::text WHERE suspicion IS NULL
RETURNING suspicion

-- name: swept_keys
-- What is known of keys that a backend lists: their rows; and, where a key has none, the
-- row of the ULID that is in it.
SELECT k.key, l.copy_id, l.size_bytes, l.backend_etag, l.state, l.is_adopted,
       u.backend_name, u.backend_key
  FROM unnest(%(backend_keys)s::text[], %(ulids)s::text[]) AS k (key, ulid)
  LEFT JOIN object_locations l
    ON l.backend_name = %(backend)s::text AND l.backend_key = k.key
  LEFT JOIN object_locations u ON u.copy_id = k.ulid AND l.copy_id IS NULL

-- name: live_copies
SELECT copy_id, part_id, backend_key, size_bytes, backend_etag, version_id
  FROM object_locations
 WHERE backend_name = %(backend)s::text AND state = 'live'
   AND copy_id > %(after)s::text
 ORDER BY copy_id LIMIT %(limit)s::integer

-- name: sweep
SELECT swept FROM ledger_sweep(%(backend)s::text, %(page)s::jsonb, %(grace)s::interval)
           AS swept

-- name: lose_copy
SELECT ledger_lose_copy(%(copy_id)s::text, %(verified)s::text, %(grace)s::interval)

-- name: last_sweep
-- Whether all backends are to be swept now, and what the last sweep has found.
SELECT swept_at IS NULL
       OR swept_at + %(interval)s::interval <= clock_timestamp(), sweep_result
  FROM installation

-- name: swept
UPDATE installation SET swept_at = clock_timestamp(), sweep_result = %(result)s::text
