-- name: backend_rows
SELECT q.backend_name, q.location, q.bytes_limit, q.bytes_used,
       EXISTS (SELECT 1 FROM object_locations l WHERE l.backend_name = q.backend_name)
  FROM backend_quotas q
 ORDER BY q.backend_name

-- name: put_backend
INSERT INTO backend_quotas (backend_name, location, bytes_limit)
VALUES (%(name)s::text, %(location)s::text, %(bytes_limit)s::bigint)
ON CONFLICT (backend_name) DO UPDATE
   SET bytes_limit = excluded.bytes_limit, location = excluded.location,
       updated_at = now()
 WHERE (backend_quotas.bytes_limit, backend_quotas.location)
       IS DISTINCT FROM (excluded.bytes_limit, excluded.location)

-- name: put_buckets
-- A name that was deleted at run time is as good as new.
INSERT INTO buckets (bucket) SELECT unnest(%(names)s::text[]) ORDER BY 1
ON CONFLICT (bucket) DO UPDATE
   SET owner = NULL, deleted_at = NULL, tags = NULL, cors = NULL, created_at = now()
 WHERE buckets.deleted_at IS NOT NULL

-- name: take_bucket
UPDATE buckets SET owner = NULL
 WHERE bucket = %(bucket)s::text AND owner = %(owner)s::text

-- name: bucket_rows
SELECT bucket, created_at, CASE WHEN deleted_at IS NULL THEN owner END FROM buckets
 WHERE bucket = ANY (%(names)s::text[]) ORDER BY bucket

-- name: bucket_names
SELECT bucket FROM buckets WHERE deleted_at IS NULL ORDER BY bucket

-- name: held_buckets
-- Buckets that hold objects, one probe of the primary key for each, and whose they are
-- where they were made at run time.
WITH RECURSIVE held AS (
    (SELECT bucket FROM objects ORDER BY bucket LIMIT 1)
    UNION ALL
    SELECT (SELECT o.bucket FROM objects o WHERE o.bucket > held.bucket
             ORDER BY o.bucket LIMIT 1)
      FROM held WHERE held.bucket IS NOT NULL)
SELECT held.bucket, b.owner FROM held
  LEFT JOIN buckets b ON b.bucket = held.bucket AND b.deleted_at IS NULL
 WHERE held.bucket IS NOT NULL ORDER BY held.bucket

-- name: installation_id
SELECT installation_id FROM installation

-- name: fills
SELECT q.backend_name, q.bytes_used, q.bytes_limit FROM backend_quotas q

-- name: settled_fills
-- With what is to be deleted, and claims: few rows, by the index of what is not live.
SELECT q.backend_name, q.bytes_used, q.bytes_limit,
       coalesce(sum(l.size_bytes) FILTER (WHERE l.state <> 'claimed'), 0)::bigint,
       coalesce(sum(l.size_bytes) FILTER (WHERE l.state = 'claimed'), 0)::bigint,
       q.draining_since IS NOT NULL
  FROM backend_quotas q
  LEFT JOIN object_locations l ON l.backend_name = q.backend_name AND l.state <> 'live'
 GROUP BY q.backend_name
 ORDER BY q.backend_name
