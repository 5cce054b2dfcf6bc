-- The allowances of all tenants, by tenant and name, from behind ($1, $2) on (NULL: from the first), each with what it crossed last
-- as it stands.
SELECT t.tenant_id, t.name AS tenant, t.display_name, a.name, a.owner, a.meter, a.quantity, a.amount, a.currency, a.thresholds,
       a.revision, a.changed_at, c.basis, c.percent, c.action, c.crossed_at, c.period_start
FROM allowance a
JOIN tenant t ON t.tenant_id = a.tenant_id
LEFT JOIN LATERAL (
    SELECT x.basis, x.percent, x.action, x.crossed_at, x.period_start
    FROM allowance_crossing x
    WHERE x.tenant_id = a.tenant_id AND x.name = a.name AND x.revision = a.revision
    ORDER BY x.period_start DESC, x.crossed_at DESC, x.percent DESC
    LIMIT 1
) c ON TRUE
WHERE a.removed_at IS NULL AND ($1::text IS NULL OR (t.name, a.name) > ($1, $2))
ORDER BY t.name, a.name
LIMIT $3
