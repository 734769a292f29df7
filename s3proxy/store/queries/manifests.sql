-- name: take_manifests
SELECT bucket, object_key, object_id, size_bytes, etag, content_type, last_modified,
       headers, user_metadata, checksums, tags, manifest_wanted_at
  FROM ledger_take_manifests(%(limit)s::integer, %(hold)s::interval)

-- name: manifest_parts
SELECT p.part_number, p.part_id, p.offset_bytes, p.size_bytes, p.md5
  FROM object_parts p
 WHERE p.object_id = %(object_id)s::text
 ORDER BY p.part_number

-- name: claim_manifest
SELECT outcome, o_copy_id, o_part_id, o_backend_name, o_backend_key
  FROM ledger_claim_manifest(%(backends)s::text[], %(bucket)s::text, %(key)s::text,
                             %(opaque)s::boolean, %(object_id)s::text,
                             %(wanted_at)s::timestamptz, %(size_bytes)s::bigint,
                             %(lease)s::interval)

-- name: commit_manifest
SELECT ledger_commit_manifest(%(copy_id)s::text, %(bucket)s::text, %(key)s::text,
                              %(object_id)s::text, %(wanted_at)s::timestamptz,
                              %(backend_etag)s::text, %(version_id)s::text)
