-- The last invoice of a tenant that was issued, or is to be issued as somebody saw it, by another plan than $2.
SELECT number, status, plan_name, period_start, period_end
FROM invoice
WHERE tenant_id = $1 AND plan_name IS DISTINCT FROM $2
  AND status NOT IN ('draft', 'void') AND kind <> 'credit_note' AND replaced_by_id IS NULL
ORDER BY period_end DESC
LIMIT 1
