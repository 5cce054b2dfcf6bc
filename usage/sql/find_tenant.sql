-- By id ($1) or by name ($2).
SELECT tenant_id, name, display_name, time_zone, plan_name, address, tax_number, email, revision, created_at
FROM tenant
WHERE tenant_id = $1 OR name = $2
ORDER BY tenant_id = $1 DESC
LIMIT 1
