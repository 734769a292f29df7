-- name: add_traffic
-- What a process counted since it last said so; and what is over a day old goes.
WITH gone AS (
    DELETE FROM traffic WHERE minute < clock_timestamp() - interval '1 day')
INSERT INTO traffic (minute, requests, client_errors, server_errors)
VALUES (date_trunc('minute', clock_timestamp()), %(requests)s::bigint,
        %(client_errors)s::bigint, %(server_errors)s::bigint)
ON CONFLICT (minute) DO UPDATE
   SET requests = traffic.requests + excluded.requests,
       client_errors = traffic.client_errors + excluded.client_errors,
       server_errors = traffic.server_errors + excluded.server_errors

-- name: last_hour
SELECT m, coalesce(t.requests, 0), coalesce(t.client_errors, 0),
       coalesce(t.server_errors, 0)
  FROM generate_series(date_trunc('minute', now()) - interval '59 minutes',
                       date_trunc('minute', now()), interval '1 minute') m
  LEFT JOIN traffic t ON t.minute = m
 ORDER BY m

-- name: open_uploads
-- The oldest first; how many there are stands in each row.
WITH oldest AS (
    SELECT u.upload_id, u.bucket, u.object_key, u.created_at, count(*) OVER () AS total
      FROM multipart_uploads u WHERE u.state = 'open'
     ORDER BY u.created_at LIMIT %(limit)s::integer)
SELECT o.total, o.bucket, o.object_key,
       extract(epoch FROM now() - o.created_at)::double precision,
       (SELECT count(*) FROM multipart_parts p WHERE p.upload_id = o.upload_id),
       (SELECT coalesce(sum(p.size_bytes), 0)::bigint FROM multipart_parts p
         WHERE p.upload_id = o.upload_id)
  FROM oldest o ORDER BY o.created_at
