-- By which plans tenants are billed, in the order in which it was said. $1: of these; NULL: of all that scope may see.
SELECT tenant_id, valid_from, plan_name, recorded_at, recorded_by
FROM plan_assignment
WHERE $1::uuid[] IS NULL OR tenant_id = ANY ($1)
ORDER BY tenant_id, revision
