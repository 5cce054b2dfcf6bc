SELECT fingerprint, status, location, etag, body
FROM idempotency_key
WHERE tenant_id = $1 AND user_id = $2 AND key = $3
