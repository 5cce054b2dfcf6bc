SELECT document, computed_at
FROM draft
WHERE tenant_id = $1 AND period_start = $2
