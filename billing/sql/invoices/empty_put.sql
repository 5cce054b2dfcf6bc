INSERT INTO empty_period_recheck (tenant_id, period_start, period_end, checked_at, usage_digest, currency, total_now, failure)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, period_start, period_end) DO UPDATE
SET checked_at = EXCLUDED.checked_at, usage_digest = EXCLUDED.usage_digest, currency = EXCLUDED.currency,
    total_now = EXCLUDED.total_now, failure = EXCLUDED.failure
