-- name: take_replicas
SELECT part_id FROM ledger_take_replicas(%(factor)s::integer, %(limit)s::integer,
                                         %(hold)s::interval) AS taken (part_id)

-- name: part_to_copy
SELECT o.bucket, o.object_key, o.etag, o.content_type, o.headers, o.user_metadata,
       o.tags, o.checksums, p.part_id, p.part_number, p.offset_bytes, p.size_bytes, p.md5,
       l.copy_id, l.backend_name, l.backend_key, l.backend_etag, l.version_id,
       l.quarantined_at IS NOT NULL
  FROM object_parts p
  JOIN object_locations l ON l.part_id = p.part_id AND l.state = 'live'
  JOIN objects o ON o.object_id = p.object_id
 WHERE p.part_id = %(part_id)s::text
 ORDER BY l.copy_id

-- name: claim_replica
SELECT outcome, o_copy_id, o_backend_name, o_backend_key
  FROM ledger_claim_replica(%(backends)s::text[], %(part_id)s::text,
                            %(factor)s::integer, %(opaque)s::boolean,
                            %(suffix)s::text, %(lease)s::interval)

-- name: commit_replica
SELECT ledger_commit_replica(%(copy_id)s::text, %(part_id)s::text,
                             %(source_copy_id)s::text, %(backend_etag)s::text,
                             %(version_id)s::text, %(moves)s::boolean,
                             %(needs_manifest)s::boolean, %(grace)s::interval)

-- name: trim_copies
SELECT ledger_trim_copies(%(factor)s::integer, %(keep)s::text[], %(limit)s::integer,
                          %(grace)s::interval)

-- name: under_replicated
-- How many parts have fewer good copies than wanted, and how many of them none.
SELECT count(*), count(*) FILTER (WHERE p.live_copies < 1)
  FROM object_parts p WHERE p.live_copies < %(factor)s::integer

-- name: miscounted_parts
SELECT p.part_id FROM object_parts p
 WHERE p.live_copies <> (SELECT count(*) FROM object_locations l
                          WHERE l.part_id = p.part_id AND l.state = 'live'
                            AND l.quarantined_at IS NULL)
 LIMIT 100

-- name: movable
-- Live copies on one backend after a copy id, with the backends that hold their parts.
SELECT l.copy_id, l.part_id, l.size_bytes,
       ARRAY(SELECT h.backend_name FROM object_locations h
              WHERE h.part_id = l.part_id AND h.state IN ('claimed', 'live'))
  FROM object_locations l
 WHERE l.backend_name = %(backend)s::text AND l.state = 'live' AND NOT l.is_manifest
   AND l.size_bytes > 0 AND l.copy_id > %(after)s::text
   AND EXISTS (SELECT 1 FROM object_parts p WHERE p.part_id = l.part_id)
 ORDER BY l.copy_id LIMIT %(limit)s::integer
