SELECT usage_digest, currency, total_now, failure
FROM empty_period_recheck
WHERE tenant_id = $1 AND period_start = $2 AND period_end = $3
