INSERT INTO invoice_recheck (invoice_id, tenant_id, checked_at, usage_digest, total_now, failure)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (invoice_id) DO UPDATE
SET checked_at = EXCLUDED.checked_at, usage_digest = EXCLUDED.usage_digest, total_now = EXCLUDED.total_now,
    failure = EXCLUDED.failure
