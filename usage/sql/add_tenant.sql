INSERT INTO tenant (tenant_id, name, display_name, time_zone)
VALUES ($1, $2, $3, $4)
RETURNING tenant_id, name, display_name, time_zone, plan_name, address, tax_number, created_at
