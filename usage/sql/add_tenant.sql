-- Whoever is new has its plan ($5) for all time, as $8 says.
WITH added AS (
    INSERT INTO tenant (tenant_id, name, display_name, time_zone, address, tax_number)
    VALUES ($1, $2, $3, $4, $6, $7)
    RETURNING tenant_id, name, display_name, time_zone, address, tax_number, email, revision, created_at
), assigned AS (
    INSERT INTO plan_assignment (tenant_id, revision, valid_from, plan_name, recorded_at, recorded_by)
    SELECT tenant_id, 1, '0001-01-01', $5::text, created_at, $8
    FROM added
    WHERE $5::text IS NOT NULL
)
SELECT tenant_id, name, display_name, time_zone, $5::text AS plan_name, address, tax_number, email, revision, created_at
FROM added
