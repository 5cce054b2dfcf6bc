UPDATE idempotency_key
SET status = $5, location = $6, etag = $7, body = $8, answered_at = $9
WHERE tenant_id = $1 AND user_id = $2 AND key = $3 AND claimed_by = $4 AND status IS NULL
