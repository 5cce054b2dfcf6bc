SELECT tenant_id, name, display_name, time_zone, plan_name, address, tax_number, email, revision, created_at
FROM tenant
ORDER BY name
