-- In the order of names, from after $1 on; those in whose name or display name $2 stands.
SELECT tenant_id, name, display_name, time_zone, weir_plan_on(tenant_id, (now() AT TIME ZONE time_zone)::date) AS plan_name,
       address, tax_number, email, revision, created_at
FROM tenant
WHERE ($1::text IS NULL OR $1 < name)
  AND ($2::text IS NULL OR 0 < strpos(lower(name), lower($2)) OR 0 < strpos(lower(display_name), lower($2)))
ORDER BY name
LIMIT $3
