-- name: reserve_usage
SELECT granted, room, usage_month, seconds
  FROM ledger_reserve_usage(
      %(backend)s::text, %(kind)s::text, %(least)s::bigint, %(most)s::bigint,
      %(limit)s::bigint)

-- name: add_usage
SELECT ledger_add_usage(
    %(backend)s::text, %(month)s::date, %(kind)s::text, %(amount)s::bigint)

-- name: usage_now
SELECT backend_name, kind, amount
  FROM backend_usage
 WHERE month = ledger_usage_month()
 ORDER BY backend_name, kind
