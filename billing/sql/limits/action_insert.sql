-- Once while it is in force.
INSERT INTO limit_action (action_id, tenant_id, name, revision, basis, percent, action, period_start, period_end, since)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, name, revision, period_start, basis, percent) WHERE ended_at IS NULL DO NOTHING
