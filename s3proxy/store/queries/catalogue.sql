-- name: catalogue_columns
-- The columns of tables, in order; triggers write bytes_used (I3).
SELECT c.relname::text, a.attname::text
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relname = ANY (%(tables)s::text[]) AND pg_table_is_visible(c.oid)
   AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'bytes_used'
 ORDER BY c.relname, a.attnum

-- name: last_backup
-- The last catalogue, and whether another one is due.
SELECT o.object_key, o.last_modified + %(interval)s::interval <= clock_timestamp()
  FROM objects o WHERE o.bucket = '~catalogue'
 ORDER BY o.object_key DESC LIMIT 1

-- name: old_backups
-- All catalogues but the latest.
SELECT o.object_key FROM objects o WHERE o.bucket = '~catalogue'
 ORDER BY o.object_key DESC OFFSET %(keep)s::integer

-- name: ledger_is_empty
-- Whether there is nothing that a restore would mix with, or lose.
SELECT NOT EXISTS (SELECT 1 FROM objects)
   AND NOT EXISTS (SELECT 1 FROM object_locations)
   AND NOT EXISTS (SELECT 1 FROM multipart_uploads)

-- name: daemon_at_work
-- A daemon that has recorded a round of a job of late: they do so each half a minute.
SELECT process FROM jobs WHERE started_at > clock_timestamp() - interval '2 minutes'
 ORDER BY started_at DESC LIMIT 1

-- name: end_restore
-- Rule 24: until somebody vouches for it, nothing may be deleted by this ledger.
UPDATE installation
   SET installation_id = %(installation_id)s::text, suspicion = %(word)s::text
