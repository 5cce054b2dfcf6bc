INSERT INTO quota AS q (tenant_id, instances, vcpus, memory_kib, changed_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id) DO UPDATE
SET instances = EXCLUDED.instances, vcpus = EXCLUDED.vcpus, memory_kib = EXCLUDED.memory_kib,
    revision = q.revision + 1, changed_at = EXCLUDED.changed_at
RETURNING revision
