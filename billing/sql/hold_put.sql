-- Of an instance that exists already only the size changes. Another tenant's is left alone, and no row is written.
INSERT INTO instance_hold AS h (instance_id, tenant_id, vcpus, memory_kib, is_pending, changed_at)
VALUES ($1, $2, $3, $4, true, $5)
ON CONFLICT (instance_id) DO UPDATE
SET vcpus = EXCLUDED.vcpus, memory_kib = EXCLUDED.memory_kib, changed_at = EXCLUDED.changed_at
WHERE h.tenant_id = EXCLUDED.tenant_id
