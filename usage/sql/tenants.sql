SELECT tenant_id, name, display_name, time_zone, plan_name, created_at
FROM tenant
ORDER BY name
