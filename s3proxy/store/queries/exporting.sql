-- name: key_directories
-- Those of some keys that are the directories of others.
SELECT k.key FROM unnest(%(keys)s::text[]) AS k (key)
 WHERE EXISTS (SELECT 1 FROM objects o
                WHERE o.bucket = %(bucket)s::text
                  AND o.object_key > (k.key || '/') COLLATE "C"
                  AND o.object_key < (k.key || '0') COLLATE "C")
