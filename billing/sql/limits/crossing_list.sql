SELECT name, revision, period_start, basis, percent, action, consumed, allowed, unit, crossed_at
FROM allowance_crossing
WHERE tenant_id = $1 AND period_start = $2
ORDER BY crossed_at, name, revision, basis, percent
LIMIT $3
