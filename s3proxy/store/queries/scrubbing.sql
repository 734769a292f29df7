-- name: may_scrub
-- Whether the budget is not used up.
SELECT coalesce(scrub_paid_until <= clock_timestamp(), true) FROM installation

-- name: scrub_place
-- Where the lap on a backend has come to; and whether a new one may begin, where none is
-- under way.
SELECT coalesce(s.after_copy_id, ''),
       coalesce(s.lap_began_at + %(lap)s::interval <= clock_timestamp(), true)
  FROM backend_quotas q LEFT JOIN scrubs s ON s.backend_name = q.backend_name
 WHERE q.backend_name = %(backend)s::text

-- name: scrubbable
-- Live copies of objects' parts, and of manifests, on one backend after a copy id.
SELECT l.copy_id, l.part_id, l.backend_name, l.backend_key, l.size_bytes, l.backend_etag,
       l.version_id, l.quarantined_at IS NOT NULL, l.is_manifest, p.md5
  FROM object_locations l
  LEFT JOIN object_parts p ON p.part_id = l.part_id
 WHERE l.backend_name = %(backend)s::text AND l.state = 'live'
   AND l.copy_id > %(after)s::text AND (l.is_manifest OR p.part_id IS NOT NULL)
 ORDER BY l.copy_id LIMIT %(limit)s::integer

-- name: mendable
-- Copies that are known to be bad, of parts that have others.
SELECT l.copy_id, l.part_id, l.backend_name, l.backend_key, l.size_bytes, l.backend_etag,
       l.version_id, true, false, p.md5
  FROM object_locations l
  JOIN object_parts p ON p.part_id = l.part_id AND p.live_copies > 0
 WHERE l.quarantined_at IS NOT NULL AND l.state = 'live'
 ORDER BY l.quarantined_at LIMIT %(limit)s::integer

-- name: note_scrub
SELECT ledger_note_scrub(%(backend)s::text, %(copy_id)s::text, %(bytes)s::bigint,
                         %(seconds)s::interval, %(interval)s::interval)

-- name: spend_scrub
-- Bytes of another copy than the one whose turn it is.
UPDATE installation
   SET scrub_paid_until = greatest(scrub_paid_until,
                                   clock_timestamp() - %(interval)s::interval)
                          + %(seconds)s::interval

-- name: end_lap
UPDATE scrubs SET after_copy_id = '' WHERE backend_name = %(backend)s::text

-- name: quarantine
SELECT ledger_quarantine(%(copy_id)s::text, %(word)s::text)

-- name: learn_md5
-- Of a part that sync took in, whose MD5 nobody knew.
UPDATE object_parts SET md5 = %(md5)s::text
 WHERE part_id = %(part_id)s::text AND md5 = ''

-- name: quarantined
SELECT l.backend_name, l.backend_key, l.bucket, l.object_key, l.quarantine_word
  FROM object_locations l
 WHERE l.quarantined_at IS NOT NULL AND l.state = 'live'
 ORDER BY l.quarantined_at LIMIT %(limit)s::integer

-- name: count_quarantined
SELECT l.backend_name, count(*)
  FROM object_locations l
 WHERE l.quarantined_at IS NOT NULL AND l.state = 'live'
 GROUP BY l.backend_name
