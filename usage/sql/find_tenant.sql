-- By id ($1) or by name ($2).
SELECT tenant_id, name, display_name, time_zone, weir_plan_on(tenant_id, (now() AT TIME ZONE time_zone)::date) AS plan_name,
       address, tax_number, email, revision, created_at
FROM tenant
WHERE tenant_id = $1 OR name = $2
ORDER BY tenant_id = $1 DESC
LIMIT 1
