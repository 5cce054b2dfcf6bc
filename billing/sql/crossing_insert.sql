INSERT INTO budget_crossing (tenant_id, period_start, budget_revision, threshold_percent, amount, spent, currency,
                             crossed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, period_start, budget_revision, threshold_percent) DO NOTHING
