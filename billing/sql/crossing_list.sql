SELECT period_start, budget_revision, threshold_percent, amount, spent, currency, crossed_at
FROM budget_crossing
WHERE tenant_id = $1 AND period_start = $2
ORDER BY crossed_at, budget_revision, threshold_percent
