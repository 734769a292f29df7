-- name: adoption
SELECT o_key, o_outcome
  FROM ledger_adoption(%(backend)s::text, %(bucket)s::text, %(page)s::jsonb)

-- name: adopt
SELECT o_key, o_outcome
  FROM ledger_adopt(%(backend)s::text, %(bucket)s::text, %(page)s::jsonb)
