INSERT INTO allowance_crossing (tenant_id, name, revision, period_start, basis, percent, action, consumed, allowed, unit,
                                crossed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (tenant_id, name, revision, period_start, basis, percent) DO NOTHING
