-- name: unsettled_copies
-- Few rows, by the index of what is not live. The tombstones of adopted copies stand for
-- no bytes, and are left out.
SELECT l.backend_name, l.state, count(*), sum(l.size_bytes)::bigint,
       count(*) FILTER (WHERE CASE l.state WHEN 'claimed'
                              THEN l.due_at < clock_timestamp() ELSE l.attempts > 2 END)
  FROM object_locations l
 WHERE l.state <> 'live' AND NOT (l.state = 'abandoned' AND l.is_adopted)
 GROUP BY l.backend_name, l.state

-- name: waiting_work
SELECT (SELECT count(*) FROM objects o WHERE o.manifest_due_at IS NOT NULL),
       (SELECT count(*) FROM read_pins r WHERE r.until > clock_timestamp())

-- name: count_objects
-- An object counts once for each backend that has a live copy of any of its parts. Most
-- have one part, so their copies are counted, without a look at what they are of; then
-- what was counted too often, or is no object's, is taken off. ETags with a '-' are those
-- of objects with several parts.
SELECT held.backend_name, sum(held.objects)::bigint
  FROM (SELECT l.backend_name, count(*)
          FROM object_locations l
         WHERE l.state = 'live' AND NOT l.is_manifest
         GROUP BY l.backend_name
        UNION ALL
        SELECT l.backend_name, count(DISTINCT p.object_id) - count(*)
          FROM objects o
          JOIN object_parts p ON p.object_id = o.object_id
          JOIN object_locations l ON l.part_id = p.part_id AND l.state = 'live'
         WHERE strpos(o.etag, '-') > 0
         GROUP BY l.backend_name
        UNION ALL
        SELECT l.backend_name, -count(*)
          FROM multipart_uploads u
          JOIN multipart_parts p ON p.upload_id = u.upload_id
          JOIN object_locations l ON l.part_id = p.part_id AND l.state = 'live'
         WHERE u.state = 'open'
         GROUP BY l.backend_name) held (backend_name, objects)
 GROUP BY held.backend_name

-- name: count_uploads
-- Likewise an open upload.
SELECT held.backend_name, count(*)
  FROM (SELECT DISTINCT l.backend_name, p.upload_id
          FROM multipart_uploads u
          JOIN multipart_parts p ON p.upload_id = u.upload_id
          JOIN object_locations l ON l.part_id = p.part_id
         WHERE u.state = 'open' AND l.state = 'live') held
 GROUP BY held.backend_name
