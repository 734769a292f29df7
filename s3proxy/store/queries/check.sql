-- name: sums
-- The tombstones of adopted copies stand for no bytes, and are left out.
SELECT q.backend_name, q.bytes_used, q.bytes_limit,
       coalesce(sum(l.size_bytes), 0)::bigint,
       count(l.copy_id) FILTER (WHERE l.state = 'claimed'),
       count(l.copy_id) FILTER (WHERE l.state = 'live'),
       count(l.copy_id) FILTER (WHERE l.state = 'garbage'),
       count(l.copy_id) FILTER (WHERE l.state = 'abandoned' AND NOT l.is_adopted)
  FROM backend_quotas q
  LEFT JOIN object_locations l ON l.backend_name = q.backend_name
 GROUP BY q.backend_name
 ORDER BY q.backend_name

-- name: live_page
SELECT copy_id, backend_key, size_bytes, backend_etag, state, is_adopted
  FROM object_locations
 WHERE backend_name = %(backend)s::text AND state = 'live'
   AND copy_id > %(after)s::text
 ORDER BY copy_id LIMIT %(limit)s::integer

-- name: rows_of_keys
SELECT copy_id, backend_key, size_bytes, backend_etag, state, is_adopted
  FROM object_locations
 WHERE backend_name = %(backend)s::text
   AND backend_key = ANY (%(backend_keys)s::text[])

-- name: unreadable_objects
-- Objects whose manifest does not add up, or has a part without a live copy.
SELECT o.bucket, o.object_key
  FROM objects o
  LEFT JOIN object_parts p ON p.object_id = o.object_id
 GROUP BY o.bucket, o.object_key, o.size_bytes
HAVING coalesce(sum(p.size_bytes), 0) <> o.size_bytes
    OR count(p.part_id) = 0
    OR bool_or(NOT EXISTS (SELECT 1 FROM object_locations l
                            WHERE l.part_id = p.part_id AND l.state = 'live'))
 LIMIT 100

-- name: strays
-- Live copies of parts that no object has, manifest copies of no object, and manifests
-- without an object.
SELECT 'copy', l.copy_id FROM object_locations l
 WHERE l.state = 'live'
   AND NOT EXISTS (SELECT 1 FROM object_parts p WHERE p.part_id = l.part_id)
   AND NOT EXISTS (SELECT 1 FROM multipart_parts p WHERE p.part_id = l.part_id)
   AND NOT (l.is_manifest AND EXISTS (SELECT 1 FROM objects o
                                       WHERE o.object_id = l.object_id))
UNION ALL
SELECT 'part', p.part_id FROM object_parts p
 WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.object_id = p.object_id)
 LIMIT 100

-- name: unmanifested_objects
-- Objects made of an upload's parts that a rebuild could not put together, and for which
-- no manifest copy is to be written. What sync took in, it would take in again.
SELECT o.bucket, o.object_key
  FROM objects o
 WHERE strpos(o.etag, '-') > 0 AND o.manifest_wanted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM object_locations l
                    WHERE l.object_id = o.object_id AND l.is_manifest
                      AND l.state = 'live')
   AND NOT EXISTS (SELECT 1 FROM object_parts p
                     JOIN object_locations l ON l.part_id = p.part_id
                    WHERE p.object_id = o.object_id AND l.is_adopted
                      AND l.state = 'live')
 LIMIT 100

-- name: wanted_manifests
SELECT count(*) FROM objects WHERE manifest_due_at IS NOT NULL
