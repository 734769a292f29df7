-- name: bucket_tags
SELECT tags FROM buckets WHERE bucket = %(bucket)s::text

-- name: put_bucket_tags
UPDATE buckets SET tags = %(tags)s::jsonb WHERE bucket = %(bucket)s::text
RETURNING bucket
