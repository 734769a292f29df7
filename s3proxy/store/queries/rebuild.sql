-- name: forget_found
DELETE FROM rebuild_found WHERE backend_name = ANY (%(backends)s::text[])

-- name: note_found
INSERT INTO rebuild_found (backend_name, backend_key, installation_id, bucket,
                           object_key, entry)
SELECT e.backend_name, e.backend_key, e.installation_id, e.bucket, e.object_key, e.entry
  FROM jsonb_to_recordset(%(page)s::jsonb)
    AS e (backend_name text, backend_key text, installation_id text, bucket text,
          object_key text, entry jsonb)
ON CONFLICT (backend_name, backend_key) DO UPDATE SET entry = excluded.entry

-- name: found_installations
SELECT installation_id, count(*) FROM rebuild_found
 WHERE backend_name = ANY (%(backends)s::text[])
 GROUP BY installation_id ORDER BY count(*) DESC, installation_id

-- name: take_installation
-- An empty ledger becomes that of another installation; says which one it is.
WITH taken AS (
    UPDATE installation SET installation_id = %(installation_id)s::text
     WHERE NOT EXISTS (SELECT 1 FROM object_locations) RETURNING installation_id)
SELECT coalesce((SELECT installation_id FROM taken),
                (SELECT installation_id FROM installation))

-- name: is_empty
SELECT NOT EXISTS (SELECT 1 FROM object_locations)

-- name: found_keys
SELECT bucket, object_key, count(*) FROM rebuild_found
 WHERE installation_id = ANY (%(installations)s::text[])
   AND backend_name = ANY (%(backends)s::text[])
   AND (bucket, object_key) > (%(after_bucket)s::text, %(after_key)s::text)
 GROUP BY bucket, object_key ORDER BY bucket, object_key LIMIT %(limit)s::integer

-- name: found_entries
SELECT f.bucket, f.object_key, f.entry FROM rebuild_found f
  JOIN unnest(%(buckets)s::text[], %(object_keys)s::text[]) AS w (bucket, object_key)
    ON w.bucket = f.bucket AND w.object_key = f.object_key
 WHERE f.installation_id = ANY (%(installations)s::text[])
   AND f.backend_name = ANY (%(backends)s::text[])
   AND NOT EXISTS (SELECT 1 FROM object_locations l
                    WHERE l.backend_name = f.backend_name
                      AND l.backend_key = f.backend_key)

-- name: held_objects
SELECT o.bucket, o.object_key, o.object_id, o.etag,
       (SELECT min(p.part_id) FROM object_parts p WHERE p.object_id = o.object_id),
       EXISTS (SELECT 1 FROM object_parts p
                 JOIN object_locations l ON l.part_id = p.part_id
                WHERE p.object_id = o.object_id AND l.is_adopted AND l.state = 'live'),
       ARRAY (SELECT p.part_id FROM object_parts p
               WHERE p.object_id = o.object_id
                 AND NOT EXISTS (SELECT 1 FROM object_locations l
                                  WHERE l.part_id = p.part_id AND l.state = 'live'))
  FROM objects o
  JOIN unnest(%(buckets)s::text[], %(object_keys)s::text[]) AS w (bucket, object_key)
    ON w.bucket = o.bucket AND w.object_key = o.object_key

-- name: held_parts
SELECT p.part_id, p.object_id FROM object_parts p
 WHERE p.part_id = ANY (%(part_ids)s::text[])

-- name: held_copies
SELECT l.part_id, l.backend_name, l.state = 'live' FROM object_locations l
 WHERE l.part_id = ANY (%(part_ids)s::text[]) AND l.state IN ('claimed', 'live')

-- name: rebuild
SELECT o_bucket, o_key, o_outcome
  FROM ledger_rebuild(%(page)s::jsonb, %(grace)s::interval)
