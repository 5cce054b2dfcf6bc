INSERT INTO tenant (tenant_id, name, display_name, time_zone, plan_name, address, tax_number)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING tenant_id, name, display_name, time_zone, plan_name, address, tax_number, email, revision, created_at
