-- What exists is held. A row that was changed since the look ($5) began knows better than the look; a row that is
-- right already is not written again. An instance on its way from one node to another is listed by both.
INSERT INTO instance_hold AS h (instance_id, tenant_id, vcpus, memory_kib, is_pending, changed_at)
SELECT DISTINCT ON (e.instance_id) e.instance_id, e.tenant_id, e.vcpus, e.memory_kib, false, $5::timestamptz
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS e (instance_id, tenant_id, vcpus, memory_kib)
ORDER BY e.instance_id, e.vcpus DESC, e.memory_kib DESC
ON CONFLICT (instance_id) DO UPDATE
SET tenant_id = EXCLUDED.tenant_id, vcpus = EXCLUDED.vcpus, memory_kib = EXCLUDED.memory_kib, is_pending = false,
    changed_at = EXCLUDED.changed_at
WHERE h.changed_at < EXCLUDED.changed_at
  AND (h.tenant_id, h.vcpus, h.memory_kib, h.is_pending)
      IS DISTINCT FROM (EXCLUDED.tenant_id, EXCLUDED.vcpus, EXCLUDED.memory_kib, EXCLUDED.is_pending)
