-- name: standby
SELECT pg_is_in_recovery(), installation_id,
       ceil(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))::bigint,
       coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn
  FROM installation
