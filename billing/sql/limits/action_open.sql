-- $1: of this tenant alone; NULL: of all.
SELECT action_id, tenant_id, name, action, basis, percent, since, period_end
FROM limit_action
WHERE ended_at IS NULL AND ($1::uuid IS NULL OR tenant_id = $1)
ORDER BY tenant_id, since, action_id
LIMIT $2
