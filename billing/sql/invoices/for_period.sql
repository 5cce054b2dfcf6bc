-- What stands for exactly this period.
SELECT invoice_id, status, number
FROM invoice
WHERE tenant_id = $1 AND period_start = $2 AND period_end = $3
  AND status <> 'void' AND kind <> 'credit_note' AND replaced_by_id IS NULL
