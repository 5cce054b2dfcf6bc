-- The tenant's invoices that share time with [$2, $3). The condition is the exclusion constraint's.
SELECT invoice_id, status, number, period_start, period_end
FROM invoice
WHERE tenant_id = $1
  AND tstzrange(period_start, period_end) && tstzrange($2, $3)
  AND status <> 'void' AND kind <> 'credit_note' AND replaced_by_id IS NULL
ORDER BY period_start
