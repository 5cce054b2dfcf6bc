-- By which plan a tenant is billed for a period that begins at $2. No row: it was never said.
SELECT weir_plan_on(t.tenant_id, ($2::timestamptz AT TIME ZONE t.time_zone)::date) AS plan_name
FROM tenant t
WHERE t.tenant_id = $1 AND EXISTS (SELECT FROM plan_assignment a WHERE a.tenant_id = t.tenant_id)
