-- name: put_job
INSERT INTO jobs (job_name, process, started_at, seconds, is_good, result, next_run_at)
VALUES (%(name)s::text, %(process)s::text,
        clock_timestamp() - %(seconds)s::double precision * interval '1 second',
        %(seconds)s::double precision, %(is_good)s::boolean, %(result)s::text,
        clock_timestamp() + %(next_seconds)s::double precision * interval '1 second')
ON CONFLICT (job_name) DO UPDATE
   SET process = excluded.process, started_at = excluded.started_at,
       seconds = excluded.seconds, is_good = excluded.is_good,
       result = excluded.result, next_run_at = excluded.next_run_at

-- name: take_job
INSERT INTO jobs (job_name, taken_by, taken_until)
VALUES (%(name)s::text, %(process)s::text, clock_timestamp() + %(hold)s::interval)
ON CONFLICT (job_name) DO UPDATE
   SET taken_by = excluded.taken_by, taken_until = excluded.taken_until
 WHERE jobs.taken_until IS NULL OR jobs.taken_until < clock_timestamp()
    OR jobs.taken_by = excluded.taken_by
RETURNING job_name

-- name: leave_job
UPDATE jobs SET taken_until = NULL
 WHERE job_name = %(name)s::text AND taken_by = %(process)s::text

-- name: job_rows
SELECT job_name, process, started_at, seconds, is_good, result, next_run_at,
       CASE WHEN taken_until > clock_timestamp() THEN taken_by END, clock_timestamp()
  FROM jobs ORDER BY job_name
