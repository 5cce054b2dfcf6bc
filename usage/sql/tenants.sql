SELECT tenant_id, name, display_name, time_zone, weir_plan_on(tenant_id, (now() AT TIME ZONE time_zone)::date) AS plan_name,
       address, tax_number, email, revision, created_at
FROM tenant
ORDER BY name
