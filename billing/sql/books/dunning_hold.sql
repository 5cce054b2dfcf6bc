INSERT INTO dunning_hold (invoice_id, tenant_id, reason, held_at, held_by)
SELECT i.invoice_id, i.tenant_id, $2, $3, $4
FROM invoice i
WHERE i.number = $1 AND i.status = 'issued'
ON CONFLICT (invoice_id) DO UPDATE
SET reason = EXCLUDED.reason, held_at = EXCLUDED.held_at, held_by = EXCLUDED.held_by
