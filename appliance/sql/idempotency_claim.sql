-- The key becomes the caller's if nobody has it, or if whoever works on it was not heard of since $8. The id of what is made
-- stays the first one's.
INSERT INTO idempotency_key AS k (tenant_id, user_id, key, route, fingerprint, thing_id, claimed_by, claimed_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $9, $9)
ON CONFLICT (tenant_id, user_id, key) DO UPDATE
SET claimed_by = EXCLUDED.claimed_by, claimed_at = EXCLUDED.claimed_at
WHERE k.fingerprint = EXCLUDED.fingerprint AND k.status IS NULL AND k.claimed_at < $8
RETURNING thing_id
