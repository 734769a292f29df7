-- name: find_made_bucket
SELECT owner, created_at FROM buckets
 WHERE bucket = %(bucket)s::text AND owner IS NOT NULL AND deleted_at IS NULL

-- name: create_bucket
SELECT ledger_create_bucket(%(bucket)s::text, %(owner)s::text, %(hold)s::interval)

-- name: delete_bucket
SELECT ledger_delete_bucket(%(bucket)s::text, %(owner)s::text)

-- name: owned_buckets
SELECT bucket, created_at FROM buckets
 WHERE owner = %(owner)s::text AND deleted_at IS NULL
   AND bucket > %(after)s::text AND bucket >= %(prefix)s::text
   AND (ledger_after_prefix(%(prefix)s::text) IS NULL
        OR bucket < ledger_after_prefix(%(prefix)s::text))
 ORDER BY bucket LIMIT %(limit)s::integer
