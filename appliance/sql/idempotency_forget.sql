DELETE FROM idempotency_key
WHERE tenant_id = $1 AND user_id = $2 AND key = $3 AND claimed_by = $4 AND status IS NULL
