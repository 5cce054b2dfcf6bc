-- Only from the revision ($2) that the asker saw.
UPDATE tenant
SET display_name = $3, address = $4, tax_number = $5, email = $6, revision = revision + 1
WHERE tenant_id = $1 AND revision = $2
RETURNING tenant_id, name, display_name, time_zone, weir_plan_on(tenant_id, (now() AT TIME ZONE time_zone)::date) AS plan_name,
          address, tax_number, email, revision, created_at
