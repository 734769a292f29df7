-- name: whereabouts
-- The parts of an object after a part number, each with its copies in any state.
SELECT p.part_number, p.offset_bytes, p.size_bytes,
       l.backend_name, l.backend_key, l.size_bytes, l.state, l.is_adopted
  FROM (SELECT * FROM object_parts a
         WHERE a.object_id = %(object_id)s::text AND a.part_number > %(after)s::integer
         ORDER BY a.part_number LIMIT %(limit)s::integer) p
  LEFT JOIN object_locations l ON l.part_id = p.part_id
 ORDER BY p.part_number, l.copy_id

-- name: manifest_whereabouts
-- An object's manifest copies, and whether another is to be written.
SELECT o.manifest_due_at IS NOT NULL,
       l.backend_name, l.backend_key, l.size_bytes, l.state, l.is_adopted
  FROM objects o
  LEFT JOIN object_locations l
    ON l.object_id = o.object_id AND l.is_manifest AND l.state = 'live'
 WHERE o.object_id = %(object_id)s::text
 ORDER BY l.copy_id

-- name: what_if
-- What would be left of a page of objects if nothing but some backends could be read:
-- one row of sums, with the page's last bucket and key. Object by object, each by its
-- indexes: a join of the page with sums of it would be planned for a page of one row.
SELECT count(*), coalesce(sum(page.size_bytes), 0)::bigint,
       count(*) FILTER (WHERE t.is_whole),
       coalesce(sum(t.readable_bytes), 0)::bigint,
       count(*) FILTER (WHERE NOT t.is_whole),
       coalesce(sum(t.lost_bytes), 0)::bigint,
       count(*) FILTER (WHERE NOT t.was_whole),
       count(*) FILTER (WHERE t.is_whole AND t.is_few),
       coalesce(sum(t.few_bytes) FILTER (WHERE t.is_whole), 0)::bigint,
       count(*) FILTER (WHERE t.is_whole AND m.is_bare),
       max(ARRAY[page.bucket, page.object_key])
  FROM (SELECT o.bucket, o.object_key, o.object_id, o.size_bytes FROM objects o
         WHERE (o.bucket, o.object_key)
               > (%(after_bucket)s::text, %(after_key)s::text)
           AND o.bucket <= %(until_bucket)s::text
         ORDER BY o.bucket, o.object_key LIMIT %(limit)s::integer) page
 CROSS JOIN LATERAL (
       SELECT coalesce(bool_and(held.kept > 0), false) AS is_whole,
              coalesce(bool_and(held.now > 0), false) AS was_whole,
              bool_or(held.kept < %(factor)s::integer) AS is_few,
              sum(p.size_bytes) FILTER (WHERE held.kept > 0) AS readable_bytes,
              sum(p.size_bytes) FILTER (WHERE held.kept = 0) AS lost_bytes,
              sum(p.size_bytes) FILTER (
                  WHERE held.kept BETWEEN 1 AND %(factor)s::integer - 1) AS few_bytes
         FROM object_parts p
        CROSS JOIN LATERAL (
              SELECT count(*) FILTER (
                         WHERE l.backend_name = ANY (%(kept)s::text[])) AS kept,
                     count(*) AS now
                FROM object_locations l
               WHERE l.part_id = p.part_id AND l.state = 'live'
                 AND l.backend_name = ANY (%(configured)s::text[])) held
        WHERE p.object_id = page.object_id) t
 CROSS JOIN LATERAL (
       SELECT NOT bool_or(l.backend_name = ANY (%(kept)s::text[])) AS is_bare
         FROM object_locations l
        WHERE l.object_id = page.object_id AND l.is_manifest AND l.state = 'live') m
