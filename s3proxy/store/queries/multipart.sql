-- name: create_upload
INSERT INTO multipart_uploads (upload_id, bucket, object_key, content_type, headers,
                               user_metadata, tags, checksum_algorithm, checksum_type)
SELECT ledger_ulid() || replace(gen_random_uuid()::text, '-', ''),
       %(bucket)s::text, %(key)s::text, %(content_type)s::text, %(headers)s::jsonb,
       %(user_metadata)s::jsonb, %(tags)s::jsonb, %(checksum_algorithm)s::text,
       %(checksum_type)s::text
 WHERE ledger_enter_bucket(%(bucket)s::text)
RETURNING upload_id

-- name: claim_part
SELECT outcome, o_copy_id, o_part_id, o_backend_name, o_backend_key
  FROM ledger_claim_part_copies(%(backends)s::text[], %(upload_id)s::text,
                                %(bucket)s::text, %(key)s::text, %(opaque)s::boolean,
                                %(part_number)s::integer, %(size_bytes)s::bigint,
                                %(lease)s::interval, %(least)s::integer,
                                %(most)s::integer)

-- name: commit_part
SELECT outcome, o_last_modified
  FROM ledger_commit_part_copies(%(copy_ids)s::text[], %(backend_etags)s::text[],
                                 %(version_ids)s::text[], %(least)s::integer,
                                 %(upload_id)s::text, %(part_number)s::integer,
                                 %(size_bytes)s::bigint, %(md5)s::text,
                                 %(checksums)s::jsonb)

-- name: complete
SELECT outcome, o_part, o_answer
  FROM ledger_complete(%(upload_id)s::text, %(bucket)s::text, %(key)s::text,
                       %(numbers)s::integer[], %(etags)s::text[], %(least)s::bigint,
                       %(checksums)s::jsonb, %(if_match)s::text[],
                       %(if_none_match)s::text[], %(grace)s::interval)

-- name: abort
SELECT ledger_abort(%(upload_id)s::text, %(bucket)s::text, %(key)s::text)

-- name: expire_uploads
SELECT ledger_expire_uploads(%(max_age)s::interval, %(keep_answer)s::interval,
                             %(limit)s::integer)

-- name: upload
SELECT u.upload_id, u.created_at, u.checksum_algorithm, u.checksum_type
  FROM multipart_uploads u
 WHERE u.upload_id = %(upload_id)s::text AND u.bucket = %(bucket)s::text
   AND u.object_key = %(key)s::text AND u.state = 'open'

-- name: list_uploads
SELECT common_prefix, (listed).upload_id, (listed).object_key, (listed).created_at,
       (listed).checksum_algorithm, (listed).checksum_type
  FROM ledger_list_uploads(%(bucket)s::text, %(prefix)s::text, %(delimiter)s::text,
                           %(key_marker)s::text, %(upload_marker)s::text,
                           %(limit)s::integer)

-- name: list_parts
SELECT p.part_number, p.etag, p.size_bytes, p.checksums, p.created_at
  FROM multipart_parts p
 WHERE p.upload_id = %(upload_id)s::text AND p.part_number > %(after)s::integer
 ORDER BY p.part_number LIMIT %(limit)s::integer
