UPDATE billing_run_item
SET state = $3, invoice_id = $4, detail = $5, retry_at = $6, attempts = attempts + 1, changed_at = $7
WHERE run_id = $1 AND tenant_id = $2
