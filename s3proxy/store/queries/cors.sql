-- name: cors
SELECT cors FROM buckets WHERE bucket = %(bucket)s::text

-- name: put_cors
UPDATE buckets SET cors = %(cors)s::jsonb WHERE bucket = %(bucket)s::text
RETURNING bucket
