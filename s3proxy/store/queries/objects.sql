-- name: claim
SELECT outcome, o_copy_id, o_part_id, o_backend_name, o_backend_key
  FROM ledger_claim_copies(%(backends)s::text[], %(bucket)s::text, %(key)s::text,
                           %(opaque)s::boolean, %(size_bytes)s::bigint,
                           %(lease)s::interval, %(if_match)s::text[],
                           %(if_none_match)s::text[], %(least)s::integer,
                           %(most)s::integer)

-- name: commit
SELECT outcome, o_object_id, o_last_modified
  FROM ledger_commit_copies(%(copy_ids)s::text[], %(backend_etags)s::text[],
                            %(version_ids)s::text[], %(least)s::integer,
                            %(bucket)s::text, %(key)s::text, %(size_bytes)s::bigint,
                            %(md5)s::text, %(content_type)s::text, %(headers)s::jsonb,
                            %(user_metadata)s::jsonb, %(checksums)s::jsonb,
                            %(if_match)s::text[], %(if_none_match)s::text[],
                            %(grace)s::interval, %(needs_manifest)s::boolean,
                            %(tags)s::jsonb)

-- name: delete
SELECT ledger_delete_if(%(bucket)s::text, %(key)s::text, %(if_match)s::text[],
                        %(grace)s::interval)

-- name: delete_many
SELECT ledger_delete_many(%(bucket)s::text, %(keys)s::text[], %(etags)s::text[],
                          %(grace)s::interval)

-- name: replace_metadata
UPDATE objects
   SET content_type = %(content_type)s::text, headers = %(headers)s::jsonb,
       user_metadata = %(user_metadata)s::jsonb,
       tags = coalesce(%(tags)s::jsonb, tags),
       last_modified = date_trunc('milliseconds', clock_timestamp()),
       manifest_wanted_at = clock_timestamp(), manifest_due_at = clock_timestamp()
 WHERE bucket = %(bucket)s::text AND object_key = %(key)s::text
   AND object_id = %(object_id)s::text
RETURNING object_key, object_id, size_bytes, etag, content_type, last_modified, headers,
          user_metadata, checksums, tags

-- name: replace_tags
UPDATE objects
   SET tags = %(tags)s::jsonb, manifest_wanted_at = clock_timestamp(),
       manifest_due_at = clock_timestamp()
 WHERE bucket = %(bucket)s::text AND object_key = %(key)s::text
RETURNING object_id

-- name: head
SELECT o.object_key, o.object_id, o.size_bytes, o.etag, o.content_type, o.last_modified,
       o.headers, o.user_metadata, o.checksums, o.tags
  FROM objects o
 WHERE o.bucket = %(bucket)s::text AND o.object_key = %(key)s::text

-- name: find
SELECT o.object_key, o.object_id, o.size_bytes, o.etag, o.content_type, o.last_modified,
       o.headers, o.user_metadata, o.checksums, o.tags,
       (SELECT count(*) FROM object_parts c WHERE c.object_id = o.object_id),
       p.part_id, p.part_number, p.offset_bytes, p.size_bytes, p.md5,
       l.copy_id, l.backend_name, l.backend_key, l.backend_etag, l.version_id,
       l.quarantined_at IS NOT NULL
  FROM objects o
  CROSS JOIN LATERAL (SELECT * FROM object_parts a WHERE a.object_id = o.object_id
                       ORDER BY a.part_number LIMIT 1) p
  LEFT JOIN object_locations l ON l.part_id = p.part_id AND l.state = 'live'
 WHERE o.bucket = %(bucket)s::text AND o.object_key = %(key)s::text
 ORDER BY l.copy_id

-- name: parts
SELECT p.part_id, p.part_number, p.offset_bytes, p.size_bytes, p.md5,
       l.copy_id, l.backend_name, l.backend_key, l.backend_etag, l.version_id,
       l.quarantined_at IS NOT NULL
  FROM object_parts p
  LEFT JOIN object_locations l ON l.part_id = p.part_id AND l.state = 'live'
 WHERE p.object_id = %(object_id)s::text
   AND p.offset_bytes < %(end)s::bigint
   AND p.offset_bytes + p.size_bytes > %(start)s::bigint
 ORDER BY p.part_number, l.copy_id

-- name: part_range
SELECT o.object_key, o.object_id, o.size_bytes, o.etag, o.content_type, o.last_modified,
       o.headers, o.user_metadata, o.checksums, o.tags,
       (SELECT count(*) FROM object_parts c WHERE c.object_id = o.object_id),
       p.offset_bytes, p.size_bytes, p.checksums
  FROM objects o
  LEFT JOIN LATERAL (SELECT * FROM object_parts a WHERE a.object_id = o.object_id
                      ORDER BY a.part_number
                     OFFSET %(skip)s::integer LIMIT 1) p ON true
 WHERE o.bucket = %(bucket)s::text AND o.object_key = %(key)s::text

-- name: attributes
SELECT o.object_key, o.object_id, o.size_bytes, o.etag, o.content_type, o.last_modified,
       o.headers, o.user_metadata, o.checksums, o.tags,
       (SELECT count(*) FROM object_parts c WHERE c.object_id = o.object_id),
       (SELECT jsonb_agg(jsonb_build_array(p.part_number, p.size_bytes, p.checksums)
                         ORDER BY p.part_number)
          FROM (SELECT * FROM object_parts a
                 WHERE a.object_id = o.object_id AND a.part_number > %(after)s::integer
                 ORDER BY a.part_number LIMIT %(limit)s::integer) p)
  FROM objects o
 WHERE o.bucket = %(bucket)s::text AND o.object_key = %(key)s::text

-- name: list
SELECT common_prefix, (listed).object_key, (listed).object_id, (listed).size_bytes,
       (listed).etag, (listed).content_type, (listed).last_modified
  FROM ledger_list(%(bucket)s::text, %(prefix)s::text, %(delimiter)s::text,
                   %(after)s::text, %(limit)s::integer)

-- name: pin
INSERT INTO read_pins (object_id, until)
VALUES (%(object_id)s::text, clock_timestamp() + %(hold)s::interval)
ON CONFLICT (object_id) DO UPDATE SET until = greatest(read_pins.until, excluded.until)
RETURNING object_id

-- name: unpin_expired
DELETE FROM read_pins WHERE until < clock_timestamp()
