INSERT INTO throttled_instance AS t (instance_id, tenant_id, bounds, notices, since, changed_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (instance_id) DO UPDATE
SET tenant_id = EXCLUDED.tenant_id, bounds = EXCLUDED.bounds, notices = EXCLUDED.notices, changed_at = EXCLUDED.changed_at
