-- name: start_drain
UPDATE backend_quotas SET draining_since = coalesce(draining_since, clock_timestamp()),
       drain_word = NULL
 WHERE backend_name = %(backend)s::text RETURNING backend_name

-- name: stop_drain
UPDATE backend_quotas SET draining_since = NULL, drain_word = NULL
 WHERE backend_name = %(backend)s::text AND draining_since IS NOT NULL
RETURNING backend_name

-- name: draining
SELECT backend_name FROM backend_quotas WHERE draining_since IS NOT NULL
 ORDER BY backend_name

-- name: note_drain
UPDATE backend_quotas SET drain_word = %(word)s::text
 WHERE backend_name = %(backend)s::text AND draining_since IS NOT NULL
   AND drain_word IS DISTINCT FROM %(word)s::text

-- name: drainable
-- Live copies of objects' parts on one backend after a copy id, with the backends that
-- hold their parts.
SELECT l.copy_id, l.part_id, l.size_bytes,
       ARRAY(SELECT h.backend_name FROM object_locations h
              WHERE h.part_id = l.part_id AND h.state IN ('claimed', 'live'))
  FROM object_locations l
 WHERE l.backend_name = %(backend)s::text AND l.state = 'live' AND NOT l.is_manifest
   AND l.copy_id > %(after)s::text
   AND EXISTS (SELECT 1 FROM object_parts p WHERE p.part_id = l.part_id)
 ORDER BY l.copy_id LIMIT %(limit)s::integer

-- name: drop_copy
SELECT ledger_drop_copy(%(copy_id)s::text, %(part_id)s::text, %(factor)s::integer,
                        %(grace)s::interval)

-- name: rewrite_manifests
-- Of objects whose manifest copy is on one backend, another is wanted.
WITH there AS (
    SELECT l.object_id FROM object_locations l
     WHERE l.backend_name = %(backend)s::text AND l.state = 'live' AND l.is_manifest
     LIMIT %(limit)s::integer),
wanted AS (
    UPDATE objects o
       SET manifest_wanted_at = clock_timestamp(), manifest_due_at = clock_timestamp()
      FROM there WHERE o.object_id = there.object_id AND o.manifest_wanted_at IS NULL
    RETURNING o.object_id)
SELECT count(*) FROM wanted

-- name: drain_left
-- What is on a backend: copies of objects, of uploads, manifest copies, claims, what is
-- to be deleted.
SELECT q.draining_since, q.drain_word,
       coalesce(sum(held.copies) FILTER (WHERE held.kind = 'object'), 0)::bigint,
       coalesce(sum(held.size) FILTER (WHERE held.kind = 'object'), 0)::bigint,
       coalesce(sum(held.copies) FILTER (WHERE held.kind = 'upload'), 0)::bigint,
       coalesce(sum(held.copies) FILTER (WHERE held.kind = 'manifest'), 0)::bigint,
       coalesce(sum(held.copies) FILTER (WHERE held.kind = 'claim'), 0)::bigint,
       coalesce(sum(held.copies) FILTER (WHERE held.kind = 'leaving'), 0)::bigint
  FROM backend_quotas q
  LEFT JOIN LATERAL (
       SELECT CASE WHEN l.state = 'claimed' THEN 'claim'
                   WHEN l.state <> 'live' THEN 'leaving'
                   WHEN l.is_manifest THEN 'manifest'
                   WHEN EXISTS (SELECT 1 FROM object_parts p
                                 WHERE p.part_id = l.part_id) THEN 'object'
                   ELSE 'upload' END AS kind,
              count(*) AS copies, sum(l.size_bytes) AS size
         FROM object_locations l WHERE l.backend_name = q.backend_name
        GROUP BY 1) held ON true
 WHERE q.backend_name = %(backend)s::text
 GROUP BY q.draining_since, q.drain_word

-- name: remove_backend
-- A claim waits for the row, and then finds none.
DELETE FROM backend_quotas q
 WHERE q.backend_name = %(backend)s::text
   AND NOT EXISTS (SELECT 1 FROM object_locations l
                    WHERE l.backend_name = q.backend_name)
RETURNING q.backend_name
